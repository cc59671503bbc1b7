"""Temporal shift against a slow loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lfads_core.components.batch import Batch
from lfads_core.rng import stream
from lfads_plugins_emg.settings import TemporalShiftConfig
from lfads_plugins_emg.shift import TemporalShift, shift_in_time, whole_shift


def make_batch(trials=4, bins=7, channels=5, seen_bins=6, seen_channels=3):
    recon = torch.arange(trials * bins * channels, dtype=torch.float32).reshape(trials, bins, channels)
    return Batch(encod=recon[:, :seen_bins, :seen_channels].clone(), recon=recon, external=torch.zeros(trials, bins, 0), trials=torch.arange(trials))


def by_loop(data, shift):
    out = np.empty_like(data)
    trials, bins, channels = data.shape
    for b in range(trials):
        for t in range(bins):
            for n in range(channels):
                out[b, t, n] = data[b, min(max(t - shift[b, 0, n], 0), bins - 1), n]
    return out


@pytest.mark.parametrize("std", [0.8, 5.0])
def test_shifts_have_the_standard_deviation_of_the_settings(std):
    drawn = TemporalShift(TemporalShiftConfig(std=std)).draw(make_batch(trials=2000), stream(0))["shift"]
    assert drawn.std().item() == pytest.approx(std, rel=6 / (2 * drawn.numel()) ** 0.5)


@pytest.mark.property
@given(bins=st.integers(1, 9), largest=st.integers(1, 12), seed=st.integers(0, 2**16))
def test_shifting_is_the_slow_loop(bins, largest, seed):
    batch = make_batch(bins=bins, seen_bins=bins)
    shift = torch.randint(-largest, largest + 1, (4, 1, 5), generator=stream(seed))
    np.testing.assert_array_equal(shift_in_time(batch.recon, shift), by_loop(batch.recon.numpy(), shift.numpy()))


def test_shifts_are_rounded_half_to_even_and_held_within_the_bound():
    raw = torch.tensor([[[0.5, 1.5, 2.5, -0.5, -1.5, 0.49, 9.0, -9.0]]])
    assert whole_shift(raw, 3).tolist() == [[[0, 2, 2, 0, -2, 0, 3, -3]]]


def test_input_and_target_of_a_channel_move_together():
    batch, part = make_batch(bins=20, seen_bins=18), TemporalShift(TemporalShiftConfig(std=2.0, max_shift=3))
    noise = part.draw(batch, stream(0))
    after = part.augment(batch, noise)
    shift = whole_shift(noise["shift"], 3).numpy()
    np.testing.assert_array_equal(after.recon, by_loop(batch.recon.numpy(), shift))
    np.testing.assert_array_equal(after.encod, by_loop(batch.encod.numpy(), shift[..., :3]))
    assert (shift != 0).any()
    # In the bins that neither end touches, what was equal is equal still.
    assert torch.equal(after.encod[:, 3:15], after.recon[:, 3:15, :3])


def test_missing_values_move_along():
    batch = make_batch()
    batch.recon[1, 3, 2] = torch.nan
    shift = torch.zeros(4, 1, 5, dtype=torch.int64)
    shift[1, 0, 2] = 2
    moved = shift_in_time(batch.recon, shift)
    assert moved.isnan().nonzero().tolist() == [[1, 5, 2]]


def test_shifts_are_normal_with_the_spread_of_the_settings():
    batch, part = make_batch(trials=4000), TemporalShift(TemporalShiftConfig(std=2.5))
    drawn = part.draw(batch, stream(0))["shift"]
    assert drawn.shape == (4000, 1, 5)
    assert stats.kstest(drawn.numpy().ravel(), stats.norm(0, 2.5).cdf).pvalue > 1e-6


@pytest.mark.parametrize(("wrong", "text"), [({"std": 0.0}, "must be > 0, got 0.0"), ({"max_shift": 0}, "must be >= 1, got 0")])
def test_settings_out_of_range_are_refused(wrong, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        TemporalShiftConfig(**wrong)
