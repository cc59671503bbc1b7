"""A search in MLflow, from its folder to what a store in memory has; no process, no MLflow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_client import FakeClient, record, recorder_of
from fake_search import SearchFolder
from lfads_core.runs import Run
from lfads_plugins_tune.search.history import Generation, MemberRecord
from lfads_plugins_tune.search.state import Best, Member

HYPERPARAMETERS = {"optim.lr": 0.004, "components.train_augmentations.coordinated-dropout.rate": 0.3, "components.ic_prior": "student-t"}


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def search(tmp_path: Path) -> SearchFolder:
    """A search of two members whose history a test writes itself."""
    folder = SearchFolder(tmp_path / "runs" / "pbt-lorenz", 2)
    for member in folder.search.members:
        member.values = dict(HYPERPARAMETERS)
    folder.write("running")
    return folder


def write(search: SearchFolder, *history: Generation, status: str = "running", **more) -> None:
    search.search.history = list(history)
    search.write(status, **more)


def generation(number: int, *members: MemberRecord) -> Generation:
    return Generation(generation=number, first_epoch=20 * number, epochs=20 * number + 20, members=members)


def of(number: int, score: float | None, *, status: str = "done", parent: int | None = None, lr: float = 0.004) -> MemberRecord:
    return MemberRecord(member=number, parent=parent, score=score, status=status, hyperparameters={**HYPERPARAMETERS, "optim.lr": lr})


def test_members_are_runs_below_the_search_with_names_that_say_so(client, search):
    record(search.folder, client)
    parent, member = client.named("pbt-lorenz"), client.named("m01 · pbt-lorenz")
    key = json.loads((search.folder / "mlflow.json").read_text())["key"]
    assert [(run.name, run.parent) for run in client.runs.values()] == [
        ("pbt-lorenz", None),
        ("m00 · pbt-lorenz", f"id-{key}"),
        ("m01 · pbt-lorenz", f"id-{key}"),
    ]
    assert {run.status for run in client.runs.values()} == {"interrupted"}
    assert client.named("m00 · pbt-lorenz").started > member.started  # the pages sort by it, the latest first
    assert member.tags["lfads.search"] == parent.tags["lfads.search"] == "pbt-lorenz"
    assert member.tags["lfads.search_key"] == parent.tags["lfads.search_key"] == key
    assert (member.tags["lfads.member"], member.tags["lfads.path"]) == ("1", str(search.folder / "members" / "001"))
    assert (parent.tags["lfads.kind"], parent.tags["version torch"]) == ("pbt", "2.13.0")


def test_all_settings_and_the_first_hyperparameters_are_parameters(client, search):
    write(search, generation(0, of(0, 0.5), of(1, 0.4, lr=0.002)), generation(1, of(0, 0.5, lr=0.1), of(1, 0.4, lr=0.2)))
    record(search.folder, client)
    params = client.named("m01 · pbt-lorenz").params
    assert (params["optim.lr"], params["hp/lr"], params["train.seed"], params["optim.betas"]) == ("0.002", "0.002", "1", "[0.9, 0.999]")
    assert (params["components.train_augmentations.0.rate"], params["hp/coordinated-dropout.rate"]) == ("0.3", "0.3")
    assert (params["components.ic_prior.name"], params["hp/ic_prior"]) == ("student-t", "student-t")
    assert not [name for name in params if name.startswith(("search", "components.ic_prior.mean"))]
    parent = client.named("pbt-lorenz").params
    assert (parent["search.kind"], parent["search.members"], parent["optim.lr"]) == ("pbt", "20", "0.004")


def test_each_members_epochs_are_its_own_curves(client, search):
    for epoch in range(3):
        search.log.append((0, 0, epoch), HYPERPARAMETERS, {"valid/recon": float(epoch)})
        search.log.append((1, 0, epoch), HYPERPARAMETERS, {"valid/recon": -float(epoch)})
    record(search.folder, client)
    assert client.named("m00 · pbt-lorenz").curve("valid/recon") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert client.named("m01 · pbt-lorenz").curve("valid/recon") == [(0, 0.0), (1, -1.0), (2, -2.0)]
    assert {name for name, *_ in client.named("m00 · pbt-lorenz").points} == {"valid/recon"}  # hyperparameters come with the generation


def test_hyperparameters_are_steps_and_scores_points_over_epochs(client, search):
    write(
        search,
        generation(0, of(0, 0.5), of(1, 0.4)),
        generation(1, of(0, 0.3, parent=1, lr=0.005), of(1, None, status="diverged", parent=1)),
    )
    record(search.folder, client)
    first, second = (client.named(f"m0{i} · pbt-lorenz") for i in range(2))
    assert first.curve("hp/lr") == [(0, 0.004), (19, 0.004), (20, 0.005), (39, 0.005)]
    assert first.curve("hp/coordinated-dropout.rate") == [(epoch, 0.3) for epoch in (0, 19, 20, 39)]
    assert first.tags["hp/ic_prior"] == "student-t"  # a word is no curve
    assert first.curve("score") == [(19, 0.5), (39, 0.3)]
    assert second.curve("score") == [(19, 0.4)]


def test_the_search_itself_is_drawn_over_generations(client, tmp_path):
    search = SearchFolder(tmp_path / "pbt", 3)
    for member in search.search.members:
        member.values = dict(HYPERPARAMETERS)
    write(
        search,
        generation(0, of(0, 0.5), of(1, 0.4), of(2, 0.9)),
        generation(1, of(0, 0.3, parent=1), of(1, 0.35, parent=1), of(2, None, status="diverged", parent=2)),
        generation(2, *(of(i, None, status="failed", parent=i) for i in range(3))),
    )
    record(search.folder, client)
    parent = client.named("pbt")
    assert parent.curve("score/best") == [(0, 0.4), (1, 0.3)]
    assert parent.curve("score/median") == [(0, 0.5), (1, pytest.approx(0.325))]
    assert parent.curve("score/worst") == [(0, 0.9), (1, 0.35)]
    assert parent.curve("best/member") == [(0, 1.0), (1, 0.0)]
    assert parent.curve("members/done") == [(0, 3.0), (1, 2.0), (2, 0.0)]
    assert parent.curve("members/diverged") == [(0, 0.0), (1, 1.0), (2, 0.0)]
    assert parent.curve("members/failed") == [(0, 0.0), (1, 0.0), (2, 3.0)]
    assert parent.curve("members/copied") == [(0, 0.0), (1, 1.0), (2, 0.0)]
    assert parent.curve("epochs") == [(0, 20.0), (1, 40.0), (2, 60.0)]


def test_the_best_member_is_marked_the_mark_moves_and_the_best_run_adds_files_and_an_evaluation(client, search):
    write(search, status="interrupted", best=Best(member=0, score=0.5, scores={}))
    record(search.folder, client)
    run = Run.create(search.folder / "best")
    run.config_path.write_text("a: 1")
    run.output("day").write_bytes(b"")
    run.update_state(status="finished", evaluated={"numbers": {"eval/valid/bps": 0.25}, "files": [str(run.config_path)]})
    write(search, status="finished", best=Best(member=1, score=0.4, scores={"valid/bps": 0.31}))
    record(search.folder, client)
    parent, first, second = (client.named(name) for name in ("pbt-lorenz", "m00 · pbt-lorenz", "m01 · pbt-lorenz"))
    assert [run.tags.get("lfads.best") for run in (parent, first, second)] == [None, "false", "true"]
    assert parent.tags["lfads.best_member"] == "m01"
    assert client.runs[parent.tags["lfads.best_run"]] is second
    assert parent.curve("final/valid/bps") == [(0, 0.31)]
    assert second.curve("eval/valid/bps") == [(3, 0.25)]
    assert (first.files, second.files) == ([], ["config.yaml", "checkpoints", "lfads_output_day.h5"])
    run.update_state(evaluated={"numbers": {"eval/valid/bps": 0.75}, "files": []})
    record(search.folder, client)
    assert second.curve("eval/valid/bps") == [(3, 0.25), (3, 0.75)]  # pages show the latest


def test_a_search_that_has_ended_keeps_its_files_and_its_statuses(client, search):
    members = tuple(Member(member=i, values=HYPERPARAMETERS, status="lost" if i else "done") for i in range(2))
    search.log.append((0, 0, 0), HYPERPARAMETERS, {"a": 1.0})
    record(search.folder, client, None)
    assert client.named("pbt-lorenz").files == []
    search.write("finished", members=members)
    record(search.folder, client)
    assert client.named("pbt-lorenz").files == ["config.yaml", "search.json", "fitlog.csv"]
    assert {run.name: run.status for run in client.runs.values()} == {
        "pbt-lorenz": "finished",
        "m00 · pbt-lorenz": "finished",
        "m01 · pbt-lorenz": "failed",
    }
    search.write("sampling", error="the best member must be inferred", members=members)
    record(search.folder, client)
    assert client.named("pbt-lorenz").status == "failed"


def test_a_search_is_followed_and_may_be_told_again_by_another_process(client, tmp_path):
    search = SearchFolder(tmp_path / "pbt", 4, interval=5)
    recorder = recorder_of(search.folder, client)
    for _ in range(2):
        search.go_on(1)
        recorder.write(None)
    record(search.folder, client)
    before = {name: list(run.points) for name, run in client.runs.items()}
    search.go_on(1)
    record(search.folder, client)
    assert len(client.runs) == 5
    for name, run in client.runs.items():
        assert run.points[: len(before[name])] == before[name]
        places = [(metric, epoch) for metric, _, epoch, _ in run.points]
        assert len(places) == len(set(places)), f"something came twice in {name}"
    assert [epoch for epoch, _ in client.named("pbt").curve("score/best")] == [0, 1, 2]
    done = [m.member for m in search.search.history[-1].members if m.status == "done"]
    assert client.named(f"m{done[0]:02d} · pbt").curve("valid/recon_smooth")[-1][0] == 14
    alone = FakeClient()
    record(search.folder, alone)  # a store that lost everything
    assert {run.name: [p[:3] for p in sorted(run.points)] for run in alone.runs.values()} == {
        run.name: [p[:3] for p in sorted(run.points)] for run in client.runs.values()
    }


def test_a_search_whose_name_was_lost_gets_another_one(client, search):
    record(search.folder, client)
    (search.folder / "mlflow.json").write_text("damaged")
    record(search.folder, client)
    assert len(client.runs) == 6


def test_a_view_of_the_pages_is_prepared(client, search):
    search.search.members[0].values["optim.lr"], search.search.members[1].values["optim.lr"] = 1e-4, 1e-2
    search.write("running", score="-valid/co_bps")
    record(search.folder, client)
    ((run_id, view),) = client.views
    key = json.loads((search.folder / "mlflow.json").read_text())["key"]
    assert run_id == f"id-{key}"
    assert (view.name, view.key) == ("pbt-lorenz", key)
    assert view.runs == f"tags.`lfads.search_key` = '{key}'"
    assert view.table == ["score", "hp/coordinated-dropout.rate", "hp/lr", "tag lfads.best"]
    assert view.charts == {"Search": ["score", "valid/co_bps"], "Hyperparameters": ["hp/coordinated-dropout.rate", "hp/lr"]}
    assert view.logarithmic == ["hp/lr"]
    assert view.parallel == ["hp/coordinated-dropout.rate", "hp/lr", "score"]
