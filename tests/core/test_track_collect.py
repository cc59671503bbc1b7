"""All trackers as one: none of them costs the training anything, and each speaks of a fault once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from lfads_core.config.schema import RunConfig
from lfads_core.plugins import Registry, TrackerSpec, hookimpl
from lfads_core.runs import Run
from lfads_core.track.collect import Trackers, open_member_trackers, open_trackers
from lfads_core.track.fitlog import FitLog, read_fitlog
from lfads_core.track.tracker import Tracker

NOBODY = Registry.from_plugins({})


class Recorder:
    """Keeps what it gets; may fail at every call."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.got: list[object] = []
        self.fault = fault

    def _take(self, what: object) -> None:
        self.got.append(what)
        if self.fault is not None:
            raise self.fault

    def log(self, epoch: int, row: Mapping[str, float]) -> None:
        self._take((epoch, dict(row)))

    def artifacts(self, paths: Iterable[Path]) -> None:
        self._take(list(paths))

    def close(self, status: str) -> None:
        self._take(status)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "one")
    run.update_state(status="running")
    return run


def test_everything_reaches_every_tracker(run):
    first, second = Recorder(), Recorder()
    trackers = Trackers(FitLog(run.fitlog), {"first": first, "second": second})
    trackers.log(0, {"a": 1.0})
    trackers.artifacts([run.fitlog, run.path / "not there"])
    trackers.close("finished")
    assert first.got == second.got == [(0, {"a": 1.0}), [run.fitlog], "finished"]
    assert read_fitlog(run.fitlog) == {"epoch": [0], "a": [1.0]}


def test_a_tracker_that_fails_is_named_once_and_the_others_go_on(run, caplog):
    bad, good = Recorder(ValueError("no")), Recorder()
    trackers = Trackers(FitLog(run.fitlog), {"bad": bad, "good": good})
    for epoch in range(3):
        trackers.log(epoch, {"a": 1.0})
    trackers.close("finished")
    assert len(bad.got) == len(good.got) == 4
    assert caplog.messages == ["bad: could not be written (no); the training goes on."]


def test_a_table_that_cannot_be_written_for_a_while_goes_on_afterwards(run, caplog):
    trackers = open_trackers(run, RunConfig(), NOBODY, first_epoch=0)
    trackers.log(0, {"a": 0.0})
    run.fitlog.rename(run.path / "aside")
    run.fitlog.mkdir()
    trackers.log(1, {"a": 1.0})
    trackers.log(2, {"a": 2.0})
    run.fitlog.rmdir()
    (run.path / "aside").rename(run.fitlog)
    trackers.log(3, {"a": 3.0})
    assert read_fitlog(run.fitlog) == {"epoch": [0, 3], "a": [0, 3]}
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("fitlog.csv: could not be written (")


def test_a_table_that_is_no_log_is_one_warning(run, caplog):
    run.fitlog.write_text("mine\n")
    trackers = open_trackers(run, RunConfig(), NOBODY, first_epoch=0)
    trackers.log(0, {"a": 0.0})
    fault = f"{run.fitlog}: must begin with a line of column names, 'epoch' first, got ['mine']."
    assert caplog.messages == [f"fitlog.csv: could not be written ({fault}); the training goes on."]
    assert run.fitlog.read_text() == "mine\n"


def test_opening_cuts_the_table_back_to_the_epochs_that_count(run):
    trackers = open_trackers(run, RunConfig(), NOBODY, first_epoch=0)
    for epoch in range(4):
        trackers.log(epoch, {"a": float(epoch)})
    open_trackers(run, RunConfig(), NOBODY, first_epoch=2)
    assert read_fitlog(run.fitlog) == {"epoch": [0, 1], "a": [0, 1]}


class Offering:
    """A plugin of trackers: one that works, one that the settings do not want, one that cannot be opened."""

    def __init__(self) -> None:
        self.opened: list[tuple[Run, int]] = []
        self.recorder = Recorder()

    def open(self, run, config, first_epoch):
        self.opened.append((run, first_epoch))
        return self.recorder

    def fail(self, run, config, first_epoch):
        raise OSError("no server")

    @hookimpl
    def lfads_trackers(self):
        yield TrackerSpec(name="mine", summary="s", open=self.open)
        yield TrackerSpec(name="unwanted", summary="s", open=lambda *_: None)
        yield TrackerSpec(name="broken", summary="s", open=self.fail)
        yield TrackerSpec(name="alone", summary="s", open=self.open, members=False)


def test_trackers_of_plugins_are_opened_and_one_that_cannot_be_is_one_warning(run, caplog):
    plugin = Offering()
    trackers = open_trackers(run, RunConfig(), Registry.from_plugins({"mine": plugin}), first_epoch=4)
    assert set(trackers.others) == {f"{name} of mine 0 (entry point 'mine')" for name in ("mine", "alone")}
    assert plugin.opened == [(run, 4), (run, 4)]
    assert caplog.messages == ["broken of mine 0 (entry point 'mine'): could not be written (no server); the training goes on."]
    trackers.log(4, {"a": 1.0})
    assert plugin.recorder.got == [(4, {"a": 1.0})] * 2


def test_members_of_a_search_have_trackers_but_those_that_hear_of_it_otherwise_and_write_no_log(run):
    trackers = open_member_trackers(run, RunConfig(), Registry.from_plugins({"mine": Offering()}), first_epoch=0)
    assert set(trackers.others) == {"mine of mine 0 (entry point 'mine')"}
    trackers.log(0, {"a": 1.0})
    assert not run.fitlog.exists()


def test_all_trackers_together_are_a_tracker(run):
    assert isinstance(Trackers(FitLog(run.fitlog), {}), Tracker)


def test_scores_of_final_outputs_reach_trackers_that_have_a_word_for_them_and_are_no_epoch_to_the_others(run):
    class Ender(Recorder):
        def final(self, epoch: int, scores: Mapping[str, float]) -> None:
            self._take(("final", epoch, dict(scores)))

    plain, ender = Recorder(), Ender()
    trackers = Trackers(FitLog(run.fitlog), {"plain": plain, "ender": ender})
    trackers.log(2, {"a": 1.0})
    trackers.final(2, {"valid/bps": 0.5})
    assert plain.got == [(2, {"a": 1.0})]
    assert ender.got == [(2, {"a": 1.0}), ("final", 2, {"valid/bps": 0.5})]
