"""Trackers that plugins bring: any number beside ``fitlog.csv`` and MLflow, none of which can disturb another or the training."""

from __future__ import annotations

import csv
from collections.abc import Mapping

import pytest
import yaml

import lfads_plugins_std.plugin
from lfads_core import builtin
from lfads_core.plugins import Registry, hookimpl


class Tracker:
    """Keeps what it is told; at the epochs in ``fails`` it spoils its row and raises."""

    def __init__(self, fails=()):
        self.fails, self.heard = fails, []

    @hookimpl
    def lfads_run_started(self, run):
        self.heard.append(("started", run.path, yaml.safe_load(run.config_path.read_text())["train"]["epochs"]))

    @hookimpl
    def lfads_epoch_ended(self, run, epoch, row):
        assert isinstance(row, Mapping)
        self.heard.append((epoch, dict(row)))
        if epoch in self.fails:
            row.clear()
            raise OSError("no route to the server")

    @hookimpl
    def lfads_run_finished(self, run, status):
        self.heard.append((status, run.path))

    def rows(self):
        return [entry for entry in self.heard if isinstance(entry[0], int)]


def registry_of(*trackers):
    return Registry.from_plugins(
        {"core": builtin, "std": lfads_plugins_std.plugin, **{f"tracker {i}": tracker for i, tracker in enumerate(trackers)}}
    )


def logged(run):
    """Rows of ``fitlog.csv`` as numbers, without what an epoch did not measure."""
    with run.fitlog.open() as file:
        rows = list(csv.DictReader(file))
    return [(int(row.pop("epoch")), {name: float(text) for name, text in row.items() if text}) for row in rows]


def test_two_trackers_get_the_rows_of_the_log_in_order_between_start_and_end(train_tiny):
    one, other = Tracker(), Tracker()
    run = train_tiny("train.epochs=3", registry=registry_of(one, other)).run
    assert [entry[0] for entry in one.heard] == ["started", 0, 1, 2, "finished"]
    assert one.heard[0] == ("started", run.path, 3)
    assert one.heard[-1] == ("finished", run.path)
    assert one.rows() == logged(run)
    assert other.heard == one.heard


def test_a_tracker_that_spoils_its_row_and_raises_costs_one_warning_and_nobody_elses_numbers(train_tiny, caplog):
    before, bad, after = Tracker(), Tracker(fails=(0, 2)), Tracker()
    finished = train_tiny("train.epochs=3", registry=registry_of(before, bad, after))
    assert finished.outcome == "epochs"
    assert before.rows() == bad.rows() == after.rows() == logged(finished.run)
    assert [record.message for record in caplog.records if "lfads_epoch_ended" in record.message] == [
        "tracker 1 0 (entry point 'tracker 1'): lfads_epoch_ended failed and the run goes on (OSError: no route to the server)"
    ]


def test_a_run_that_goes_on_is_told_as_started_again_and_only_its_new_epochs(train_tiny, resume):
    train_tiny("train.epochs=1")
    tracker = Tracker()
    run = resume("train.epochs=3", registry=registry_of(tracker)).run
    assert [entry[0] for entry in tracker.heard] == ["started", 1, 2, "finished"]
    assert tracker.rows() == logged(run)[1:]


def test_a_training_that_fails_is_told_so(train_tiny, monkeypatch):
    from lfads_core.train.trainer import Trainer

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Trainer, "end_epoch", fail)
    tracker = Tracker()
    with pytest.raises(ZeroDivisionError):
        train_tiny(registry=registry_of(tracker))
    assert [entry[0] for entry in tracker.heard] == ["started", "failed"]
