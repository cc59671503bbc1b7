"""Options of the commands that change recordings, where the tests of what they call do not pass by the command line."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.data.layout import session_from_arrays
from lfads_plugins_std.alignment.align_files import AlignOptions, align_recordings


def lfads(*words, code=0):
    done = CliRunner().invoke(cli, ["data", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def arrays(path):
    with h5py.File(path) as file:
        return {key: value[()] for key, value in file.items()}


@pytest.fixture
def windows(write_recording):
    """Two windows of 6 bins that share three, zeros in one and ones in the other."""
    values = {"train_encod_data": np.zeros((1, 6, 1)), "valid_encod_data": np.ones((1, 6, 1))}
    places = {
        f"{split}_{key}": np.array([at * row]) for row, split in enumerate(("train", "valid")) for key, at in (("first_bin", 3), ("segment", 0))
    }
    return write_recording("w.h5", {**values, **places, "segment_bins": np.array([9]), "segment_start_s": np.zeros(1)}, bin_ms=10.0)


def test_windows_are_blended_as_is_asked_for(windows, tmp_path):
    """Distances to the nearest end in the shared bins: 3, 2, 1 of the first, 1, 2, 3 of the second."""
    found = {}
    for blend in ("linear", "uniform", "centre"):
        lfads("merge", windows, "--blend", blend, "-o", tmp_path / "m.h5", "--force")
        found[blend] = arrays(tmp_path / "m.h5")["encod_data"][3:6, 0].tolist()
    assert found == {"linear": pytest.approx([1 / 4, 2 / 4, 3 / 4]), "uniform": pytest.approx([0.5] * 3), "centre": [0, 0, 1]}


@pytest.mark.parametrize("words", [("merge",), ("rebin", "--bin", 20), ("smooth", "--width", 10), ("split",)], ids=lambda words: words[0])
def test_a_file_is_replaced_where_that_is_asked_for(write_tiny, tmp_path, words):
    data = write_tiny(train_inds=np.arange(12), valid_inds=np.arange(12, 18))
    (tmp_path / "there.h5").write_text("precious", encoding="utf-8")
    verb, *more = words
    lfads(verb, data, *more, "-o", tmp_path / "there.h5", code=2)
    assert (tmp_path / "there.h5").read_text(encoding="utf-8") == "precious"
    lfads(verb, data, *more, "-o", tmp_path / "there.h5", "--force")
    assert arrays(tmp_path / "there.h5")


def test_trials_are_split_whatever_their_conditions_where_that_is_asked_for(write_tiny, tmp_path):
    data = write_tiny(train_inds=np.arange(12), valid_inds=np.arange(12, 18), train_cond=np.arange(12) % 3, valid_cond=np.arange(6) % 3)
    shares = {}
    for name, more in (("alike", ()), ("any", ("--no-stratify",))):
        shares[name] = set()
        for seed in range(5):
            lfads("split", data, "--valid", 0.5, "--seed", seed, "-o", tmp_path / "s.h5", "--force", *more)
            shares[name].add(tuple(np.bincount(arrays(tmp_path / "s.h5")["valid_cond"], minlength=3).tolist()))
    assert shares["alike"] == {(3, 3, 3)}
    assert len(shares["any"]) > 1


@pytest.fixture
def sessions(write_recording, monkeypatch):
    """Nothing is drawn. Three sessions of noisy averages that the same latents make; the third lacks a condition."""
    monkeypatch.setattr("lfads_plugins_std.figures.draw_alignment", lambda *_: None)
    monkeypatch.setattr("lfads_plugins_std.figures.save", lambda _, path: DRAWN.append(path) or path)
    rng = np.random.default_rng(3)
    latents = rng.normal(size=(6, 20, 3)).cumsum(axis=1)
    made = {}
    for name, channels, conditions in (("a", 7, 6), ("b", 5, 6), ("c", 6, 5)):
        order = np.repeat(np.arange(conditions), 4)
        mean = (latents @ rng.normal(size=(3, channels)))[order]
        parts = {split: mean + rng.normal(size=mean.shape) for split in ("train", "valid")}
        made[name] = {
            **{f"{split}_encod_data": values for split, values in parts.items()},
            **{f"{split}_{key}": order * 10 for split in parts for key in ("cond", "target")},
            "train_other": rng.permutation(order),
            "valid_other": rng.permutation(order),
        }
    return made, {name: write_recording(f"{name}.h5", of, bin_ms=20.0) for name, of in made.items()}


DRAWN: list[Path] = []
"""Where figures would have been drawn."""

ALIGNED = {
    "what holds by default": ((), {}),
    "--components": (("--components", 1), {"components": 1}),
    "--variance": (("--variance", 0.5), {"variance": 0.5}),
    "--smooth": (("--smooth", 0), {"smooth_ms": 0}),
    "--ridge": (("--ridge",), {"ridge": True}),
    "--conditions": (("--conditions", "other"), {"conditions": "other"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALIGNED)
def test_sessions_are_aligned_as_is_asked_for(sessions, tmp_path, name):
    options, meant = ALIGNED[name]
    made, paths = sessions
    lfads("align", paths["a"], paths["b"], "-o", tmp_path / "out", *options)
    read = [session_from_arrays(name, made[name], {"bin_ms": 20.0}) for name in "ab"]
    wanted, plain = (align_recordings(read, AlignOptions(**of)) for of in (meant, {}))
    for session in "ab":
        found = arrays(tmp_path / "out" / f"{session}.h5")["readin_weight"]
        np.testing.assert_allclose(found, wanted.sessions[session].weight, atol=1e-5)
        other = plain.sessions[session].weight
        assert not meant or found.shape != other.shape or not np.allclose(found, other, atol=1e-3)


def test_a_session_that_lacks_a_condition_is_met_half_way_where_that_is_asked_for(sessions, tmp_path):
    _, paths = sessions
    assert "--common" in lfads("align", *paths.values(), "-o", tmp_path / "out", code=2)
    assert "of 5 conditions" in lfads("align", *paths.values(), "-o", tmp_path / "out", "--common")


def test_sessions_of_reference_alone_make_the_components(sessions, tmp_path):
    _, paths = sessions
    lfads("align", paths["a"], "-o", tmp_path / "one", "--components", 3)
    lfads("align", paths["a"], paths["b"], "-o", tmp_path / "two", "--components", 3, "--reference", paths["a"])
    np.testing.assert_allclose(arrays(tmp_path / "two/a.h5")["readin_weight"], arrays(tmp_path / "one/a.h5")["readin_weight"], atol=1e-6)
    assert "--force" in lfads("align", paths["a"], "-o", tmp_path / "one", "--components", 2, code=2)
    DRAWN.clear()
    lfads("align", paths["a"], "-o", tmp_path / "one", "--components", 2, "--force", "--format", "pdf")
    assert [path.name for path in DRAWN] == ["alignment_a.pdf"]
    assert arrays(tmp_path / "one/a.h5")["readin_weight"].shape == (7, 2)
