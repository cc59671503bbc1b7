"""What follows a training: outputs, scores, findings that are said and kept, and figures of plugins that may fail."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import lfads_core.builtin
import lfads_plugins_std.plugin
from lfads_core.errors import DataError, RunError
from lfads_core.infer import run as infer_run
from lfads_core.infer.run import draw_reports, finish, infer_sessions, score_all
from lfads_core.plugins import MetricSpec, Registry, ReportSpec
from lfads_core.plugins.hookspecs import hookimpl


def registry_with(*reports, metrics=()):
    """The components of this project with reports and metrics of a plugin, and no others' reports, which take seconds."""
    mine = SimpleNamespace()
    for name, specs in (("lfads_reports", list(reports)), ("lfads_metrics", list(metrics))):
        hook = hookimpl(lambda specs=specs: specs)
        hook.__name__ = name
        if specs:
            setattr(mine, name, hook)
    std = SimpleNamespace(**{name: hook for name, hook in vars(lfads_plugins_std.plugin).items() if name != "lfads_reports"})
    return Registry.from_plugins({"lfads-core": lfads_core.builtin, "std": std, "mine": mine})


def report(name, render):
    return ReportSpec(name=name, summary="Draws", render=render)


def drawn(*names, folder=None):
    """A function that writes files of these names."""

    def render(run, plots):
        assert plots == run.plots
        paths = [(folder or plots) / name for name in names]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            path.write_text("figure")
        return paths

    return render


@pytest.fixture
def trained(untrained, recorded):
    """A run of two days that has its weights, and the days' sessions."""

    def make(*overrides, registry=None):
        sessions = [recorded("monday"), recorded("tuesday", channels=6, seed=1)]
        loaded = untrained(sessions, "train.seed=6", *overrides, checkpoints=("best", "last"), registry=registry or registry_with())
        loaded.run.fitlog.write_text("epoch,valid/recon_smooth\n0,1.5\n", encoding="utf-8")
        return loaded, sessions

    return make


def test_all_sessions_are_inferred_scored_and_what_is_found_is_said_and_kept(trained, monkeypatch):
    count = MetricSpec(name="count", summary="Trials", compute=lambda seen: {"count": float(len(seen.means))})
    loaded, sessions = trained(registry=registry_with(report("sketch", drawn("a.svg")), metrics=[count]))
    said, asked = [], []
    real = infer_run.load
    monkeypatch.setattr(infer_run, "load", lambda path, **how: asked.append((path, how)) or real(path, **how))
    scores = finish(loaded.run, sessions, loaded.registry, said.append, device="cpu")
    assert asked == [(loaded.run.path, {"registry": loaded.registry, "device": "cpu"})]
    loaded = real(loaded.run.path, registry=loaded.registry)
    expected = infer_sessions(loaded, sessions, samples=3, seed=6)
    for name, of in expected.items():
        with h5py.File(loaded.run.output(name)) as file:
            assert (file.attrs["lfads_session"], file.attrs["lfads_posterior_samples"]) == (name, 3)
            for split, values in of.items():
                np.testing.assert_array_equal(file[f"{split}_factors"], values.factors)
    means = {name: {split: values.output_params for split, values in of.items()} for name, of in expected.items()}
    assert scores == score_all(loaded, sessions, means)
    assert (scores["train/count"], scores["valid/count"]) == (9, 4)
    found = loaded.run.read_state()["findings"]
    assert {"ramps_unfinished", "no_better_than_means"} <= set(found)
    assert "beyond_the_data" not in found
    assert said == ["inferring with the best checkpoint, 3 posterior samples", *(f"look: {text}" for text in found.values())]
    assert not loaded.run.plots.exists()


def test_posterior_means_are_said_to_be_these_and_figures_are_drawn_where_they_are_wanted(trained):
    loaded, sessions = trained("model.variational=false", "infer.figures=true", registry=registry_with(report("sketch", drawn("a.svg", "b.svg"))))
    said = []
    finish(loaded.run, sessions, loaded.registry, said.append, device="cpu")
    assert said[0] == "inferring with the best checkpoint, posterior means"
    assert said[-1] == f"2 figures in {loaded.run.plots}"
    with h5py.File(loaded.run.output("monday")) as file:
        assert file.attrs["lfads_posterior_samples"] == 0


def test_every_session_whose_values_cannot_be_and_alignments_are_found_too(trained, monkeypatch):
    loaded, sessions = trained()
    asked, said = [], []
    monkeypatch.setattr(infer_run, "of_expected", lambda session, means: f"{session.name} {len(means)}")
    monkeypatch.setattr(infer_run, "say_alignment", lambda *given: asked.append(given) or {"not_aligned": "far"})
    finish(loaded.run, sessions, loaded.registry, said.append, device="cpu")
    found = loaded.run.read_state()["findings"]
    assert (found["beyond_the_data"], found["not_aligned"]) == ("monday 2 tuesday 2", "far")
    ((run, again, of, say),) = asked
    assert (run, again.run, of) == (loaded.run, loaded.run, sessions)
    say("hello")
    assert said[-1] == "hello"


def test_sessions_that_do_not_fit_are_refused_before_anything_is_written(trained, recorded):
    loaded, sessions = trained()
    with pytest.raises(DataError, match=re.escape("tuesday: 'train' must have encoded (bins, channels), reconstructed (bins, channels)")):
        finish(loaded.run, [sessions[0], recorded("tuesday", channels=5)], loaded.registry, print, device="cpu")
    assert not loaded.run.outputs


def test_scores_of_each_split_are_those_of_sessions_that_have_it_beside_training_ones(trained, monkeypatch):
    loaded, sessions = trained()
    values = {
        "monday": {"train": np.ones((9, 7, 5)), "valid": np.zeros((4, 7, 5))},
        "tuesday": {"valid": np.ones((4, 7, 6)), "test": np.ones((2, 7, 6))},
        "sunday": {"train": np.zeros((1, 7, 5))},
    }
    asked = []

    def score(means, given, split, model, registry, *, train_means):
        assert (given, model, registry) == (sessions, loaded.model, loaded.registry)
        asked.append((split, sorted(means), None if train_means is None else sorted(train_means)))
        assert all(means[name] is values[name][split] for name in means)
        assert all(train_means[name] is values[name]["train"] for name in train_means or ())
        return {"bps": float(len(asked)), "monday/bps": 0.0}

    monkeypatch.setattr(infer_run, "score", score)
    found = score_all(loaded, sessions, values)
    assert asked == [
        ("train", ["monday", "sunday"], None),
        ("valid", ["monday", "tuesday"], ["monday", "sunday"]),
        ("test", ["tuesday"], ["monday", "sunday"]),
    ]
    assert found == {
        f"{split}/{name}": value for i, split in enumerate(("train", "valid", "test")) for name, value in (("bps", i + 1), ("monday/bps", 0))
    }
    assert score_all(loaded, sessions, {"monday": {"valid": values["monday"]["valid"]}}) == {"valid/bps": 4.0, "valid/monday/bps": 0.0}
    assert asked[3:] == [("valid", ["monday"], [])]


def fails(run, plots):
    raise ValueError("no such colour")


def test_reports_are_drawn_one_by_one_and_one_that_fails_costs_nothing_else(trained, tmp_path, caplog):
    registry = registry_with(
        report("a", drawn("a1.svg", "a2.svg")),
        report("b", fails),
        report("c", drawn("c.svg", folder=tmp_path / "outside")),
        report("d", drawn("d.svg")),
    )
    run, said = trained(registry=registry)[0].run, []
    run.plots.mkdir()
    assert draw_reports(run, registry, said.append) == [run.plots / name for name in ("a1.svg", "a2.svg", "d.svg")]
    assert said == [f"3 figures in {run.plots}"]
    assert "the report 'b' failed and the run goes on (ValueError: no such colour" in caplog.text


def test_a_report_that_writes_elsewhere_is_told(trained, tmp_path, caplog):
    registry = registry_with(report("c", drawn("c.svg", folder=tmp_path / "outside")))
    run, said = trained(registry=registry)[0].run, []
    assert draw_reports(run, registry, said.append) == []
    assert said == []
    text = f"the report 'c' failed and the run goes on (ValueError: must write below {run.plots}, but wrote {tmp_path / 'outside' / 'c.svg'}"
    assert text in caplog.text
    below = registry_with(report("c", drawn("c.svg", folder=run.plots / "deep")))
    assert draw_reports(run, below, said.append) == [run.plots / "deep" / "c.svg"]


def test_a_folder_of_figures_that_cannot_be_made_is_told(trained):
    run = trained()[0].run
    run.plots.write_text("a file")
    with pytest.raises(RunError, match=re.escape(f"{run.plots}: must be written in full, got: ")):
        draw_reports(run, registry_with(), print)
    run.plots.unlink()
    run.plots.symlink_to(Path(run.path))
    with pytest.raises(RunError, match=re.escape(f"{run.plots}: must be a folder of the run itself, got a link to elsewhere.")):
        draw_reports(run, registry_with(), print)
