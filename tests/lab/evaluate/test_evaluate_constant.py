"""Constant distributions fitted to a recording, beside scipy's and closed forms; what a model gains over them, and what is said when it does not."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_calcium.settings import ZIGConfig
from lfads_plugins_calcium.zig import ZeroInflatedGamma
from lfads_plugins_emg.gamma import Gamma
from lfads_plugins_lab.evaluate import constant
from lfads_plugins_lab.evaluate.constant import constant_parameters
from lfads_plugins_lab.evaluate.costs import Costs
from lfads_plugins_lab.evaluate.overfit import judge_fit
from lfads_plugins_lab.evaluate.run import likelihood_gains
from lfads_plugins_std.poisson import Poisson


def costs(value, null):
    return Costs(all=value, seen=None, hidden=None, heldout=None, null_seen=None, null_heldout=None, null_all=null)


def test_a_constant_gamma_is_that_of_maximum_likelihood():
    rng = np.random.default_rng(0)
    data = rng.gamma([2.0, 0.7], [0.5, 3.0], (30, 40, 2))
    data[rng.random(data.shape) < 0.1] = np.nan
    found = constant_parameters(Gamma(), data).exp().numpy()
    for n in range(2):
        seen = data[..., n][~np.isnan(data[..., n])]
        shape, _, scale = scipy.stats.gamma.fit(seen, floc=0)
        np.testing.assert_allclose(found[n], [shape, 1 / scale], rtol=1e-3)


def test_a_constant_zig_has_the_share_and_the_sizes_of_the_events():
    rng = np.random.default_rng(1)
    data = rng.gamma(2.0, 0.5, (40, 50, 2)) * (rng.random((40, 50, 2)) < [0.1, 0.4])
    zig = ZeroInflatedGamma(ZIGConfig(), 2)
    zig.start_from(torch.as_tensor(data, dtype=torch.float32))
    before = zig.scale.detach().clone()
    params = constant_parameters(zig, data)
    shape, rate = (part.squeeze(0).detach().numpy() for part in zig.shape_and_rate(params[None]))
    assert torch.equal(zig.scale, before)
    for n in range(2):
        events = data[..., n][data[..., n] > 0]
        fitted, _, scale = scipy.stats.gamma.fit(events, floc=0)
        np.testing.assert_allclose([shape[n], rate[n]], [fitted, 1 / scale], rtol=5e-3)
        assert torch.sigmoid(params[n, 2]).item() == pytest.approx((data[..., n] > 0).mean(), rel=1e-3)


def test_constants_are_fitted_to_evenly_spaced_bins_of_a_long_recording(monkeypatch):
    """Of 26 bins at most 10: every third, whatever trial it is in. Counts may be whole numbers."""
    monkeypatch.setattr(constant, "MOST_ROWS", 10)
    data = np.random.default_rng(2).integers(0, 9, (2, 13, 3))
    for dtype in (np.int64, np.float32):
        found = constant_parameters(Poisson(), data.astype(dtype))
        np.testing.assert_allclose(found[:, 0].exp(), data.reshape(26, 3)[::3].mean(axis=0), rtol=1e-4)
    monkeypatch.setattr(constant, "MOST_ROWS", 26)
    np.testing.assert_allclose(constant_parameters(Poisson(), data)[:, 0].exp(), data.mean(axis=(0, 1)), rtol=1e-4)


def test_channels_of_unlike_rates_are_all_fitted_to_their_end():
    data = np.random.default_rng(0).poisson([1e4, 300.0, 0.02], (20, 31, 3)).astype(float)
    np.testing.assert_allclose(constant_parameters(Poisson(), data)[:, 0].exp(), data.mean(axis=(0, 1)), rtol=1e-3)


def test_channels_of_many_and_of_few_observed_bins_are_fitted_each_by_itself():
    rng = np.random.default_rng(3)
    data = rng.poisson([0.2, 5.0, 1.0], (20, 30, 3)).astype(float)
    data[1:, :, 1] = np.nan
    data[:, :, 2] = np.nan
    found = constant_parameters(Poisson(), data)[:, 0]
    np.testing.assert_allclose(found[:2].exp(), np.nanmean(data[..., :2], axis=(0, 1)), rtol=1e-4)
    assert found[2] == 0  # nothing was seen, nothing moved


def test_a_gain_is_told_by_value_and_by_event():
    data = np.zeros((2, 5, 2))
    data[0, :, 0] = 1.5
    data[1, 2, 1] = np.nan
    sizes = {"encod_bins": 5, "encod_channels": 2, "bin_ms": None, "extras": {}}
    e = Evaluation(session="a", split="valid", means=data, data=data, support="nonnegative", is_rate=False, **sizes)
    found = likelihood_gains(costs(0.3, 0.5), e)
    assert found == pytest.approx({"gain_over_constant": 0.2, "bits_per_event": 0.2 * 19 / 5 / np.log(2)})


def test_a_model_that_is_no_better_than_a_constant_or_than_smoothing_is_told():
    first, second = judge_fit({"valid": costs(0.5, 0.4)}, {"r2": 0.1, "co_r2": 0.2}, {"r2": 0.0, "co_r2": 0.25}).warnings
    assert first.startswith(
        "no better than a constant: the model prices validation trials at 0.5 nats a value, a distribution that never changes at 0.4."
    )
    assert second.startswith("no better than smoothing: R² to the data, held-out channels: 0.200, of the smoothed data 0.250.")
    assert judge_fit({"valid": costs(0.3, 0.4)}, {"r2": 0.1}, {"r2": 0.0}).warnings == ()
