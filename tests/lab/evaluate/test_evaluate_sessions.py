"""Sessions are told apart by their names, never by where they stand in a list; one that lacks something is named in a sentence."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.config.load import resolve
from lfads_core.infer.loading import load
from lfads_core.infer.run import score_all, sessions_for
from lfads_core.pipeline.run import start_run
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_core.train.progress import Display
from lfads_plugins_lab.evaluate.cross_session import cross_sessions
from lfads_plugins_lab.evaluate.recorded import recorded_sessions
from lfads_plugins_lab.evaluate.run import evaluate_run
from lfads_plugins_std.metrics.spikes import bits_per_spike


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, [str(part) for part in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_settings):
    """Recordings of one shape, so that one taken for the other would not be noticed but by its numbers; a run on b and a, in this order."""
    folder, rng = tmp_path_factory.mktemp("trained"), np.random.default_rng(5)
    for name in ("a", "b"):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.attrs["bin_ms"] = 10.0
            for split, trials in (("train", 12), ("valid", 6)):
                file[f"{split}_encod_data"] = rng.poisson(1.0, (trials, 8, 5)).astype("f4")
                file[f"{split}_cond"] = np.arange(trials) % 3
                file[f"{split}_behavior"] = rng.normal(size=(trials, 8, 1))
    train(folder, "both", ("b", "a"), tiny_settings)
    return folder


def train(folder, name, sessions, settings):
    registry = load_registry()
    paths = [folder / f"{session}.h5" for session in sessions]
    start_run(folder / "runs" / name, paths, resolve([], (), [*settings, "train.epochs=2"], registry), registry, Display())


@pytest.fixture
def run(trained, tmp_path):
    """A copy of that run, to do anything with."""
    shutil.copytree(trained / "runs" / "both", tmp_path / "runs" / "both")
    return Run.open(tmp_path / "runs" / "both")


def bps_by_hand(run, name):
    with h5py.File(run.output(name)) as file:
        return bits_per_spike(file["valid_output_params"][()], file["valid_recon_data"][()])


def test_outputs_scores_and_evaluation_of_a_session_are_those_of_the_recording_of_its_name(run, trained):
    expected = {name: bps_by_hand(run, name) for name in ("a", "b")}
    assert abs(expected["a"] - expected["b"]) > 1e-3
    for name in expected:
        with h5py.File(run.output(name)) as inferred, h5py.File(trained / f"{name}.h5") as recorded:
            np.testing.assert_array_equal(inferred["valid_recon_data"][()], recorded["valid_encod_data"][()])
    scores = run.read_state()["scores"]
    report = evaluate_run(load(run.path), ("b", "a"))
    for name, bps in expected.items():
        (session,) = (one for one in report.sessions if one.name == name)
        assert session.scores["valid"]["LFADS"]["bps"] == pytest.approx(bps, rel=1e-5)
        assert scores[f"valid/bps/{name}"] == pytest.approx(bps, rel=1e-5)
    assert scores["valid/bps"] == pytest.approx((expected["a"] + expected["b"]) / 2, rel=1e-5)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_scores_do_not_depend_on_the_order_of_sessions_or_predictions(order, run):
    loaded = load(run.path)
    sessions = {session.name: session for session in sessions_for(loaded, None)}
    means = {}
    for name in reversed(order):
        with h5py.File(run.output(name)) as file:
            means[name] = {split: file[f"{split}_output_params"][()] for split in ("train", "valid")}
    scores = score_all(loaded, [sessions[name] for name in order], means)
    for name in order:
        assert scores[f"valid/bps/{name}"] == pytest.approx(bps_by_hand(run, name))
    with h5py.File(run.output("a")) as a, h5py.File(run.output("b")) as b:  # what a match by position would give
        crossed = bits_per_spike(a["valid_output_params"][()], b["valid_recon_data"][()])
    assert abs(scores["valid/bps/b"] - crossed) > 1e-3


def test_tables_across_sessions_turn_with_the_order_of_sessions(run):
    a, b = recorded_sessions(load(run.path))
    assert (a.name, b.name) == ("a", "b")
    one, other = cross_sessions([a, b]), cross_sessions([b, a])
    assert list(other.sessions) == ["b", "a"]
    for name in ("decoding", "conditions"):
        table = getattr(one, name)
        assert abs(table[0, 1] - table[1, 0]) > 1e-3
        np.testing.assert_array_equal(getattr(other, name), table[::-1, ::-1])


@pytest.mark.long
def test_a_session_without_outputs_is_named_where_the_others_are_scored(run, invoke):
    whole = json.loads(invoke("eval", "runs/both", "--json").stdout)
    assert whole["notes"] == []
    run.output("a").unlink()
    text = "runs/both: the session 'a' is left out, for there is no lfads_output_a.h5."
    left = json.loads(invoke("eval", "runs/both", "--json").stdout)
    assert left["notes"] == [text]
    assert list(left["sessions"]) == ["b"]
    assert left["sessions"]["b"]["scores"] == whole["sessions"]["b"]["scores"]
    assert f"warning: {text}\n" in invoke("eval", "runs/both").stdout
    assert "left out" not in invoke("eval", "runs/both", "--session", "b").stdout
    missing = "error: runs/both/lfads_output_a.h5: there are no outputs yet. Make them with `lfads infer runs/both`.\n"
    assert invoke("eval", "runs/both", "--session", "a").stderr == missing


def test_output_files_that_changed_their_names_are_not_taken_for_one_another(run, invoke, tmp_path):
    shutil.move(run.output("a"), tmp_path / "kept.h5")
    shutil.move(run.output("b"), run.output("a"))
    shutil.move(tmp_path / "kept.h5", run.output("b"))
    done = invoke("eval", "runs/both")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (
        2,
        "error: runs/both/lfads_output_a.h5: must hold the session 'a', got outputs of 'b'. Give files back the names that `lfads infer` gave them.",
    )


@pytest.mark.long
def test_runs_of_other_sessions_are_compared_with_a_warning_and_order_is_nothing(run, trained, tiny_settings, tmp_path, invoke):
    for name, sessions in (("swapped", "ab"), ("of_a", "a"), ("of_b", "b")):
        train(trained, name, sessions, tiny_settings)
        shutil.copytree(trained / "runs" / name, tmp_path / "runs" / name)
    same = invoke("compare", "runs/both", "runs/swapped", "--json")
    assert same.stderr == ""
    assert json.loads(same.stdout)[0]["valid/bps"] == pytest.approx((bps_by_hand(run, "a") + bps_by_hand(run, "b")) / 2, rel=1e-5)
    unlike = invoke("compare", "runs/both", "runs/of_a", "runs/swapped", "--json")
    assert unlike.stderr == (
        "warning: scores are means over a run's sessions, and these are not the same: both, swapped of a, b; of_a of a. "
        "Compare single sessions with `lfads eval`.\n"
    )
    assert [row["run"] for row in json.loads(unlike.stdout)] == ["both", "of_a", "swapped"]
    assert invoke("compare", "runs/of_a", "runs/of_b").stderr == ""  # no means
    (run.path / "run.json").write_text(json.dumps({**run.read_state(), "scores": {}}))
    for name in ("a", "b"):
        run.output(name).unlink()
    assert invoke("compare", "runs/both", "runs/of_b").stderr == ""  # no scores on one side
