"""How MLflow is opened as a tracker of a run: whether it is wanted, and by which key a run finds its record again."""

from __future__ import annotations

from pathlib import Path

import pytest

from lfads_core.config.groups import run_config_class
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_core.track.collect import open_trackers
from lfads_plugins_tune.mlflow.settings import TrackConfig


class Recorder:
    """Keeps what it is to fill in."""

    def __init__(self) -> None:
        self.got: list[object] = []

    def refill(self, fitlog: Path, before: int) -> None:
        self.got.append((fitlog, before))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "one")
    run.update_state(status="running")
    return run


def settings(**track: object):
    return run_config_class(load_registry())(track=TrackConfig(**track))


def test_settings_that_want_no_mlflow_start_none(run, monkeypatch):
    monkeypatch.setattr("lfads_plugins_tune.mlflow.tracker.MlflowTracker.start", lambda *_, **__: pytest.fail("started"))
    assert open_trackers(run, settings(mlflow=False), load_registry(), first_epoch=0).others == {}
    assert "mlflow_key" not in run.read_state()


def test_a_run_keeps_the_key_by_which_mlflow_finds_it_again(run, monkeypatch):
    pytest.importorskip("sqlalchemy", reason="MLflow is not installed")
    started, recorder = [], Recorder()
    monkeypatch.setattr(
        "lfads_plugins_tune.mlflow.tracker.MlflowTracker.start", lambda _, params, **given: started.append((params, given)) or recorder
    )
    run.update_state(versions={"torch": "2.13.0"})
    config = settings(experiment="mine")
    open_trackers(run, config, load_registry(), first_epoch=0)
    open_trackers(run, config, load_registry(), first_epoch=3)
    (params, first), (_, second) = started
    assert first == second == {"experiment": "mine", "key": run.read_state()["mlflow_key"], "tags": {"version torch": "2.13.0"}}
    assert params["optim"]["lr"] == config.optim.lr
    assert params["components"]["reconstruction"] == {"name": "poisson"}
    assert recorder.got == [(run.fitlog, 3)]  # only a run that goes on may lack epochs
