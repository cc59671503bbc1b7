"""The parameters of the data's distribution: asked for, written, and put in order as what they are of."""

import h5py
import numpy as np
import pytest
import torch

import lfads_core as lf
from lfads_core.infer.loading import load

HELD = ("data.hold_out.fraction=0.5", "infer.distribution=true", "train.epochs=1")


def arrays(path):
    with h5py.File(path) as file:
        return {key: item[()] for key, item in file.items()}


@pytest.mark.long
@pytest.mark.parametrize("samples", ["--means", "--samples=7"])
def test_parameters_of_the_distribution_are_averages_over_the_posterior(samples, train_tiny, invoke, tmp_path):
    run = train_tiny("train.epochs=2", "components.reconstruction=zero-inflated-gamma").run
    assert not [key for key in arrays(run.output("tiny")) if "distribution" in key]
    invoke("infer", run.path, samples, "--distribution", "-o", tmp_path / "out.h5")
    found = arrays(tmp_path / "out.h5")
    shape, rate, q = (found[f"valid_distribution_{name}"] for name in ("shape", "rate", "q"))
    assert shape.shape == found["valid_output_params"].shape
    assert ((q > 0) & (q < 1)).all()
    loaded = load(run.path)
    weights = loaded.model.reconstructions["tiny"].scale.detach().numpy()
    assert (shape < weights[0]).all()
    assert (rate < weights[1]).all()
    away = np.abs(q * (shape / rate + loaded.model.reconstructions["tiny"].config.gamma_loc) - found["valid_output_params"]).max()
    if samples == "--means":  # one pass: the mean is that of the parameters
        factors = torch.from_numpy(found["valid_factors"])
        logits = loaded.model.read_out("tiny", factors).detach()
        np.testing.assert_allclose(q, torch.sigmoid(logits[..., 2]), atol=1e-6)
        np.testing.assert_allclose(rate, torch.sigmoid(logits[..., 1]).numpy() * weights[1], atol=1e-6)
        assert away < 1e-6
    else:  # the mean of a product is not that of its factors
        assert away > 1e-6
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["valid_distribution_q"].attrs["meaning"] == "q of each channel's distribution in each bin"


def test_a_run_writes_the_parameters_of_its_distribution_and_exports_put_them_in_the_recordings_order(train_tiny, invoke, tmp_path):
    run = train_tiny("components.reconstruction=gaussian", *HELD).run
    found = arrays(run.output("tiny"))
    place = np.argsort(found["channel_order"])
    assert not np.array_equal(place, np.arange(len(place)))
    invoke("export", run.path, "--h5", tmp_path / "all.h5")
    with h5py.File(tmp_path / "all.h5") as file:
        (session,) = file.values()
        exported = {key: item[()] for key, item in session["trials"].items()}
        valid = session["split"].asstr()[()] == "valid"
        assert session["trials/distribution_mean"].attrs["meaning"] == "mean of each channel's distribution in each bin"
    np.testing.assert_array_equal(exported["distribution_mean"], exported["output_params"])
    np.testing.assert_array_equal(exported["distribution_std"][valid], found["valid_distribution_std"][:, :, place])
    labelled = lf.load(run.path).results
    assert labelled["distribution_std"].dims == ("trial", "time", "unit")
    np.testing.assert_array_equal(labelled["distribution_mean"], labelled["rates"])


def test_python_asks_for_the_parameters_of_the_distribution(train_tiny, write_tiny):
    run = lf.load(train_tiny("components.reconstruction=gaussian", "train.epochs=1").run.path)
    data = write_tiny("other.h5")
    assert "distribution_std" not in run.infer(data)
    found = run.infer(data, distribution=True)
    assert (found["distribution_std"] > 0).all()
    np.testing.assert_array_equal(found["distribution_mean"], found["rates"])
