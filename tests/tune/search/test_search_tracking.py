"""A search as its listeners hear it: MLflow's runs while it goes on, is interrupted, fails and is resumed; its figures."""

from __future__ import annotations

import logging

import pytest

from fake_client import FakeClient, recorder_of
from lfads_core.config.yaml_io import dump
from lfads_core.errors import LfadsError, RunError
from lfads_core.files import write_text
from lfads_core.plugins import load_registry
from lfads_plugins_tune.search import trackers
from lfads_plugins_tune.search.driver import Driver
from lfads_plugins_tune.search.trackers import Tracking, draw_figures, tracked
from toy_search import Toy


class Follower:
    """Follows in this process, as often as it is told that something has changed: each generation, and the end."""

    def __init__(self, folder, client: FakeClient) -> None:
        self.recorder = recorder_of(folder, client)
        self.fault = ""

    def look(self, ended: str | None = None) -> None:
        try:
            self.recorder.write(ended)
        except ConnectionError as err:
            self.fault = str(err)

    close = look


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    client = FakeClient()
    monkeypatch.setattr(trackers, "open_for", lambda folder, *_: Follower(folder, client))
    return client


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def never():
    return False


def carry(driver: Driver, registry, should_stop=never) -> Tracking:
    """What `lfads search` does around a driver."""
    write_text(driver.folder / "config.yaml", dump(driver.base))
    with tracked(driver.folder, driver.base, driver.state, registry) as tracking:
        tracking.hear(driver)
        if driver.run(should_stop).stopped is None:
            tracking.status = "interrupted"
        else:
            tracking.finished(None)
    return tracking


def runs_of(client: FakeClient) -> dict:
    return {run.name.removesuffix(" · a").replace("a", "search"): run for run in client.runs.values()}


def test_every_member_has_its_epochs_hyperparameters_and_scores(client, toy_search, registry):
    driver = toy_search("a", Toy(), members=4)
    carry(driver, registry)
    runs = runs_of(client)
    assert list(runs) == ["search", "m00", "m01", "m02", "m03"]
    for member in range(4):
        run = runs[f"m{member:02d}"]
        records = [(g, next(r for r in g.members if r.member == member)) for g in driver.state.history]
        assert [epoch for epoch, _ in run.curve("valid/masked_smooth")] == list(range(8))
        assert run.curve("score") == [(g.epochs - 1, r.score) for g, r in records]
        assert run.curve("hp/lr") == [(epoch, r.hyperparameters["optim.lr"]) for g, r in records for epoch in (g.first_epoch, g.epochs - 1)]
        assert run.params["hp/lr"] == str(records[0][1].hyperparameters["optim.lr"])
        assert run.params["optim.lr"] == run.params["hp/lr"]
        assert run.params["train.seed"] == str(member)
        assert run.status == "finished"
    parent = runs["search"]
    assert parent.curve("score/best") == [(g.generation, g.best.score) for g in driver.state.history]
    assert parent.params["search.kind"] == "pbt"
    assert parent.files == ["config.yaml", "search.json", "fitlog.csv"]


def test_an_interrupted_search_goes_on_in_the_same_runs_with_nothing_twice(client, toy_search, registry):
    driver = toy_search("a", Toy(), members=3)
    count = iter(range(1000))
    carry(driver, registry, lambda: next(count) > 13)
    assert {run.status for run in client.runs.values()} == {"interrupted"}
    again = toy_search("a", Toy(), members=3)
    carry(again, registry)
    runs = runs_of(client)
    assert len(runs) == 4
    assert {run.status for run in runs.values()} == {"finished"}
    for run in runs.values():
        places = [(name, epoch) for name, _, epoch, _ in run.points]
        assert len(places) == len(set(places))
        assert [name for name in run.tags if name.startswith("resumed with")] == []  # hyperparameters that moved are no changed settings
    assert [epoch for epoch, _ in runs["m01"].curve("valid/masked_smooth")] == list(range(8))
    assert [generation for generation, _ in runs["search"].curve("score/best")] == [0, 1, 2, 3]


def test_a_search_that_stops_with_a_sentence_is_a_failed_one(client, toy_search, registry):
    driver = toy_search("a", Toy(fate=lambda *_: "failed"), "search.retries=0", members=3)
    with pytest.raises(RunError):
        carry(driver, registry)
    assert {run.status for run in client.runs.values()} == {"failed"}


def test_one_that_is_interrupted_at_its_end_is_an_interrupted_one(client, toy_search, registry):
    driver = toy_search("a", Toy(), members=2)
    write_text(driver.folder / "config.yaml", dump(driver.base))
    with pytest.raises(KeyboardInterrupt), tracked(driver.folder, driver.base, driver.state, registry):
        raise KeyboardInterrupt
    assert {run.status for run in client.runs.values()} == {"interrupted"}


def test_a_store_that_fails_costs_a_search_nothing(client, toy_search, registry):
    reference = toy_search("b", Toy(), members=3)
    reference.run(never)
    client.faults = [ConnectionError("refused")] * 10_000
    driver = toy_search("a", Toy(), members=3)
    carry(driver, registry)
    assert driver.state.history == reference.state.history
    assert client.runs == {}


def test_figures_are_drawn_and_what_goes_wrong_there_is_one_warning(toy_search, tmp_path, caplog, monkeypatch):
    driver = toy_search("a", Toy(), members=3)
    driver.run(never)
    assert [path.name for path in draw_figures(driver.folder, "png")] == ["curves.png", "scores.png", "hyperparameters.png", "lineage.png"]
    caplog.set_level(logging.WARNING)
    for error, text in (
        (LfadsError("plots: matplotlib must be installed"), "plots: matplotlib must be installed"),
        (ZeroDivisionError("no"), f"{driver.folder}: the figures could not be drawn (ZeroDivisionError: no)."),
    ):
        caplog.clear()
        monkeypatch.setattr("lfads_plugins_tune.figures.draw_search", lambda *_, error=error: (_ for _ in ()).throw(error))
        assert draw_figures(driver.folder, "png") == []
        assert caplog.messages == [text]
