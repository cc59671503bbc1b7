"""Bits per spike against scipy, slow loops, and the published fixtures."""

from __future__ import annotations

import math
import re

import h5py
import numpy as np
import pytest
from scipy.stats import poisson

from lfads_core.errors import DataError
from lfads_plugins_std.metrics.spikes import (
    bits_per_spike,
    bits_per_spike_from_log_rates,
    channel_means,
    regional_bits_per_spike,
    regional_bits_per_spike_from_log_rates,
)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def _by_scipy(rates, spikes):
    """The definition, term by term, with scipy's exact log-probabilities."""
    gain = 0.0
    for n in range(spikes.shape[-1]):
        k, r = spikes[..., n].ravel(), rates[..., n].ravel()
        seen = ~np.isnan(k)
        r = np.where(r == 0, 1e-9, r)
        gain += poisson.logpmf(k[seen], r[seen]).sum() - poisson.logpmf(k[seen], k[seen].mean()).sum()
    return gain / math.log(2) / np.nansum(spikes)


def test_bits_per_spike_is_the_gain_in_exact_poisson_log_likelihood(rng):
    rates = rng.gamma(2.0, 0.2, (6, 11, 4))
    spikes = rng.poisson(rates).astype(float)
    assert bits_per_spike(rates, spikes) == pytest.approx(_by_scipy(rates, spikes), rel=1e-11)


def test_bins_without_observation_count_in_neither_term(rng):
    rates = rng.gamma(2.0, 0.2, (6, 11, 4))
    spikes = rng.poisson(rates).astype(float)
    spikes[2, 3:7] = np.nan
    spikes[:, :, 3] = np.nan
    seen = bits_per_spike(rates, spikes)
    assert seen == pytest.approx(_by_scipy(rates[..., :3], spikes[..., :3]), rel=1e-11)
    rates[np.isnan(spikes)] = np.nan
    assert bits_per_spike(rates, spikes) == seen


def test_a_rate_of_zero_counts_as_one_in_a_billion(rng):
    rates = rng.gamma(2.0, 0.2, (3, 5, 2))
    spikes = rng.poisson(rates) + 1
    rates[0, 0, 0] = 0.0
    assert bits_per_spike(rates, spikes) == pytest.approx(_by_scipy(rates, spikes.astype(float)), rel=1e-11)


def test_mean_rates_score_zero_and_silence_scores_nothing(rng):
    spikes = rng.poisson(0.4, (5, 9, 3))
    mean = np.broadcast_to(spikes.mean((0, 1)), spikes.shape)
    assert bits_per_spike(mean, spikes) == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(bits_per_spike(np.ones((2, 3, 1)), np.zeros((2, 3, 1))))
    assert math.isnan(bits_per_spike_from_log_rates(np.zeros((2, 3, 1)), np.zeros((2, 3, 1))))


def test_float32_counts_lose_no_precision(rng):
    rates = rng.gamma(2.0, 0.2, (40, 50, 20)).astype(np.float32)
    spikes = rng.poisson(rates).astype(np.float32)
    assert bits_per_spike(rates, spikes) == pytest.approx(_by_scipy(rates.astype(float), spikes.astype(float)), rel=1e-11)
    many = (999.7 * spikes).astype(np.float32)  # whose sum single precision rounds
    assert bits_per_spike(rates, many) == bits_per_spike(rates, many.astype(float))


def test_log_rates_score_as_rates_do_up_to_the_offset_of_the_null(rng):
    rates = rng.gamma(2.0, 0.5, (6, 11, 4))
    spikes = rng.poisson(rates).astype(float)
    spikes[1] = np.nan
    offset = bits_per_spike_from_log_rates(np.log(rates), spikes) - bits_per_spike(rates, spikes)
    expected = -sum(np.nansum(spikes[..., n]) * np.log1p(1e-8 / np.nanmean(spikes[..., n])) for n in range(4))
    assert offset == pytest.approx(expected / np.log(2) / np.nansum(spikes), rel=1e-4)


def test_regions_are_scored_apart_and_empty_ones_are_nan(rng):
    rates = rng.gamma(2.0, 0.2, (6, 11, 5))
    spikes = rng.poisson(rates).astype(float)
    scores = regional_bits_per_spike(rates, spikes, 3, 8)
    assert scores["bps"] == _close(_by_scipy(rates[:, :8, :3], spikes[:, :8, :3]))
    assert scores["co_bps"] == _close(_by_scipy(rates[:, :8, 3:], spikes[:, :8, 3:]))
    assert scores["fp_bps"] == _close(_by_scipy(rates[:, 8:], spikes[:, 8:]))
    everywhere = regional_bits_per_spike(rates, spikes, 5, 11)
    assert everywhere["bps"] == bits_per_spike(rates, spikes)
    assert math.isnan(everywhere["co_bps"])
    assert math.isnan(everywhere["fp_bps"])


def test_log_rates_are_scored_by_region_too(rng):
    log_rates, spikes = rng.normal(size=(6, 11, 5)), rng.poisson(0.7, (6, 11, 5)).astype(float)
    assert regional_bits_per_spike_from_log_rates(log_rates, spikes, 3, 8) == {
        "bps": bits_per_spike_from_log_rates(log_rates[:, :8, :3], spikes[:, :8, :3]),
        "co_bps": bits_per_spike_from_log_rates(log_rates[:, :8, 3:], spikes[:, :8, 3:]),
        "fp_bps": bits_per_spike_from_log_rates(log_rates[:, 8:], spikes[:, 8:]),
    }


def test_a_single_spike_is_scored(rng):
    rates, spikes = rng.gamma(2.0, 0.2, (2, 5, 1)), np.zeros((2, 5, 1))
    spikes[1, 3] = 1.0
    assert bits_per_spike(rates, spikes) == _close(_by_scipy(rates, spikes))


def _close(value):
    return pytest.approx(value, rel=1e-11)


def test_channel_means_leave_out_what_was_not_observed():
    counts = np.array([[1.0, np.nan, np.nan], [3.0, 4.0, np.nan]])
    np.testing.assert_array_equal(channel_means(counts), [2.0, 4.0, np.nan])
    many = np.full((5000, 1), 16777217 / 4, np.float32)  # sums of these need more than single precision
    many[::2] += 1
    assert channel_means(many)[0] == many.astype(float).mean()


def test_another_shape_is_refused():
    text = "bits per spike: predictions must have the shape of the counts (2, 3, 4), got (2, 3, 5)."
    with pytest.raises(DataError, match=re.escape(text)):
        bits_per_spike(np.ones((2, 3, 5)), np.ones((2, 3, 4)))


@pytest.mark.parametrize("bad", [-0.1, np.nan])
def test_log_rates_given_as_rates_are_refused(bad):
    text = "bits_per_spike: 'rates' must be >= 0 and no NaN wherever spikes were observed. Give expected counts, not log-rates."
    rates = np.ones((2, 3, 1))
    rates[1, 1] = bad
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        bits_per_spike(rates, np.ones((2, 3, 1)))


def test_published_values_of_the_benchmark_are_met(shared):
    with h5py.File(shared / "parity/open/n_nlb_tools.h5") as file:
        group = {key: value[()] for key, value in file["bits_per_spike"].items()}
    assert bits_per_spike(group["rates"], group["spikes"]) == pytest.approx(group["value"], rel=1e-9)
    assert bits_per_spike(group["rates"], group["spikes_with_nan"]) == pytest.approx(group["value_with_nan"], rel=1e-9)
    assert bits_per_spike(group["rates_with_zero"], group["spikes"]) == pytest.approx(group["value_rates_with_zero"], rel=1e-9)


def test_published_values_from_log_rates_are_met(shared):
    with h5py.File(shared / "parity/open/n_metrics.h5") as file:
        x, k = file["lograte"][()], file["counts"][()]
        assert bits_per_spike_from_log_rates(x, k) == pytest.approx(file["bits_per_spike"][()], rel=1e-9)
        region = file["regional"]
        channels, bins = int(region["encod_data_dim"][()]), int(region["encod_seq_len"][()])
        scores = regional_bits_per_spike_from_log_rates(x, k, channels, bins)
        assert scores == {name: pytest.approx(region[name][()], rel=1e-9) for name in ("bps", "co_bps", "fp_bps")}
        seen = file["regional_without_heldout"]
        x, k = x[:, :bins, :channels], k[:, :bins, :channels]
        scores = regional_bits_per_spike_from_log_rates(x, k, channels, bins)
        assert scores == {name: pytest.approx(seen[name][()], rel=1e-9, nan_ok=True) for name in ("bps", "co_bps", "fp_bps")}


def test_the_condition_average_of_the_maze_recording_scores_what_is_published(shared):
    """0.233 bits/spike on the held-out channels: Gaussian smoothing of 40 ms and a tenth of the mean rate."""
    with h5py.File(shared / "data/spikes_mcmaze_large_subset.h5") as file:
        train, valid = file["train_recon_data"][()].astype(float), file["valid_recon_data"][()].astype(float)
        condition, asked = file["train_cond_idx"][()], file["valid_cond_idx"][()]
    held_out = np.sort(np.random.RandomState(0).permutation(162)[:40])
    labels = np.unique(condition)
    averages = _smooth(np.stack([train[condition == c].mean(0) for c in labels]), 8.0)
    rates = np.maximum(0.9 * averages + 0.1 * train.mean((0, 1)), 1e-3)[np.searchsorted(labels, asked)]
    assert bits_per_spike(rates[..., held_out], valid[..., held_out]) == pytest.approx(0.233, abs=0.001)


def _smooth(trials, sd):
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(trials, sd, axis=1)
