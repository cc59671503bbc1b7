"""Synthetic EMG: its laws, and its door."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lfads_core.plugins import load_registry
from lfads_core.plugins.specs import SyntheticSpec
from lfads_core.synth.write import write_synthetic
from lfads_plugins_emg.synthetic import activations, artefacts, generate_emg, synergies
from lfads_plugins_emg.synthetic_settings import EMGConfig


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_sizes_and_splits_are_those_of_the_settings(rng):
    made = generate_emg(EMGConfig(trials=10, bins=7, channels=5, synergies=2), rng)
    for split, trials in (("train", 8), ("valid", 2)):
        for key, width in (("encod_data", 5), ("recon_data", 5), ("truth", 5), ("artefacts", 5), ("latents", 2)):
            assert made[f"{split}_{key}"].shape == (trials, 7, width)
        assert (made[f"{split}_recon_data"] > 0).all()
    assert made["bin_ms"] == 5.0


def test_synergies_are_a_stationary_gaussian_process_with_its_kernels_correlation(rng):
    settings = EMGConfig(trials=4000, bins=30, timescale_ms=20.0)
    s = synergies(settings, rng)
    np.testing.assert_allclose(s.var(axis=0), 1, atol=0.15)
    lag = 6
    got = (s[:, lag:] * s[:, :-lag]).mean()
    assert got == pytest.approx(np.exp(-((lag / 4.0) ** 2) / 4), abs=0.02)  # a Gaussian kernel convolved with itself


def test_activations_are_positive_low_dimensional_and_of_mean_one(rng):
    settings = EMGConfig(trials=50, channels=9, synergies=2, modulation=0.7)
    truth = activations(synergies(settings, rng), settings, rng)
    np.testing.assert_allclose(truth.mean(axis=(0, 1)), 1, rtol=1e-12)
    logs = np.log(truth).reshape(-1, 9)
    singular = np.linalg.svd(logs - logs.mean(axis=0), compute_uv=False)
    assert singular[2] < 1e-9 * singular[0]
    assert logs.std(axis=0).mean() == pytest.approx(0.7, rel=0.15)


def test_values_without_artefacts_are_gamma_around_the_activations(rng):
    made = generate_emg(EMGConfig(artefact_rate=0.0, shape=2.0), rng)
    standard = (made["train_recon_data"] / made["train_truth"]).ravel()
    assert stats.kstest(standard, stats.gamma(2.0, scale=0.5).cdf).pvalue > 1e-6
    assert not made["train_artefacts"].any()


def test_artefacts_strike_the_chosen_share_of_channels_in_the_same_bins(rng):
    settings = EMGConfig(trials=2000, artefact_rate=2.0, artefact_size=5.0, artefact_channels=0.8)
    added = artefacts(settings, rng)
    struck = added.any(axis=2)
    assert struck.mean() == pytest.approx(2.0 * 0.005, rel=0.1)
    assert (added[struck] > 0).mean() == pytest.approx(0.8, rel=0.02)
    assert added[added > 0].mean() == pytest.approx(5.0, rel=0.05)


def test_the_seed_makes_the_data():
    one, same, other = (generate_emg(EMGConfig(trials=4), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["train_recon_data"], same["train_recon_data"])
    assert (one["train_recon_data"] != other["train_recon_data"]).any()


def test_the_generator_is_found_by_name(tmp_path):
    spec = load_registry().get(SyntheticSpec, "emg")
    path = write_synthetic(spec, EMGConfig(trials=5, bins=6), 0, tmp_path / "a.h5")
    assert path.is_file()


def test_both_splits_need_trials():
    assert EMGConfig(trials=2, train_share=0.9).rules() == ["train_share: must leave trials for both splits, got 2 of 2 for training"]
    assert EMGConfig().rules() == []
