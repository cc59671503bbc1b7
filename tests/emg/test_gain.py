"""Random gains against the arithmetic of a loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lfads_core.components.batch import Batch
from lfads_core.rng import stream
from lfads_plugins_emg.gain import RandomGain
from lfads_plugins_emg.settings import RandomGainConfig


def make_batch(trials=4, bins=7, channels=5, seen_bins=6, seen_channels=3, *, nested=True):
    recon = torch.arange(1, trials * bins * channels + 1, dtype=torch.float32).reshape(trials, bins, channels)
    encod = recon[:, :seen_bins, :seen_channels] + (0 if nested else 1)
    return Batch(encod=encod.clone(), recon=recon, external=torch.zeros(trials, bins, 0), trials=torch.arange(trials), nested=nested)


def test_input_and_target_of_a_channel_have_one_gain_in_a_trial():
    batch, part = make_batch(), RandomGain(RandomGainConfig(common=0.4, own=0.3))
    noise = part.draw(batch, stream(0))
    after = part.augment(batch, noise)
    for trial in range(4):
        for channel in range(5):
            gain = math.exp(noise["common"][trial, 0, 0].item() + noise["own"][trial, 0, channel].item())
            np.testing.assert_allclose(after.recon[trial, :, channel], batch.recon[trial, :, channel] * gain, rtol=1e-6)
            if channel < 3:
                np.testing.assert_allclose(after.encod[trial, :, channel], batch.encod[trial, :, channel] * gain, rtol=1e-6)


def test_where_input_and_target_are_other_channels_the_input_has_the_gain_of_the_trial():
    batch, part = make_batch(nested=False), RandomGain(RandomGainConfig())
    noise = part.draw(batch, stream(0))
    after = part.augment(batch, noise)
    gains = (after.encod / batch.encod).numpy()
    np.testing.assert_allclose(gains, np.broadcast_to(noise["common"].exp().numpy(), gains.shape), rtol=1e-6)
    assert np.unique(gains[:, 0, 0]).size == 4


@pytest.mark.parametrize(("common", "own"), [(0.5, 0.0), (0.0, 0.5), (0.3, 0.4)])
def test_logarithms_of_gains_are_normal_with_the_spreads_of_the_settings_and_gains_are_1_in_the_mean(common, own):
    batch, part = make_batch(trials=4000), RandomGain(RandomGainConfig(common=common, own=own))
    after = part.augment(batch, part.draw(batch, stream(1)))
    gains = (after.recon[:, 0] / batch.recon[:, 0]).double().numpy()
    logs = np.log(gains)
    assert logs.var(axis=0) == pytest.approx(common**2 + own**2, rel=0.12)
    assert np.diff(logs, axis=1).std() == pytest.approx(own * 2**0.5, abs=0.02)  # what channels of a trial share cancels
    assert gains.mean() == pytest.approx(1, abs=0.03)
    assert stats.kstest((logs[:, 0] + (common**2 + own**2) / 2) / (common**2 + own**2) ** 0.5, "norm").pvalue > 1e-3


def test_what_is_missing_stays_missing_and_no_spread_changes_nothing():
    batch = make_batch()
    batch.recon[1, 2, 3] = torch.nan
    part = RandomGain(RandomGainConfig())
    assert part.augment(batch, part.draw(batch, stream(0))).recon.isnan().nonzero().tolist() == [[1, 2, 3]]
    still = RandomGain(RandomGainConfig(common=0.0, own=0.0))
    after = still.augment(batch, still.draw(batch, stream(0)))
    assert torch.equal(after.encod, batch.encod)
    assert torch.equal(after.recon.nan_to_num(), batch.recon.nan_to_num())
