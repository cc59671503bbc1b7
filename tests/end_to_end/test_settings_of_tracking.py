"""Where runs and searches are recorded beside their own folders, and bundles are made."""

from __future__ import annotations

import sys
import types

import pytest
import yaml

from lfads_plugins_tune.bundle import make as bundles
from lfads_plugins_tune.mlflow import tracker
from lfads_plugins_tune.mlflow.records import artifacts_of


class Recorder:
    """Stands for MLflow."""

    made: list[tuple[str, str]]

    def __init__(self, folder, experiment, what):
        self.made.append((experiment, what))
        self.run_ids, self.last = {}, {}

    def log(self, *_, **__): ...

    def artifacts(self, *_, **__): ...

    def close(self, *_, **__): ...


def test_a_run_is_recorded_where_and_with_the_files_that_are_asked_for(train_tiny, monkeypatch):
    Recorder.made = []
    monkeypatch.setattr(tracker, "MlflowTracker", Recorder)
    monkeypatch.setattr(tracker.importlib.util, "find_spec", lambda _: object())
    files = {}
    for kept in ("all", "light", "none"):
        run = train_tiny("train.epochs=1", "track.mlflow=true", "track.experiment=mine", f"track.artifacts={kept}", name=kept).run
        files[kept] = {path.name for path in artifacts_of(run, yaml.safe_load(run.config_path.read_text(encoding="utf-8")))}
    assert Recorder.made == [("mine", "training")] * 3
    assert files["none"] == set() < files["light"] < files["all"]
    assert files["all"] - files["light"] == {"checkpoints", "lfads_output_tiny.h5"}
    train_tiny("train.epochs=1", "track.mlflow=false", name="not")
    assert len(Recorder.made) == 3


def test_curves_are_written_for_tensorboard_where_that_is_asked_for(train_tiny):
    pytest.importorskip("tensorboardX")
    assert list(train_tiny("train.epochs=1", "track.tensorboard=true").run.path.glob("tensorboard/*"))
    assert not train_tiny("train.epochs=1", name="not").run.path.joinpath("tensorboard").exists()


@pytest.mark.slow
def test_members_are_written_for_the_tools_of_tune_and_told_to_its_callbacks(invoke, write_tiny, sets, monkeypatch, tmp_path):
    tune = pytest.importorskip("ray.tune")
    heard = []

    class Counting(tune.Callback):
        def on_trial_result(self, iteration, trials, trial, result, **info):
            heard.append(result["training_iteration"])

    module = types.ModuleType("my_callbacks")
    module.Counting = Counting
    monkeypatch.setitem(sys.modules, "my_callbacks", module)
    few = ("--members", 2, "--epochs", 2, *sets)
    for name, more in (
        ("plain", ()),
        ("told", ("--set", "track.tune_callbacks=['my_callbacks:Counting']")),
        ("written", ("--set", "track.tune=true")),
    ):
        heard.clear()
        invoke("search", "random", write_tiny(), "--name", name, *few, *more)
        assert bool(heard) == (name == "told")
        assert bool(list((tmp_path / "runs" / name).rglob("result.json"))) == (name != "plain")


def test_a_bundle_is_made_of_what_and_where_is_asked_for(invoke, write_tiny, sets, monkeypatch, tmp_path):
    seen = []

    def make(order, work, registry, displays, *, resume):
        seen.append((order, work, resume))
        return types.SimpleNamespace(scores={}, output=order.output, names=[])

    monkeypatch.setattr(bundles, "make_bundle", make)
    invoke("bundle", write_tiny(), "--search", "none", *sets, "-o", "mine.zip", "--max-size", "3MB")
    order, work, resume = seen[0]
    assert (order.output.name, order.max_size, order.kind, resume) == ("mine.zip", 3_000_000, "none", False)
    assert work.path.parent == order.output.parent
    (tmp_path / "mine.zip").write_text("old", encoding="utf-8")
    assert "--force" in invoke("bundle", tmp_path / "tiny.h5", "--search", "none", *sets, "-o", "mine.zip", code=2)
    invoke("bundle", tmp_path / "tiny.h5", "--search", "none", *sets, "-o", "mine.zip", "--force", "--work", "kept")
    assert str(seen[1][1].path) == "kept"
    invoke("bundle", tmp_path / "tiny.h5", "--search", "none", *sets, "-o", "mine.zip", "--force", "--work", "kept", "--resume")
    assert seen[2][2]
