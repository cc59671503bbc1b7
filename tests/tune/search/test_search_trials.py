"""A search as Ray Tune's and TensorBoard's own tools read it: every member is a trial, and callbacks made for Tune hear of it."""

from __future__ import annotations

import csv
import json
import struct
import sys
import types
from pathlib import Path

import pytest

from lfads_core.config.groups import run_config_class
from lfads_core.config.yaml_io import dump
from lfads_core.errors import ConfigError
from lfads_core.files import write_text
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_core.track.collect import open_member_trackers
from lfads_plugins_tune.mlflow.settings import TrackConfig
from lfads_plugins_tune.search.trackers import tracked
from lfads_plugins_tune.trials import tensorboard
from toy_search import Toy

TUNE = ("track.mlflow=false", "track.tune=true")


@pytest.fixture(scope="module")
def tune():
    """Ray Tune, as its users import it."""
    return pytest.importorskip("ray.tune")


@pytest.fixture
def carry(toy_search):
    """``carry(toy)``: what `lfads search` does around a driver."""

    def run(toy, *settings, should_stop=lambda: False, **more):
        driver = toy_search("mine-pbt", toy, *TUNE, *settings, members=3, **more)
        write_text(driver.folder / "config.yaml", dump(driver.base))
        with tracked(driver.folder, driver.base, driver.state, load_registry()) as tracking:
            tracking.hear(driver)
            tracking.status = "interrupted" if driver.run(should_stop).stopped is None else "finished"
        return driver

    return run


def results(driver, member):
    path = driver.folder / "members" / f"{member:03d}" / "result.json"
    return [json.loads(line) for line in path.read_text().splitlines()]


def values_in_force(driver, member):
    return [r.hyperparameters for g in driver.state.history for r in g.members if r.member == member for _ in range(g.first_epoch, g.epochs)]


def test_the_folder_of_a_search_opens_as_an_experiment_with_a_row_for_every_member(tune, carry):
    driver = carry(Toy())
    analysis = tune.ExperimentAnalysis(str(driver.folder))
    table = analysis.dataframe()
    assert len(table) == 3
    best = min(driver.state.history[-1].members, key=lambda record: record.score)
    assert table["valid/masked_smooth"].min() == best.score
    assert list(table["training_iteration"]) == [8, 8, 8]
    trial = analysis.get_best_trial("valid/masked_smooth", "min", scope="last")
    assert trial.trial_id.endswith(f"{best.member:05d}")
    assert trial.status == "TERMINATED"
    grid = tune.ResultGrid(analysis)
    assert len(grid) == 3
    result = grid.get_best_result("valid/masked_smooth", "min", scope="last")
    assert Path(result.path) == driver.folder / "members" / f"{best.member:03d}"
    assert result.config == best.hyperparameters
    assert len(result.metrics_dataframe) == 8


def test_every_epoch_is_there_once_with_the_hyperparameters_in_force(tune, carry):
    driver = carry(Toy())
    for member in range(3):
        rows = results(driver, member)
        assert [row["epoch"] for row in rows] == list(range(8))
        assert [row["config"] for row in rows] == values_in_force(driver, member)
        folder = driver.folder / "members" / f"{member:03d}"
        assert json.loads((folder / "params.json").read_text()) == rows[-1]["config"]
        with (folder / "progress.csv").open() as file:
            table = list(csv.DictReader(file))
        assert [float(row["valid/masked_smooth"]) for row in table] == [row["valid/masked_smooth"] for row in rows]
        assert [float(row["config/optim.lr"]) for row in table] == [row["config"]["optim.lr"] for row in rows]


def test_a_search_that_was_interrupted_and_members_that_fail_leave_no_epoch_twice(tune, carry):
    count = iter(range(1000))
    driver = carry(Toy(), should_stop=lambda: next(count) > 13)
    assert tune.ExperimentAnalysis(str(driver.folder)).trials[0].status == "PAUSED"
    driver = carry(Toy(fate=lambda task, tries: "failed" if (task.member, task.generation, tries) == (1, 2, 0) else "done"))
    assert [[row["epoch"] for row in results(driver, member)] for member in range(3)] == [list(range(8))] * 3
    assert len(tune.ExperimentAnalysis(str(driver.folder)).dataframe()) == 3


@pytest.fixture
def heard(tune, monkeypatch):
    """A module with callbacks, and what they heard."""
    said: list = []

    class Counting(tune.Callback):
        def setup(self, stop=None, num_samples=None, total_num_samples=None, **info):
            said.append(("setup", num_samples))

        def on_trial_start(self, iteration, trials, trial, **info):
            said.append(("start", trial.trial_id[-5:], len(trials)))

        def on_trial_result(self, iteration, trials, trial, result, **info):
            said.append(("result", trial.trial_id[-5:], result["training_iteration"]))

        def on_trial_complete(self, iteration, trials, trial, **info):
            said.append(("complete", trial.trial_id[-5:], trial.last_result["training_iteration"]))

        def on_experiment_end(self, trials, **info):
            said.append(("end", len(trials)))

    class Broken(tune.Callback):
        def on_trial_result(self, iteration, trials, trial, result, **info):
            raise ZeroDivisionError("no")

    module = types.ModuleType("my_callbacks")
    module.Counting, module.Broken, module.other = Counting, Broken, lambda: 5
    monkeypatch.setitem(sys.modules, "my_callbacks", module)
    return said


def test_callbacks_made_for_tune_hear_of_every_member_and_what_one_raises_is_one_warning(carry, heard, caplog):
    driver = carry(Toy(), "track.tune_callbacks=['my_callbacks:Broken', 'my_callbacks:Counting']")
    assert (heard[0], heard[-1]) == (("setup", 3), ("end", 3))
    assert sorted(said for said in heard if said[0] == "result") == [("result", f"{m:05d}", e + 1) for m in range(3) for e in range(8)]
    assert sorted(said for said in heard if said[0] in {"start", "complete"}) == [
        *(("complete", f"{m:05d}", 8) for m in range(3)),
        *(("start", f"{m:05d}", 3) for m in range(3)),
    ]
    assert [text for text in caplog.messages if "Tune" in text] == ["Ray Tune's files and callbacks: ZeroDivisionError: no; the search goes on."]
    assert driver.state.stopped == "epochs"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("my_callbacks:Gone", "must be 'module:Class' of a callback, made without arguments, got:"),
        ("my_callbacks:other", "must give a ray.tune.Callback, got int"),
    ],
)
@pytest.mark.usefixtures("heard")
def test_a_callback_that_is_none_is_refused(carry, name, why):
    with pytest.raises(ConfigError, match=f"^track.tune_callbacks: '{name}' {why}"):
        carry(Toy(), f"track.tune_callbacks=['{name}']")


def test_without_the_wish_nothing_of_it_is_written(toy_search):
    driver = toy_search("plain", Toy(), "track.mlflow=false", members=2)
    with tracked(driver.folder, driver.base, driver.state, load_registry()) as tracking:
        tracking.hear(driver)
        assert tracking.trials is None


def events(folder: Path) -> list[tuple[str, int, float]]:
    """Scalars in event files, read as the format says: length, checksum, message, checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            at += 16 + length
    return found


def test_epochs_are_written_for_tensorboard_on_request(tmp_path):
    pytest.importorskip("tensorboardX")
    run = Run.create(tmp_path / "one")
    made = run_config_class(load_registry())
    config = made(track=TrackConfig(mlflow=False, tensorboard=True))
    trackers = open_member_trackers(run, config, load_registry(), first_epoch=0)
    for epoch in range(3):
        trackers.log(epoch, {"valid/recon": 0.5 * epoch, "bad": float("nan")})
    trackers.close("finished")
    assert events(run.path / "tensorboard") == [("valid/recon", epoch, 0.5 * epoch) for epoch in range(3)]
    assert open_member_trackers(run, made(track=TrackConfig(mlflow=False)), load_registry(), first_epoch=0).others == {}


def test_without_tensorboardx_a_sentence_says_what_brings_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda _: None)
    config = run_config_class(load_registry())(track=TrackConfig(mlflow=False, tensorboard=True))
    assert open_member_trackers(Run.create(tmp_path / "one"), config, load_registry(), first_epoch=0).others == {}
    assert caplog.messages == ['track.tensorboard: tensorboardX must be installed, got none. Run: pip install "lfads-plugins-tune[tensorboard]"']
