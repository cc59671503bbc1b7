"""How MLflow is opened as a tracker of a run: whether it is wanted, and by which key a run finds its record again."""

from __future__ import annotations

from pathlib import Path

import pytest

from lfads_core.config.groups import run_config_class
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_core.track.collect import open_trackers
from lfads_plugins_tune.mlflow import tracker as tracking
from lfads_plugins_tune.mlflow.records import key_of
from lfads_plugins_tune.mlflow.settings import TrackConfig
from lfads_plugins_tune.mlflow.tracker import MlflowTracker, open_for


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "one")
    run.update_state(status="running")
    return run


def settings(**track: object):
    return run_config_class(load_registry())(track=TrackConfig(**track))


@pytest.fixture
def begun(monkeypatch) -> list:
    """Where processes would have been started."""
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda _: True)
    places: list = []

    def start(self, folder, experiment, what) -> None:
        places.append((folder, experiment, what, key_of(folder, make=True)))

    monkeypatch.setattr(MlflowTracker, "__init__", start)
    return places


def test_settings_that_want_no_mlflow_start_none(run, begun):
    assert open_trackers(run, settings(mlflow=False), load_registry(), first_epoch=0).others == {}
    assert open_for(run.path, TrackConfig(mlflow=False), "search") is None
    assert begun == []
    assert "mlflow_key" not in run.read_state()


def test_a_run_keeps_the_key_by_which_mlflow_finds_it_again(run, begun):
    for first_epoch in (0, 3):
        open_trackers(run, settings(experiment="mine"), load_registry(), first_epoch=first_epoch)
    assert begun == [(run.path, "mine", "training", run.read_state()["mlflow_key"])] * 2


def test_what_cannot_be_started_is_one_warning(run, caplog, monkeypatch):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(tracking, "_start_follower", lambda: (_ for _ in ()).throw(OSError(12, "Cannot allocate memory")))
    assert open_for(run.path, TrackConfig(), "search") is None
    assert caplog.messages == ["MLflow: could not be written ([Errno 12] Cannot allocate memory); the search goes on."]
