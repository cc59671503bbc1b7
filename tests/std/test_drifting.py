"""Days of a recording that drifts: what stays, and what becomes of the channels."""

from __future__ import annotations

import re

import attrs
import numpy as np
import pytest

from lfads_core.config.structure import structure_as
from lfads_core.errors import ConfigError
from lfads_core.plugins import SyntheticSpec, load_registry
from lfads_core.testing import check_synthetic
from lfads_plugins_std.drifting import generate_drifting
from lfads_plugins_std.drifting_settings import DriftingConfig

STILL = DriftingConfig(conditions=6, trials_per_condition=10, bins=20, channels=20, burn_in=5.0, lost=0.0, gained=0.0, rescaled=0.0, permuted=0.0)


def days(seed=0, **changes):
    return generate_drifting(attrs.evolve(STILL, **changes), np.random.default_rng(seed))


def of_conditions(day, key="truth"):
    """Of each condition, in order."""
    return np.array([day[f"train_{key}"][day["train_cond"] == k][0] for k in range(6)])


def test_without_drift_days_differ_in_trials_alone():
    first, second = days().values()
    np.testing.assert_array_equal(of_conditions(first), of_conditions(second))
    np.testing.assert_array_equal(of_conditions(first, "latents"), of_conditions(second, "latents"))
    assert not np.array_equal(first["train_recon_data"], second["train_recon_data"])


def test_channels_that_are_lost_fall_silent_and_stay_so():
    first, second, third = days(sessions=3, lost=0.25).values()
    assert [(day["channel_neuron"] == -1).sum() for day in (first, second, third)] == [0, 5, 10]
    silent = second["channel_neuron"] == -1
    assert not second["train_recon_data"][..., silent].any()
    assert (third["channel_neuron"][silent] == -1).all()
    np.testing.assert_array_equal(of_conditions(first)[..., ~silent], of_conditions(second)[..., ~silent])


def test_neurons_that_are_gained_take_silent_channels_first():
    first, second, third = days(sessions=3, lost=0.25, gained=0.4).values()
    assert set(np.flatnonzero(second["channel_neuron"] == -1)) <= set(np.flatnonzero(third["channel_neuron"] >= 28))
    new = second["channel_neuron"] >= 20
    assert sorted(second["channel_neuron"][new]) == list(range(20, 28))
    assert of_conditions(second)[..., new].mean(axis=(0, 1)) == pytest.approx(0.2, rel=1e-5)  # 10 a second in 20 ms
    kept = (second["channel_neuron"] == first["channel_neuron"]) & ~new
    assert kept.sum() == 7
    np.testing.assert_array_equal(of_conditions(first)[..., kept], of_conditions(second)[..., kept])


def test_gains_change_by_so_much_and_no_more():
    first, second = days(rescaled=0.5, channels=2000, bins=3).values()
    change = np.log(of_conditions(second) / of_conditions(first))
    assert np.ptp(change, axis=(0, 1)).max() < 1e-5
    assert change[0, 0].std() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(2 * 2000))
    assert change[0, 0].mean() == pytest.approx(0.0, abs=4 * 0.5 / np.sqrt(2000))


def test_channels_change_places_among_themselves():
    first, second = days(permuted=0.5).values()
    moved = second["channel_neuron"] != first["channel_neuron"]
    assert 0 < moved.sum() <= 10
    assert sorted(second["channel_neuron"]) == list(range(20))
    np.testing.assert_array_equal(of_conditions(second), of_conditions(first)[..., second["channel_neuron"]])


def test_behaviour_is_the_same_function_of_the_state_on_every_day():
    first, second = days(behaviour_noise=0.0, lost=0.5).values()
    state, behaviour = (
        np.concatenate([day[f"train_{key}"].reshape(-1, n) for day in (first, second)]) for key, n in {"latents": 3, "behavior": 2}.items()
    )
    mixing, left, *_ = np.linalg.lstsq(state, behaviour, rcond=None)
    assert left.max() < 1e-8
    np.testing.assert_allclose(np.linalg.norm(mixing, axis=0), 1, rtol=1e-5)
    noisy = days(behaviour_noise=0.5)["day1"]
    error = noisy["train_behavior"] - noisy["train_latents"] @ mixing
    assert error.std() == pytest.approx(0.5, rel=4 / np.sqrt(2 * error.size))


def test_the_first_day_is_the_same_whatever_follows():
    one, other = days(sessions=3)["day1"], days(lost=0.5, permuted=1.0)["day1"]
    for key in ("train_recon_data", "valid_behavior", "channel_neuron"):
        np.testing.assert_array_equal(one[key], other[key])


def test_more_than_all_channels_cannot_change():
    with pytest.raises(ConfigError, match=re.escape("lost: must leave room for gained (0.6), so that both are at most 1, got 0.5")):
        structure_as(DriftingConfig, {"lost": 0.5, "gained": 0.6}, load_registry())


def test_it_keeps_the_laws_of_synthetic_data():
    check_synthetic(load_registry().get(SyntheticSpec, "drifting-days"), STILL)
