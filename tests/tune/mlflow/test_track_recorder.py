"""One store brought up to the files of a run or a search: nothing twice, nothing lost, and one that cannot be written holds up no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_client import FakeClient, record, recorder_of
from fake_search import SearchFolder
from lfads_core.config.schema import RunConfig
from lfads_core.config.yaml_io import dump
from lfads_core.runs import Run
from lfads_core.track.fitlog import FitLog
from lfads_plugins_tune.mlflow.table_tail import TableTail


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has trained four epochs."""
    run = Run.create(tmp_path / "one")
    run.config_path.write_text(dump(RunConfig()) + "\ntrack: {mlflow: true, experiment: lfads, artifacts: all}\n")
    run.update_state(status="running", versions={"torch": "2.13.0"})
    train(run, 0, 4)
    return run


def train(run: Run, first: int, end: int, value: float = 1.0, **more: float) -> None:
    log = FitLog(run.fitlog)
    for epoch in range(first, end):
        log.append(epoch, {"a": value * epoch, **more})


def test_a_run_arrives_with_settings_curves_and_status(client, run):
    record(run.path, client, None)
    stored = client.named("one")
    assert stored.curve("a") == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)]
    assert stored.params["optim.lr"] == "0.004"
    assert stored.tags["version torch"] == "2.13.0"
    assert stored.tags["lfads.path"] == str(run.path)
    assert stored.status is None
    assert stored.files == []
    run.update_state(status="finished")
    record(run.path, client)
    assert stored.status == "finished"


def test_a_run_whose_process_is_gone_was_interrupted_and_one_that_could_not_say_so_ended_as_it_was_told(client, run):
    record(run.path, client, "interrupted")
    assert client.named("one").status == "interrupted"
    record(run.path, client, None)  # it goes on
    assert client.named("one").status is None
    record(run.path, client, "failed")
    assert client.named("one").status == "failed"


def test_what_stands_in_the_store_is_not_written_again(client, run):
    run.update_state(status="finished")
    run.plots.mkdir()
    (run.plots / "curves.png").write_bytes(b"png")
    run.output("day").write_bytes(b"")
    record(run.path, client)
    stored, before = client.named("one"), client.calls
    assert stored.files == ["config.yaml", "fitlog.csv", "plots", "checkpoints", "lfads_output_day.h5"]
    again = recorder_of(run.path, client)
    again.write("interrupted")
    assert (again.values, again.files) == (0, 0)
    assert client.calls - before <= 5  # connect, find, and no more than empty descriptions
    (run.plots / "curves.png").write_bytes(b"another")
    record(run.path, client)
    assert stored.files[5:] == ["plots"]
    assert len(client.runs) == 1


@pytest.mark.parametrize(("setting", "files"), [("light", ["config.yaml", "fitlog.csv"]), ("none", [])])
def test_a_setting_says_which_files_are_kept_there(client, run, setting, files):
    run.config_path.write_text(run.config_path.read_text().replace("artifacts: all", f"artifacts: {setting}"))
    run.output("day").write_bytes(b"")
    run.update_state(status="finished", evaluated={"numbers": {"eval/bps": 0.5}, "files": [str(run.fitlog)]} if setting == "none" else {})
    record(run.path, client)
    assert client.named("one").files == files


def test_a_resumed_run_goes_on_in_the_same_record_and_epochs_that_were_trained_twice_keep_their_first_values(client, run):
    record(run.path, client)
    FitLog(run.fitlog).truncate(2)
    train(run, 2, 6, value=-1.0, b=5.0)
    run.update_state(status="finished")
    record(run.path, client)
    stored = client.named("one")
    assert stored.curve("a") == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (4, -4.0), (5, -5.0)]
    assert stored.curve("b") == [(epoch, 5.0) for epoch in range(2, 6)]
    assert len(client.runs) == 1


def test_a_setting_changed_for_resuming_becomes_a_tag_because_parameters_never_change(client, run):
    record(run.path, client)
    run.config_path.write_text(run.config_path.read_text().replace("lr: 0.004", "lr: 0.001"))
    record(run.path, client)
    stored = client.named("one")
    assert (stored.params["optim.lr"], stored.tags["resumed with optim.lr"]) == ("0.004", "0.001")


def test_values_that_are_no_finite_numbers_are_left_out_and_names_made_fit(client, run):
    train(run, 4, 5, **{"x+y": 1.0, "inf": float("inf"), "nan": float("nan"), "low": float("-inf")})
    record(run.path, client)
    assert {name for name, *_ in client.named("one").points} == {"a", "x_y"}


def test_a_row_longer_than_a_call_is_cut(client, run):
    train(run, 4, 5, **{f"metric {i}": float(i) for i in range(2500)})
    record(run.path, client)
    assert len(client.named("one").points) == 5 + 2500


def test_a_write_that_fails_half_way_loses_nothing_and_repeats_nothing(client, run, monkeypatch):
    monkeypatch.setattr("lfads_plugins_tune.mlflow.recorder.METRICS_PER_CALL", 10)
    train(run, 4, 100)
    metrics, calls = client.metrics, []

    def fails_at_the_fourth(run_id, points) -> None:
        calls.append(run_id)
        if len(calls) == 4:
            metrics(run_id, points)  # it was stored, but the answer got lost
            raise ConnectionError("no")
        metrics(run_id, points)

    monkeypatch.setattr(client, "metrics", fails_at_the_fourth)
    recorder = recorder_of(run.path, client)
    with pytest.raises(ConnectionError):
        recorder.write(None)
    assert recorder.missing() == "one from epoch 30 on"
    recorder.write("interrupted")
    assert client.named("one").curve("a") == [(epoch, float(epoch)) for epoch in range(100)]


def test_a_server_that_was_away_at_the_end_is_made_good_by_another_process(client, run):
    recorder = recorder_of(run.path, client)
    recorder.write(None)
    train(run, 4, 9)
    run.update_state(status="finished")
    client.faults = [ConnectionError("refused")] * 10
    with pytest.raises(ConnectionError):
        recorder.write("finished")
    assert recorder.missing() == "one from epoch 4 on"
    client.faults = []
    record(run.path, client)
    stored = client.named("one")
    assert [epoch for epoch, _ in stored.curve("a")] == list(range(9))
    assert (stored.status, stored.files) == ("finished", ["config.yaml", "fitlog.csv", "checkpoints"])


def test_two_folders_of_one_name_on_one_server_stay_apart(client, tmp_path):
    one, two = (SearchFolder(tmp_path / user / "mine-pbt") for user in ("me", "you"))
    for folder in (one, two, one):
        record(folder.folder, client, None)
    (first,) = [run for run in client.runs.values() if run.name == "mine-pbt"]
    (second,) = [run for run in client.runs.values() if run.name.startswith("mine-pbt · ")]
    assert first.tags["lfads.search_key"] != second.tags["lfads.search_key"]
    assert second.name == f"mine-pbt · {second.tags['lfads.search_key'][:4]}"
    assert {run.name for run in client.runs.values()} == {
        first.name,
        second.name,
        *(f"m{i:02d} · {p.name}" for p in (first, second) for i in range(2)),
    }
    assert {view.runs for _, view in client.views} == {f"tags.`lfads.search_key` = '{run.tags['lfads.search_key']}'" for run in (first, second)}


def test_members_are_shown_below_their_search_and_none_is_begun_before_it(client, tmp_path):
    search = SearchFolder(tmp_path / "pbt", 3)
    recorder = recorder_of(search.folder, client)
    client.faults = [ConnectionError("no")] * 3
    for _ in range(3):
        with pytest.raises(ConnectionError):
            recorder.write(None)
        assert client.runs == {}
    recorder.write(None)
    (parent,) = [run_id for run_id, run in client.runs.items() if run.name == "pbt"]
    assert [(run.name, run.parent) for run in client.runs.values()] == [("pbt", None), *((f"m{i:02d} · pbt", parent) for i in range(3))]


def test_a_run_that_was_deleted_holds_up_no_other_and_when_a_second_one_fails_the_rest_is_left_for_later(client, tmp_path):
    search = SearchFolder(tmp_path / "pbt", 3)
    recorder = recorder_of(search.folder, client)
    recorder.write(None)
    parent, *members = client.runs
    client.broken = {parent}
    for generation in range(3):
        search.go_on(1)
        with pytest.raises(ValueError, match=rf"^{parent} is deleted$"):
            recorder.write(None)
        assert {run.curve("hp/lr")[-1][0] for run_id, run in client.runs.items() if run_id != parent} == {3 * generation + 2}
    assert client.named("pbt").points == []
    client.broken = {parent, members[0], members[1]}
    search.go_on(1)
    before = client.calls
    with pytest.raises(ValueError, match="is deleted"):
        recorder.write(None)
    assert client.calls - before <= 4
    with pytest.raises(ValueError, match="is deleted"):
        recorder.write("interrupted")
    assert recorder.missing() == "pbt, m00 · pbt, m01 · pbt"
    client.broken = set()
    recorder.write("interrupted")
    assert {run.curve("hp/lr")[-1][0] for run_id, run in client.runs.items() if run_id != parent} == {11}
    assert recorder.missing() == ""


def test_rows_are_read_on_and_a_table_that_was_replaced_from_its_start(tmp_path):
    path = tmp_path / "fitlog.csv"
    tail, log = TableTail(path), FitLog(path)
    assert tail.rows() == []
    log.append(0, {"a": 1.0})
    log.append(1, {"a": 2.0})
    assert tail.rows() == [(0, {"a": 1.0}), (1, {"a": 2.0})]
    assert tail.rows() == []
    with path.open("a") as file:
        file.write("2,3")  # half a row
    assert tail.rows() == []
    with path.open("a") as file:
        file.write(".5\n")
    assert tail.rows() == [(2, {"a": 3.5})]
    log.append(3, {"b": 4.0})  # wider
    assert tail.rows() == [(0, {"a": 1.0}), (1, {"a": 2.0}), (2, {"a": 3.5}), (3, {"b": 4.0})]
    log.truncate(2)
    assert tail.rows() == [(0, {"a": 1.0}), (1, {"a": 2.0})]
    place = path.stat()
    path.write_text("epoch,a,b\n10,1.0,\n11,2.0,\n12,3.0,\n")  # in place, and not where a row began
    assert path.stat().st_ino == place.st_ino
    tail.rows()
    assert tail.rows()[-1] == (12, {"a": 3.0})
