"""Runs and searches that the version before the parting into distributions left behind: this one loads, infers, goes on with and shows them."""

from __future__ import annotations

import csv
import json
import shutil

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import lfads_core
from lfads_core.cli.main import cli
from lfads_core.plugins.versions import versions
from old_runs import unpack

ONE_BATCH = ("--executor", "batched", "--workers", "1")


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    monkeypatch.setattr("lfads_core.infer.run.draw_reports", lambda *_: [])
    monkeypatch.setattr("lfads_plugins_tune.figures.draw_search", lambda _: [])


@pytest.fixture
def old(tmp_path):
    """What was left behind, in a new place that its files know of."""
    return unpack(tmp_path)


@pytest.fixture
def tolerance(old):
    """Nothing, where torch and the processor are those that the files were made with; elsewhere sums are rounded in another order."""
    made_on = json.loads((old / "made_on.json").read_text())
    here = {"torch": torch.__version__, "processor": torch.backends.cpu.get_cpu_capability()}
    return 0.0 if all(made_on[key] == value for key, value in here.items()) else 1e-5


@pytest.fixture
def rounding(tolerance):
    """Of trainings that go on: KL terms, L2 and their gradients are the same numbers found by fewer operations, rounded in another order."""
    return max(tolerance, 1e-5)


def lfads(*arguments, code=0):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="lfads")
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def rows(path):
    """Rows of a table without times, in the order of members and epochs."""
    with path.open() as file:
        found = [{key: float(value) for key, value in row.items() if key != "seconds" and value} for row in csv.DictReader(file)]
    return sorted(found, key=lambda row: [row.get(key, 0) for key in ("member", "generation", "epoch")])


def arrays(path):
    with h5py.File(path) as file:
        return {key: value[()] for key, value in file.items()}


def assert_same_rows(one, other, tolerance):
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine == pytest.approx(theirs, rel=tolerance, abs=tolerance)


def assert_same_arrays(one, other, tolerance):
    assert one.keys() == other.keys()
    for key, values in one.items():
        np.testing.assert_allclose(values, other[key], rtol=tolerance, atol=tolerance, err_msg=key)


def scores_of(path):
    return json.loads((path / "run.json").read_text())["scores"]


def of_today(scores):
    """Scores under today's names: the trials that an average is made of are scored against it as ``psth_own_r2``."""
    return {"train/psth_own_r2" if name == "train/psth_r2" else name: value for name, value in scores.items()}


def test_an_old_run_loads_with_its_settings_its_log_and_its_outputs(old):
    loaded = lfads_core.load(old / "runs/finished")
    assert loaded.checkpoint == "best"
    assert loaded.config.data.hold_out.fraction == 0.25
    assert loaded.config.track.mlflow is False
    assert loaded.config.search is None
    assert list(loaded.columns()["epoch"]) == [0, 1, 2]
    assert loaded.outputs()["valid_factors"].shape == (6, 10, 2)
    assert all(np.isfinite(values).all() for values in loaded.parameters().values())


@pytest.mark.parametrize("run", ["runs/finished", "runs/search/best"])
def test_an_old_run_infers_the_outputs_it_had(old, run, tolerance):
    output = old / run / "lfads_output_lorenz.h5"
    before = arrays(output)
    output.unlink()
    lfads("infer", old / run)
    assert_same_arrays(arrays(output), before, tolerance)


def test_an_old_run_that_was_interrupted_goes_on_as_the_old_version_would_have(old, rounding):
    lfads("run", "--resume", old / "runs/stopped")
    log = rows(old / "runs/stopped/fitlog.csv")
    assert [row["epoch"] for row in log] == [0, 1, 2, 3, 4, 5]
    assert_same_rows(log, rows(old / "gone-on/stopped/fitlog.csv"), rounding)
    assert scores_of(old / "runs/stopped") == pytest.approx(of_today(scores_of(old / "gone-on/stopped")), rel=rounding)


def test_an_old_run_that_had_finished_trains_for_more_epochs(old):
    before = rows(old / "runs/finished/fitlog.csv")
    lfads("run", "--resume", old / "runs/finished", "--set", "train.epochs=5")
    after = rows(old / "runs/finished/fitlog.csv")
    assert [row["epoch"] for row in after] == [0, 1, 2, 3, 4]
    assert after[:3] == before
    assert lfads_core.load(old / "runs/finished", "last").config.train.epochs == 5


@pytest.mark.long
def test_an_old_run_is_evaluated_reported_and_exported(old, tolerance):
    run, known = old / "runs/finished", scores_of(old / "runs/finished")
    lfads("eval", run)
    plain = json.loads((run / "evaluation.json").read_text())
    assert known["valid/co_bps"] == pytest.approx(plain["sessions"]["lorenz"]["scores"]["valid"]["LFADS"]["co_bps"], rel=tolerance)
    lfads("report", run)
    assert "<h1>finished</h1>" in (run / "report.html").read_text()
    lfads("export", run, "--h5", old / "all.h5", "--mat", old / "all.mat", "--parameters", old / "weights.h5")
    assert {"all.h5", "all.mat", "weights.h5"} <= {path.name for path in old.iterdir()}
    with h5py.File(old / "all.h5") as file:
        assert file["lorenz/trials/factors"].shape == (24, 10, 2)


def test_an_old_run_says_which_version_trained_it(old):
    recorded = json.loads((old / "runs/finished/run.json").read_text())["versions"]
    assert "lfads-plugins-tune" not in recorded
    assert {"lfads-core", "lfads-plugins-std", "torch"} <= recorded.keys() & versions(lfads_core.load(old / "runs/finished").registry).keys()


def test_an_old_search_is_shown_member_by_member(old):
    shown = lfads("search", "status", old / "runs/search")
    state = json.loads((old / "runs/search/search.json").read_text())
    assert "ended: every generation is done" in shown
    assert f"best: member {state['best']['member']} in {old / 'runs/search/best'}: " in shown
    assert "go on with" not in shown
    assert f"go on with: lfads search resume {old / 'runs/stopped-search'}" in lfads("search", "status", old / "runs/stopped-search")


@pytest.mark.parametrize("command", ["best", "resume"])
def test_the_best_of_an_old_search_that_had_finished_is_inferred_again(old, command, tolerance):
    search = old / "runs/search"
    before, state = arrays(search / "best/lfads_output_lorenz.h5"), json.loads((search / "search.json").read_text())
    shutil.rmtree(search / "best")
    lfads("search", command, search)
    assert_same_arrays(arrays(search / "best/lfads_output_lorenz.h5"), before, tolerance)
    again = json.loads((search / "search.json").read_text())
    assert again["history"] == state["history"]
    assert again["status"] == "finished"
    assert again["best"]["scores"] == pytest.approx(of_today(state["best"]["scores"]), rel=tolerance)


def test_an_old_search_that_was_interrupted_goes_on_as_the_old_version_would_have(old, rounding):
    search, theirs = old / "runs/stopped-search", old / "gone-on/stopped-search"
    lfads("search", "resume", search, *ONE_BATCH)
    assert_same_rows(rows(search / "fitlog.csv"), rows(theirs / "fitlog.csv"), rounding)
    for member in ("000", "001", "002"):
        assert_same_rows(rows(search / f"members/{member}/fitlog.csv"), rows(theirs / f"members/{member}/fitlog.csv"), rounding)
    mine, other = (json.loads((folder / "search.json").read_text()) for folder in (search, theirs))
    assert [[(m["member"], m["parent"], m["status"], m["hyperparameters"]) for m in generation["members"]] for generation in mine["history"]] == [
        [(m["member"], m["parent"], m["status"], m["hyperparameters"]) for m in generation["members"]] for generation in other["history"]
    ]
    assert len(mine["history"]) == 3
    assert mine["stopped"] == other["stopped"] == "epochs"
    assert mine["best"]["member"] == other["best"]["member"]
    assert mine["best"]["scores"] == pytest.approx(of_today(other["best"]["scores"]), rel=rounding)
