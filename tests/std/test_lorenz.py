"""Lorenz data: the integrator against scipy, the counts against their rates, the file layout."""

from __future__ import annotations

import re

import attrs
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import chi2

from lfads_core.errors import NumericsError
from lfads_plugins_std.lorenz import advance, expected_counts, generate_lorenz, lorenz_flow, trajectories
from lfads_plugins_std.lorenz_settings import LorenzConfig, train_trials

SMALL = LorenzConfig(conditions=5, trials_per_condition=10, bins=30, channels=7, burn_in=5.0)


@pytest.fixture(scope="module")
def data():
    return generate_lorenz(LorenzConfig(), np.random.default_rng(1))


def test_the_integrator_follows_scipys_solution():
    start = np.array([[1.0, 2.0, 20.0], [-5.0, 3.0, 30.0]])
    ended = advance(start, 1.5, attrs.evolve(SMALL, step=0.002))
    for first, last in zip(start, ended, strict=True):
        exact = solve_ivp(
            lambda _, s: [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]], (0, 1.5), first, rtol=1e-12, atol=1e-12
        )
        np.testing.assert_allclose(last, exact.y[:, -1], atol=1e-5)


def test_halving_the_step_divides_the_error_by_sixteen():
    start = np.array([[1.0, 2.0, 20.0]])
    exact = advance(start, 0.4, attrs.evolve(SMALL, step=2e-4))
    errors = [np.abs(advance(start, 0.4, attrs.evolve(SMALL, step=h)) - exact).max() for h in (0.01, 0.005)]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.15)


def test_the_fixed_points_do_not_move():
    c = np.sqrt(8 / 3 * 27)
    points = np.array([[0.0, 0.0, 0.0], [c, c, 27.0], [-c, -c, 27.0]])
    np.testing.assert_allclose(lorenz_flow(points, SMALL), 0, atol=1e-12)
    np.testing.assert_allclose(advance(points, 0.0, SMALL), points)


@pytest.mark.parametrize("burn_in", [0.0, 1.3])
def test_trajectories_begin_after_the_burn_in(burn_in):
    """Scipy's solution from the same start, in the middle of each bin, each axis with mean 0 and variance 1."""
    settings = attrs.evolve(SMALL, burn_in=burn_in, bins=10, step=1e-3)
    start = np.random.default_rng(3).normal(size=(5, 3)) * 8.0 + (0.0, 0.0, 25.0)
    times = burn_in + (np.arange(10) + 0.5) * settings.speed * settings.bin_ms / 1000

    def flow(_, s):
        return [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]]

    exact = np.stack([solve_ivp(flow, (0, times[-1]), first, t_eval=times, rtol=1e-11, atol=1e-11).y.T for first in start])
    wanted = (exact - exact.mean((0, 1))) / exact.std((0, 1))
    np.testing.assert_allclose(trajectories(settings, np.random.default_rng(3)), wanted, atol=1e-4)


def test_trajectories_are_standardised_and_follow_the_flow_from_bin_to_bin():
    states = trajectories(SMALL, np.random.default_rng(0))
    np.testing.assert_allclose(states.mean((0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(states.std((0, 1)), 1, rtol=1e-12)
    # The equation of z is invariant under (x, y) -> (-x, -y), so x and y are centred by symmetry only on average; find the affine map
    # back to the raw system from x' = sigma (y - x), which the central differences must meet.
    fine = trajectories(attrs.evolve(SMALL, bins=400, bin_ms=1.0), np.random.default_rng(0))
    h = SMALL.speed / 1000
    slope = (fine[:, 2:, 0] - fine[:, :-2, 0]) / (2 * h)
    design = np.stack([fine[:, 1:-1, 0].ravel(), fine[:, 1:-1, 1].ravel(), np.ones(slope.size)], axis=1)
    fit, *_ = np.linalg.lstsq(design, slope.ravel(), rcond=None)
    assert fit[0] == pytest.approx(-SMALL.sigma, rel=0.01)
    np.testing.assert_allclose(design @ fit, slope.ravel(), atol=0.02 * np.abs(slope).max())


def test_the_burn_in_reaches_the_attractor():
    """Long-run means of the attractor are 0, 0 and 23.55; conditions are independent, so their mean is near that."""
    raw = advance(np.random.default_rng(0).normal(size=(4000, 3)), 20.0, SMALL)
    assert raw[:, 2].mean() == pytest.approx(23.55, abs=6 * 8.6 / np.sqrt(4000))
    assert np.abs(raw[:, 0].mean()) < 6 * 7.9 / np.sqrt(4000)


def test_rates_have_the_chosen_mean_and_modulation():
    settings = attrs.evolve(SMALL, mean_rate=12.0, modulation=0.7)
    latents = trajectories(settings, np.random.default_rng(0))
    truth = expected_counts(latents, settings, np.random.default_rng(3))
    np.testing.assert_allclose(truth.mean((0, 1)) / (settings.bin_ms / 1000), 12.0, rtol=1e-12)
    np.testing.assert_allclose(np.log(truth).std((0, 1)), 0.7, rtol=1e-12)
    design = np.concatenate([latents.reshape(-1, 3), np.ones((latents.shape[0] * latents.shape[1], 1))], axis=1)
    residual = np.linalg.lstsq(design, np.log(truth).reshape(-1, 7), rcond=None)[1]
    np.testing.assert_allclose(residual, 0, atol=1e-18)


def test_counts_are_poisson_draws_of_the_truth(data):
    counts, truth = data["train_recon_data"].astype(float), data["train_truth"].astype(float)
    total, expected = counts.sum(), truth.sum()
    assert abs(total - expected) < 6 * np.sqrt(expected)
    pearson = ((counts - truth) ** 2 / truth)[truth > 0.05]
    low, high = chi2.ppf([1e-6, 1 - 1e-6], pearson.size)
    assert 0.98 * low < pearson.sum() < 1.02 * high  # a little room: the terms are not exactly chi-square


def test_the_layout_holds_every_key_with_matching_rows(data):
    s = LorenzConfig()
    train, valid = s.conditions * 13, s.conditions * 3
    for name, rows in (("train", train), ("valid", valid)):
        for key in ("encod_data", "recon_data", "truth"):
            assert data[f"{name}_{key}"].shape == (rows, s.bins, s.channels)
            assert data[f"{name}_{key}"].dtype == np.float32
        assert data[f"{name}_latents"].shape == (rows, s.bins, 3)
        np.testing.assert_array_equal(data[f"{name}_encod_data"], data[f"{name}_recon_data"])
        np.testing.assert_array_equal(np.bincount(data[f"{name}_cond"]), rows // s.conditions)
    assert data["bin_ms"] == s.bin_ms
    assert data["truth_units"] == "expected counts per bin"
    assert sorted([*data["train_inds"], *data["valid_inds"]]) == list(range(train + valid))
    assert (np.diff(data["train_inds"]) > 0).all()


def test_trials_of_a_condition_share_their_rates_across_the_splits(data):
    for k in (0, 17, 64):
        trials = np.concatenate([data[f"{name}_truth"][data[f"{name}_cond"] == k] for name in ("train", "valid")])
        assert len(trials) == 16
        np.testing.assert_array_equal(trials, np.broadcast_to(trials[:1], trials.shape))


def test_another_session_of_the_same_conditions_needs_only_new_neurons():
    latents = trajectories(SMALL, np.random.default_rng(0))
    first, second = (expected_counts(latents, SMALL, np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.allclose(first, second)


def test_the_same_seed_gives_the_same_data_and_another_seed_does_not():
    one, same, other = (generate_lorenz(SMALL, np.random.default_rng(seed)) for seed in (4, 4, 5))
    for key, value in one.items():
        np.testing.assert_array_equal(value, same[key])
    assert not np.array_equal(one["train_truth"], other["train_truth"])


def test_no_modulation_gives_constant_rates():
    data = generate_lorenz(attrs.evolve(SMALL, modulation=0.0), np.random.default_rng(0))
    np.testing.assert_allclose(data["train_truth"], SMALL.mean_rate * SMALL.bin_ms / 1000, rtol=1e-6)


@pytest.mark.parametrize(("share", "train"), [(0.01, 0), (0.97, 10)])
def test_a_split_without_trials_is_refused(share, train):
    settings = attrs.evolve(SMALL, train_share=share)
    assert train_trials(settings) == train
    assert settings.rules() == [f"train_share: must leave trials of each condition for both splits, got {train} of 10 for training"]
    assert SMALL.rules() == []


def test_a_step_that_blows_up_is_refused():
    text = "lorenz: the states must stay finite, got infinite ones with step = 1. Use a smaller step."
    with pytest.raises(NumericsError, match=re.escape(text)):
        generate_lorenz(attrs.evolve(SMALL, step=1.0), np.random.default_rng(0))


def test_sessions_share_conditions_and_latents_and_nothing_else():
    several = generate_lorenz(attrs.evolve(SMALL, sessions=3), np.random.default_rng(2))
    assert list(several) == ["session1", "session2", "session3"]

    def of_condition(arrays, key):
        rows = {int(k): row for row, k in enumerate(arrays["train_cond"])}
        return np.stack([arrays[f"train_{key}"][rows[k]] for k in sorted(rows)])

    first, *others = several.values()
    for other in others:
        np.testing.assert_array_equal(of_condition(first, "latents"), of_condition(other, "latents"))
        assert not np.allclose(of_condition(first, "truth"), of_condition(other, "truth"))
        assert not np.array_equal(first["train_cond"], other["train_cond"])


def test_the_first_of_several_sessions_is_the_only_one_of_the_same_seed():
    several = generate_lorenz(attrs.evolve(SMALL, sessions=2), np.random.default_rng(2))
    alone = generate_lorenz(SMALL, np.random.default_rng(2))
    np.testing.assert_array_equal(several["session1"]["train_recon_data"], alone["train_recon_data"])
