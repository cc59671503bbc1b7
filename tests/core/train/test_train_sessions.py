"""Recordings of every kind: several sessions, external inputs, truth, gaps, channels held out."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import lfads_core
from lfads_core.track.fitlog import read_fitlog


def arrays_of(path):
    with h5py.File(path) as file:
        return {key: value[()] for key, value in file.items()}


def test_several_sessions_share_one_model_and_keep_their_own_files(train_tiny, write_tiny):
    data = [write_tiny("b.h5", channels=7, seed=1), write_tiny("a.h5", channels=4, seed=2)]
    done = train_tiny("data.batch_size=6", data=data)
    log = read_fitlog(done.run.fitlog)
    for split in ("train", "valid"):
        each = np.array([log[f"{split}/recon/{name}"] for name in "ab"])
        assert np.allclose(log[f"{split}/recon"], each.mean(axis=0), rtol=1e-12)
    loaded = lfads_core.load(done.run.path)
    assert any(name.startswith("readins.") for name, parameter in loaded.model.named_parameters() if parameter.requires_grad)
    for path in data:
        given, found = arrays_of(path), arrays_of(done.run.output(path.stem))
        for split in ("train", "valid"):
            assert np.array_equal(found[f"{split}_encod_data"], given[f"{split}_encod_data"])
            assert found[f"{split}_output_params"].shape == given[f"{split}_encod_data"].shape
    assert {"valid/bps", "valid/bps/a", "valid/bps/b"} <= done.scores.keys()
    with pytest.raises(lfads_core.RunError) as caught:
        loaded.outputs()
    assert str(caught.value) == f"{done.run.path}: which session must be named, got none of a, b."


def test_external_inputs_reach_the_generator_and_come_out_again(train_tiny, write_tiny):
    rng = np.random.default_rng(0)
    external = {f"{split}_ext_input": rng.normal(size=(trials, 8, 2)).astype("f4") for split, trials in (("train", 12), ("valid", 6))}
    done = train_tiny(data=write_tiny(**external))
    found = arrays_of(done.run.output("tiny"))
    assert found["valid_gen_inputs"].shape == (6, 8, 4)
    assert np.allclose(found["valid_gen_inputs"][:, :, 2:], external["valid_ext_input"], atol=1e-6)
    assert np.array_equal(found["valid_ext_input"], external["valid_ext_input"])


def test_truth_is_scored(train_tiny, write_tiny):
    rng = np.random.default_rng(0)
    truth = {f"{split}_truth": rng.uniform(0.5, 1.5, (trials, 8, 5)) for split, trials in (("train", 12), ("valid", 6))}
    done = train_tiny(data=write_tiny(**truth))
    assert {"valid/r2_truth", "valid/r2_truth_vw"} <= done.scores.keys()
    assert np.array_equal(arrays_of(done.run.output("tiny"))["valid_truth"], truth["valid_truth"])


def test_gaps_train_with_the_recipe_for_them(train_tiny, write_tiny):
    rng = np.random.default_rng(0)
    data = {f"{split}_encod_data": rng.gamma(2.0, size=(trials, 8, 5)).astype("f4") for split, trials in (("train", 12), ("valid", 6))}
    for values in data.values():
        values[:, ::3, 1] = np.nan
    done = train_tiny(data=write_tiny(**data), plugins=("zig",))
    log = read_fitlog(done.run.fitlog)
    assert np.isfinite(log["train/recon"]).all()
    found = arrays_of(done.run.output("tiny"))
    assert np.isfinite(found["valid_output_params"]).all()
    assert np.array_equal(found["valid_encod_data"], data["valid_encod_data"], equal_nan=True)


def test_channels_held_out_are_scored_and_their_order_is_written(train_tiny, write_tiny):
    data = write_tiny(channels=8)
    done = train_tiny("data.hold_out.fraction=0.25", "data.hold_out.seed=3", data=data)
    assert "valid/co_bps" in done.scores
    assert np.isfinite(read_fitlog(done.run.fitlog)["valid/co_bps"][1])
    given, found = arrays_of(data)["valid_encod_data"], arrays_of(done.run.output("tiny"))
    order = found["channel_order"]
    assert order[6:].tolist() == sorted(np.random.RandomState(3).permutation(8)[:2])
    assert np.array_equal(given[..., order], found["valid_recon_data"])
    assert np.array_equal(given[..., order[:6]], found["valid_encod_data"])
    with h5py.File(done.run.output("tiny")) as file:
        assert file["channel_order"].attrs["meaning"] == "index in the recording of each channel of data, truth and outputs"
