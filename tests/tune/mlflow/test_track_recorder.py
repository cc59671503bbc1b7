"""Several runs in one store: members below their parent, nothing twice, and one that cannot be written holds up no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_client import FakeClient
from lfads_core.track.fitlog import FitLog
from lfads_plugins_tune.mlflow.job import ExperimentAddress, Job
from lfads_plugins_tune.mlflow.recorder import Recorder

PLACE = ExperimentAddress(uri="http://host:5000", folder=None, experiment="lfads")


def job(key: str, parent: str | None = None, **params: str) -> Job:
    return Job(run_name=key.upper(), key=key, started=5, params=params, tags={}, parent=parent)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def recorder(client: FakeClient) -> Recorder:
    return search(client)


def search(client: FakeClient) -> Recorder:
    recorder = Recorder(PLACE, lambda _: client)
    for one in (job("search"), job("m0", "search", lr="1"), job("m1", "search", lr="2")):
        recorder.add_run(one)
    return recorder


def test_members_are_shown_below_their_search(client, recorder):
    recorder.write()
    assert recorder.ids == {"search": "id-search", "m0": "id-m0", "m1": "id-m1"}
    assert [(run.job.run_name, run.parent) for run in client.runs.values()] == [("SEARCH", None), ("M0", "id-search"), ("M1", "id-search")]
    assert client.of("m1").params == {"lr": "2"}


def test_no_member_is_begun_before_its_search_is(client, recorder):
    client.faults = [ConnectionError("no"), ConnectionError("no"), ConnectionError("no")]
    for _ in range(3):
        with pytest.raises(ConnectionError):
            recorder.write()
        assert client.runs == {}
    recorder.write()
    assert {run.parent for run in client.runs.values()} == {None, "id-search"}


def test_a_run_that_was_deleted_holds_up_no_other(client, recorder):
    recorder.write()
    client.broken = {"id-search"}
    for epoch in range(3):
        for key in ("search", "m0", "m1"):
            recorder.runs[key].add(epoch, {"a": 1.0}, 0)
        with pytest.raises(ValueError, match=r"^id-search is deleted$"):
            recorder.write()
    assert [len(client.of(key).points) for key in ("search", "m0", "m1")] == [0, 3, 3]


def test_when_a_second_run_fails_the_rest_is_left_for_later(client, recorder):
    recorder.write()
    client.broken = {"id-search", "id-m0", "id-m1"}
    for key in ("search", "m0", "m1"):
        recorder.runs[key].add(0, {"a": 1.0}, 0)
    before = client.calls
    with pytest.raises(ValueError, match=r"^id-search is deleted$"):
        recorder.write()
    assert client.calls - before == 2


def test_a_search_that_is_opened_again_adds_to_the_same_runs_and_nothing_comes_twice(client, recorder):
    for epoch in range(4):
        recorder.runs["m0"].add(epoch, {"a": float(epoch)}, epoch)
    recorder.end("interrupted", 10)
    recorder.write()
    assert client.of("m0").status == "interrupted"

    again = search(client)
    again.write()
    assert client.of("m0").status == "RUNNING"
    for epoch in range(6):
        again.runs["m0"].add(epoch, {"a": -1.0, "b": float(epoch)}, epoch)
    again.end("finished", 20)
    again.write()
    assert len(client.runs) == 3
    assert client.of("m0").curve("a") == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (4, -1.0), (5, -1.0)]
    assert client.of("m0").curve("b") == [(epoch, float(epoch)) for epoch in range(6)]
    assert (client.of("m0").status, client.of("m0").ended) == ("finished", 20)


def test_an_epoch_that_is_trained_twice_in_one_go_keeps_its_first_values(client, recorder):
    for epoch in (0, 1, 0, 1, 2):
        recorder.runs["m1"].add(epoch, {"a": float(epoch)}, 0)
    recorder.runs["m1"].add(1, {"a": 9.0}, 0)
    recorder.write()
    recorder.runs["m1"].add(2, {"a": 9.0}, 0)
    recorder.runs["m1"].add(3, {"a": 3.0}, 0)
    recorder.write()
    assert client.of("m1").curve("a") == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)]


def test_a_write_that_fails_half_way_loses_nothing(client, recorder, monkeypatch):
    recorder.write()
    monkeypatch.setattr("lfads_plugins_tune.mlflow.recorded.METRICS_PER_CALL", 10)
    for epoch in range(100):
        recorder.runs["m0"].add(epoch, {"a": float(epoch)}, 0)
    metrics, calls = client.metrics, []

    def fails_at_the_fourth(run_id, points) -> None:
        calls.append(run_id)
        if len(calls) == 4:
            raise ConnectionError("no")
        metrics(run_id, points)

    monkeypatch.setattr(client, "metrics", fails_at_the_fourth)
    with pytest.raises(ConnectionError):
        recorder.write()
    assert len(client.of("m0").points) == 30
    recorder.write()
    assert client.of("m0").curve("a") == [(epoch, float(epoch)) for epoch in range(100)]


def test_a_row_longer_than_a_call_is_cut(client, recorder):
    recorder.runs["m0"].add(0, {f"metric {i}": float(i) for i in range(2500)}, 0)
    recorder.write()
    assert len(client.of("m0").points) == 2500


def test_a_member_that_ended_and_goes_on_is_running_again(client, recorder):
    recorder.runs["m0"].end("failed", 7)
    recorder.write()
    assert (client.of("m0").status, client.of("m0").ended) == ("failed", 7)
    assert client.of("m1").status == "RUNNING"
    recorder.runs["m0"].add(0, {"a": 1.0}, 8)
    recorder.write()
    assert client.of("m0").status == "RUNNING"
    recorder.end("finished", 9)
    recorder.write()
    assert {run.status for run in client.runs.values()} == {"finished"}


def test_a_member_that_ended_keeps_its_own_status_when_the_search_ends(client, recorder):
    recorder.runs["m0"].end("failed", 7)
    recorder.end("finished", 9)
    recorder.write()
    assert [client.of(key).status for key in ("search", "m0", "m1")] == ["finished", "failed", "finished"]


def test_a_tag_can_hold_the_id_of_another_run(client, recorder):
    recorder.runs["search"].add_tags({"lfads.best_member": "m01"}, {"lfads.best_run": "m1"})
    recorder.write()  # in which m1 is begun after the search
    assert client.of("search").tags == {"lfads.best_member": "m01", "lfads.best_run": "id-m1"}


def test_epochs_that_the_store_lacks_come_from_the_table(client, recorder, tmp_path):
    fitlog = FitLog(tmp_path / "fitlog.csv")
    for epoch in range(6):
        fitlog.append(epoch, {"a": float(epoch), **({"b": 1.0} if epoch == 2 else {})})
    recorder.runs["m0"].add(0, {"a": 0.0}, 3)
    recorder.write()
    again = search(client)
    again.runs["m0"].add_table(fitlog.path, 4, 50)  # the epochs from 4 on do not count: they are trained again
    again.runs["m0"].add(4, {"a": 44.0}, 51)
    again.write()
    assert client.of("m0").curve("a") == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (4, 44.0)]
    assert client.of("m0").curve("b") == [(2, 1.0)]


def test_a_table_that_is_not_there_fills_nothing(client, recorder):
    recorder.runs["m0"].add_table(Path("nowhere"), 4, 50)
    recorder.write()
    assert client.of("m0").points == []


def test_a_thinned_run_keeps_its_last_epoch(recorder):
    run = recorder.runs["m0"]
    for epoch in range(8):
        run.add(epoch, {"a": 1.0, "b": 1.0}, 0)
    assert run.waiting == 16
    run.thin()
    assert [epoch for epoch, _, _ in run._rows] == [0, 2, 4, 6, 7]
