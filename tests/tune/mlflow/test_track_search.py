"""A search in MLflow, from the driver's calls to what a store in memory has; no process, no MLflow."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from fake_client import DirectWriter, FakeClient, StoredRun
from fake_search import FakeSearch, append_rows, member_folders
from lfads_core.config.groups import run_config_class
from lfads_core.config.schema import RunConfig
from lfads_core.plugins import load_registry
from lfads_plugins_tune.mlflow import searches as tracking
from lfads_plugins_tune.mlflow.process import WriterProcess
from lfads_plugins_tune.mlflow.searches import SearchTrackers, TrackedMember, open_search_trackers
from lfads_plugins_tune.mlflow.settings import TrackConfig
from lfads_plugins_tune.search.history import Generation, MemberRecord


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    client = FakeClient()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://nowhere")
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(tracking, "WriterProcess", lambda place, what: DirectWriter(place, what, client))
    return client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "pbt-lorenz"
    path.mkdir(parents=True)
    return path


HYPERPARAMETERS = {"optim.lr": 0.004, "components.train_augmentations.coordinated-dropout.rate": 0.3, "components.ic_prior": "normal"}


def member(folder: Path, number: int, epochs: int = 0, **changes: object) -> TrackedMember:
    settings = {"optim": {"lr": 0.004, "betas": [0.9, 0.999]}, "train": {"seed": number}}
    path = folder / "members" / f"{number:03d}"
    return TrackedMember(member=number, path=path, settings=settings, hyperparameters={**HYPERPARAMETERS, **changes}, epochs=epochs)


def start(folder: Path, members: list[TrackedMember], **more: object) -> SearchTrackers:
    return open_search_trackers(
        folder, RunConfig(), members, kind="pbt", settings={"members": len(members)}, tags={"version torch": "2.13.0"}, **more
    )


def stored(client: FakeClient) -> dict[str, StoredRun]:
    return {run.job.run_name: run for run in client.runs.values()}


def record(generation: int, *members: MemberRecord) -> Generation:
    return Generation(generation=generation, first_epoch=20 * generation, epochs=20 * generation + 20, members=members)


def of(number: int, score: float | None, *, status: str = "done", parent: int | None = None, lr: float = 0.004) -> MemberRecord:
    return MemberRecord(member=number, parent=parent, score=score, status=status, hyperparameters={**HYPERPARAMETERS, "optim.lr": lr})


def test_members_are_runs_below_the_search_with_names_that_say_so(client, folder):
    start(folder, [member(folder, 0), member(folder, 12)]).close("finished")
    runs = stored(client)
    assert list(runs) == ["pbt-lorenz", "m00 · pbt-lorenz", "m12 · pbt-lorenz"]
    parent = runs["pbt-lorenz"]
    assert parent.parent is None
    assert {run.parent for run in client.runs.values()} == {None, f"id-{parent.job.key}"}
    assert {run.status for run in client.runs.values()} == {"finished"}
    assert runs["m00 · pbt-lorenz"].job.started > runs["m12 · pbt-lorenz"].job.started  # the pages sort by it, the latest first
    assert runs["m12 · pbt-lorenz"].tags["lfads.search"] == parent.tags["lfads.search"] == "pbt-lorenz"
    assert runs["m12 · pbt-lorenz"].tags["lfads.member"] == "12"
    assert (parent.tags["lfads.kind"], parent.tags["version torch"]) == ("pbt", "2.13.0")
    assert parent.tags["lfads.path"] == str(folder.resolve())


def test_all_settings_and_the_first_hyperparameters_are_parameters(client, folder):
    start(folder, [member(folder, 0)]).close("finished")
    runs = stored(client)
    assert runs["m00 · pbt-lorenz"].params == {
        "optim.lr": "0.004",
        "optim.betas": "[0.9, 0.999]",
        "train.seed": "0",
        "hp/lr": "0.004",
        "hp/coordinated-dropout.rate": "0.3",
        "hp/ic_prior": "normal",
    }
    assert runs["pbt-lorenz"].params["search.members"] == "1"
    assert runs["pbt-lorenz"].params["optim.lr"] == "0.004"
    assert runs["pbt-lorenz"].params["components.reconstruction.name"] == "poisson"


def test_each_members_epochs_are_its_own_curves(client, folder):
    trackers = start(folder, [member(folder, 0), member(folder, 1)])
    for epoch in range(3):
        trackers.log(0, epoch, {"valid/recon": float(epoch), "hp/optim.lr": 1.0})
        trackers.log(1, epoch, {"valid/recon": -float(epoch)})
    trackers.close("finished")
    runs = stored(client)
    assert runs["m00 · pbt-lorenz"].curve("valid/recon") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert runs["m01 · pbt-lorenz"].curve("valid/recon") == [(0, 0.0), (1, -1.0), (2, -2.0)]
    assert runs["m00 · pbt-lorenz"].curve("hp/optim.lr") == []  # these come with the generation


def test_hyperparameters_are_steps_and_scores_points_over_epochs(client, folder):
    trackers = start(folder, [member(folder, 0), member(folder, 1)])
    trackers.generation(record(0, of(0, 0.5), of(1, 0.4)))
    trackers.generation(record(1, of(0, 0.3, parent=1, lr=0.005), of(1, None, status="diverged", parent=1)))
    trackers.close("finished")
    runs = stored(client)
    assert runs["m00 · pbt-lorenz"].curve("hp/lr") == [(0, 0.004), (19, 0.004), (20, 0.005), (39, 0.005)]
    assert runs["m00 · pbt-lorenz"].curve("hp/coordinated-dropout.rate") == [(epoch, 0.3) for epoch in (0, 19, 20, 39)]
    assert runs["m00 · pbt-lorenz"].tags["hp/ic_prior"] == "normal"  # a word is no curve
    assert runs["m00 · pbt-lorenz"].curve("score") == [(19, 0.5), (39, 0.3)]
    assert runs["m01 · pbt-lorenz"].curve("score") == [(19, 0.4)]


def test_the_search_itself_is_drawn_over_generations(client, folder):
    trackers = start(folder, [member(folder, number) for number in range(3)])
    trackers.generation(record(0, of(0, 0.5), of(1, 0.4), of(2, 0.9)))
    trackers.generation(record(1, of(0, 0.3, parent=1), of(1, 0.35, parent=1), of(2, None, status="diverged", parent=2)))
    trackers.generation(
        record(2, of(0, None, status="failed", parent=0), of(1, None, status="failed", parent=1), of(2, None, status="failed", parent=2))
    )
    trackers.close("finished")
    parent = stored(client)["pbt-lorenz"]
    assert parent.curve("score/best") == [(0, 0.4), (1, 0.3)]
    assert parent.curve("score/median") == [(0, 0.5), (1, pytest.approx(0.325))]
    assert parent.curve("score/worst") == [(0, 0.9), (1, 0.35)]
    assert parent.curve("best/member") == [(0, 1.0), (1, 0.0)]
    assert parent.curve("members/done") == [(0, 3.0), (1, 2.0), (2, 0.0)]
    assert parent.curve("members/diverged") == [(0, 0.0), (1, 1.0), (2, 0.0)]
    assert parent.curve("members/failed") == [(0, 0.0), (1, 0.0), (2, 3.0)]
    assert parent.curve("members/copied") == [(0, 0.0), (1, 1.0), (2, 0.0)]
    assert parent.curve("epochs") == [(0, 20.0), (1, 40.0), (2, 60.0)]


def test_the_best_member_is_marked_and_the_mark_moves(client, folder):
    trackers = start(folder, [member(folder, 0), member(folder, 1)])
    trackers.best(0)
    trackers.best(1, {"valid/bps": 0.31})
    trackers.close("finished")
    runs = stored(client)
    assert {name: run.tags.get("lfads.best") for name, run in runs.items()} == {
        "pbt-lorenz": None,
        "m00 · pbt-lorenz": "false",
        "m01 · pbt-lorenz": "true",
    }
    assert runs["pbt-lorenz"].tags["lfads.best_member"] == "m01"
    assert runs["pbt-lorenz"].tags["lfads.best_run"] == f"id-{runs['m01 · pbt-lorenz'].job.key}"
    assert runs["pbt-lorenz"].curve("best/valid/bps") == [(0, 0.31)]


def test_files_go_to_the_search_or_to_one_member_and_what_is_not_there_is_passed_over(client, folder):
    (folder / "search.json").write_text("{}")
    trackers = start(folder, [member(folder, 0)])
    trackers.artifacts([folder / "search.json", folder / "plots"])
    trackers.artifacts([folder / "search.json"], member=0)
    trackers.close("finished")
    there = [str(folder / "search.json")]
    assert {name: run.files for name, run in stored(client).items()} == {"pbt-lorenz": there, "m00 · pbt-lorenz": there}


def test_a_member_may_end_before_the_search_does(client, folder):
    trackers = start(folder, [member(folder, 0), member(folder, 1)])
    trackers.end(0, "failed")
    trackers.close("interrupted")
    assert {name: run.status for name, run in stored(client).items()} == {
        "pbt-lorenz": "interrupted",
        "m00 · pbt-lorenz": "failed",
        "m01 · pbt-lorenz": "interrupted",
    }


def test_a_resumed_search_may_send_everything_again(client, folder):
    search = FakeSearch(4, interval=5)
    paths = member_folders(folder, search)
    first = start(folder, [member(folder, number) for number in range(4)])
    for rows, generation in search.run(2):
        append_rows(paths, rows)
        for number, epoch, row in rows:
            first.log(number, epoch, row)
        first.generation(generation)
    first.close("interrupted")
    before = {name: list(run.points) for name, run in stored(client).items()}

    again = start(folder, [member(folder, number, epochs=10) for number in range(4)])
    for generation in search.history:
        again.generation(generation)
    for rows, generation in search.run(1):
        for number, epoch, row in rows:
            again.log(number, epoch, row)
        again.generation(generation)
    again.close("finished")
    runs = stored(client)
    assert len(client.runs) == 5
    for name, run in runs.items():
        assert run.points[: len(before[name])] == before[name]
        places = [(metric, epoch) for metric, _, epoch, _ in run.points]
        assert len(places) == len(set(places)), f"something came twice in {name}"
    assert [epoch for epoch, _ in runs["pbt-lorenz"].curve("score/best")] == [0, 1, 2]
    done = [m.member for m in search.history[-1].members if m.status == "done"]
    assert [epoch for epoch, _ in runs[f"m{done[0]:02d} · pbt-lorenz"].curve("valid/recon_smooth")][-1] == 14


def test_a_store_that_lost_everything_is_filled_from_the_tables_of_the_members(client, folder):
    search = FakeSearch(3, interval=5)
    paths = member_folders(folder, search)
    for rows, _ in search.run(2):
        append_rows(paths, rows)
    again = start(folder, [member(folder, number, epochs=8) for number in range(3)])
    again.close("finished")
    done = [m.member for m in search.history[-1].members if m.status == "done"]
    assert [epoch for epoch, _ in stored(client)[f"m{done[0]:02d} · pbt-lorenz"].curve("valid/recon")] == list(range(8))


def test_the_name_by_which_the_runs_are_found_again_is_kept_beside_the_search(client, folder):
    start(folder, []).close("finished")
    key = json.loads((folder / "mlflow.json").read_text())["key"]
    assert [run.job.key for run in client.runs.values()] == [key]
    (folder / "mlflow.json").write_text("damaged")
    start(folder, []).close("finished")
    assert len(client.runs) == 2


def test_a_fault_is_one_warning_and_the_search_goes_on(client, folder, caplog):
    client.faults = [ConnectionError("refused")] * 1000
    trackers = start(folder, [member(folder, 0)])
    trackers.log(0, 0, {"a": 1.0})
    trackers.generation(record(0, of(0, 0.5)))
    trackers.close("finished")
    fault = "http://nowhere does not take the run (refused); see to MLFLOW_TRACKING_URI and its server"
    assert caplog.messages == [f"MLflow: {fault}. The search goes on, and fitlog.csv keeps every epoch."]


def test_a_call_that_cannot_be_made_is_one_warning(client, folder, caplog, monkeypatch):
    trackers = start(folder, [member(folder, 0)])
    with monkeypatch.context() as patch:
        patch.setattr(WriterProcess, "log", lambda *_: (_ for _ in ()).throw(ValueError("no")))
        for epoch in range(3):
            trackers.log(0, epoch, {"a": 1.0})
    trackers.log(0, 1, {"a": 1.0})
    trackers.close("finished")
    assert caplog.messages == ["MLflow: could not be written (no); the search goes on."]
    assert stored(client)["m00 · pbt-lorenz"].curve("a") == [(1, 1.0)]


def test_a_folder_that_cannot_be_written_is_one_warning(client, folder, caplog, monkeypatch):
    monkeypatch.setattr(tracking, "write_json", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    trackers = start(folder, [member(folder, 0)])
    trackers.log(0, 0, {"a": 1.0})
    trackers.close("finished")
    assert caplog.messages == ["MLflow: could not be written ([Errno 28] No space left on device); the search goes on."]
    assert client.runs == {}


def test_without_mlflow_or_against_the_users_wish_nothing_is_recorded(client, folder, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    off = open_search_trackers(folder, run_config_class(load_registry())(track=TrackConfig(mlflow=False)), [member(folder, 0)], kind="pbt")
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda _: None)
    missing = start(folder, [member(folder, 0)])
    for trackers in (off, missing):
        trackers.add(member(folder, 1))
        trackers.log(0, 0, {"a": 1.0})
        trackers.generation(record(0, of(0, 0.5)))
        trackers.artifacts([folder])
        trackers.best(0)
        trackers.end(0, "finished")
        trackers.close("finished")
        assert trackers.run_ids == {}
    assert client.runs == {}
    assert not (folder / "mlflow.json").exists()
    assert caplog.messages == ['not recorded in MLflow, which is not installed: pip install "lfads-core[track]" brings it']


def test_a_view_of_the_pages_is_prepared(client, folder):
    start(folder, [member(folder, 0, **{"optim.lr": 1e-4}), member(folder, 1, **{"optim.lr": 1e-2})], score="-valid/co_bps").close("finished")
    ((run_id, view),) = client.views
    assert run_id == f"id-{stored(client)['pbt-lorenz'].job.key}"
    assert view.name == "pbt-lorenz"
    assert view.runs == "tags.`lfads.search` = 'pbt-lorenz'"
    assert view.table == ["score", "hp/coordinated-dropout.rate", "hp/lr", "tag lfads.best"]
    assert view.charts == {"Search": ["score", "valid/co_bps"], "Hyperparameters": ["hp/coordinated-dropout.rate", "hp/lr"]}
    assert view.logarithmic == ["hp/lr"]
    assert view.parallel == ["hp/coordinated-dropout.rate", "hp/lr", "score"]
