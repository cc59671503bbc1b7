"""Checks of envelopes."""

from __future__ import annotations

import numpy as np
import pytest

from lfads_core.data.inspect import inspect_session
from lfads_core.data.session import Session, Split
from lfads_core.plugins import load_registry
from lfads_plugins_emg.checks import inspect_envelopes


def make(values, **attributes):
    split = Split(encod=values, recon=values, external=np.zeros((*values.shape[:2], 0), np.float32))
    return Session(name="s", path=None, splits={"train": split, "valid": split}, attributes=attributes)


@pytest.fixture
def good():
    return np.random.default_rng(0).gamma(1.0, 1.0, (10, 50, 4)).astype(np.float32)


def texts(session):
    return [problem.text for problem in inspect_envelopes(session)]


def test_good_envelopes_have_nothing_wrong(good):
    assert texts(make(good)) == []


def test_values_that_a_gamma_cannot_give_are_counted_by_channel(good):
    good[0, :3, 1], good[1, 0, 3] = 0.0, -1.0
    wanted = "has values <= 0 in 2 of 4 channels: 1 (3), 3 (1). Rectify raw EMG and give it a floor: python -m lfads_plugins_emg prepare."
    assert texts(make(good)) == [f"'{split}_recon_data' {wanted}" for split in ("train", "valid")]


def test_clipping_at_the_rails_is_told_with_names_and_shares(good):
    good[..., 2] = np.minimum(good[..., 2], np.quantile(good[..., 2], 0.95))
    (text,) = texts(make(good, channels=["a", "b", "c", "d"]))
    assert text == (
        "'train_recon_data' is clipped at the rails: c (0.05) of the values equal the channel's largest. "
        "Drop such trials, or lower the gain in the next recording; the model takes these values at face value."
    )


def test_a_floor_that_hides_the_signal_is_told(good):
    good[..., 0] = np.maximum(good[..., 0], np.quantile(good[..., 0], 0.6))
    (text,) = texts(make(good))
    assert text == (
        "'train_recon_data' lies on its floor: 0 (0.6) of the values equal the channel's smallest. "
        "Lower the floor of the preparation, or drop these channels."
    )


@pytest.mark.parametrize("still", [0.0, 1e-5])
def test_a_dead_channel_is_told(good, still):
    good[..., 3] = 0.5 + still * good[..., 3]
    assert texts(make(good)) == ["'train_recon_data' has channels without a signal: 3 hardly vary beside the others. Drop them."]


def test_channels_of_different_scale_are_told(good):
    good[..., 1] *= 100
    (text,) = texts(make(good))
    assert text.startswith("'train_recon_data' has channels of different scale: means from ")
    assert text.endswith("Divide each by a percentile of its own: python -m lfads_plugins_emg prepare.")


def test_missing_values_are_no_fault_of_the_envelopes(good):
    good[0], good[..., 2] = np.nan, np.nan
    assert texts(make(good)) == ["'train_recon_data' has channels without a signal: 2 hardly vary beside the others. Drop them."]


def test_the_gamma_brings_its_checks(good):
    good[..., 1] *= 100
    problems = inspect_session(make(good), "gamma", load_registry())
    assert [problem.severity for problem in problems] == ["warning"]
    assert problems[0].text.startswith("session 's': 'train_recon_data' has channels of different scale")
