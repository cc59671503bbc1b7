"""Spike jitter: counts are kept, probabilities are those of an exact enumeration, input and target move together."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lfads_core.components.batch import Batch
from lfads_core.errors import DataError
from lfads_core.rng import stream
from lfads_plugins_std.jitter import SpikeJitter, jitter_spikes, reflect
from lfads_plugins_std.settings import SpikeJitterConfig


def make_batch(recon, bins=None, channels=None):
    encod = recon[:, :bins, :channels].clone()
    return Batch(encod=encod, recon=recon, external=recon.new_zeros(len(recon), recon.shape[1], 0), trials=torch.arange(len(recon)))


def counts(*shape, rate=0.8, seed=0):
    return torch.poisson(torch.full(shape, rate), generator=stream(seed, "counts"))


def walk(at, bins):
    """Where a spike ends that is pushed to bin ``at`` and bounces off the first and last bin, step by step."""
    position, step = 0, 1
    for _ in range(abs(at)):
        if bins == 1:
            return 0
        if not 0 <= position + step < bins:
            step = -step
        position += step
    return position


@pytest.mark.parametrize("bins", [1, 2, 3, 7])
def test_reflection_is_a_walk_between_two_walls(bins):
    at = torch.arange(-20, 21)
    assert reflect(at, bins).tolist() == [walk(a, bins) for a in at.tolist()]


@pytest.mark.parametrize("width", [1, 4])
def test_spikes_move_by_as_much_as_the_settings_say_and_no_more(width):
    data = torch.zeros(1, 21, 1)
    data[0, 10] = 1000
    moved = SpikeJitter(SpikeJitterConfig(width=width)).draw(make_batch(data), stream(0))["recon"]
    assert moved[0, :, 0].nonzero().flatten().tolist() == list(range(10 - width, 11 + width))


@pytest.mark.parametrize(("start", "width", "bins"), [(0, 2, 6), (3, 2, 6), (5, 3, 6), (1, 5, 4), (0, 1, 1)])
def test_every_destination_has_the_probability_of_an_exact_enumeration(start, width, bins):
    data = torch.zeros(1, bins, 1)
    data[0, start] = 40_000
    landed = jitter_spikes(data, width, stream(0)).long().ravel().numpy()
    steps = Counter(walk(start + move, bins) if start + move >= 0 else walk(-(start + move), bins) for move in range(-width, width + 1))
    chance = np.array([steps[t] / (2 * width + 1) for t in range(bins)])
    assert (landed[chance == 0] == 0).all()
    if bins > 1:
        assert stats.chisquare(landed[chance > 0], 40_000 * chance[chance > 0]).pvalue > 1e-6


@pytest.mark.property
@given(trials=st.integers(1, 3), bins=st.integers(1, 9), channels=st.integers(1, 3), width=st.integers(1, 12), seed=st.integers(0, 2**16))
def test_counts_per_trial_and_channel_are_kept(trials, bins, channels, width, seed):
    data = counts(trials, bins, channels, seed=seed)
    moved = jitter_spikes(data, width, stream(seed))
    assert torch.equal(moved.sum(1), data.sum(1))
    assert moved.dtype == data.dtype


def test_no_spike_moves_further_than_the_width():
    data = torch.zeros(200, 21, 1)
    data[:, 10] = 1
    assert set(jitter_spikes(data, 2, stream(0)).nonzero()[:, 1].tolist()) == {8, 9, 10, 11, 12}


def test_a_silent_batch_stays_silent():
    batch = make_batch(torch.zeros(2, 5, 3))
    part = SpikeJitter(SpikeJitterConfig())
    after = part.augment(batch, part.draw(batch, stream(0)))
    assert torch.equal(after.recon, batch.recon)
    assert torch.equal(after.encod, batch.encod)


def test_missing_bins_stay_missing_and_the_others_are_counts():
    data = counts(3, 8, 4)
    data[0, 2:4] = torch.nan
    data[2, :, 1] = torch.nan
    moved = jitter_spikes(data, 2, stream(0))
    assert torch.equal(moved.isnan(), data.isnan())
    seen = moved[~moved.isnan()]
    assert torch.equal(seen, seen.round())
    assert torch.equal(moved[1].sum(0), data[1].sum(0))


def test_input_and_target_move_together_where_they_are_the_same_spikes():
    batch = make_batch(counts(6, 9, 5), bins=7, channels=3)
    part = SpikeJitter(SpikeJitterConfig(width=3))
    after = part.augment(batch, part.draw(batch, stream(0)))
    assert not torch.equal(after.recon, batch.recon)
    assert torch.equal(after.encod, after.recon[:, :7, :3])


def test_missing_target_bins_do_not_part_input_from_target():
    recon = counts(4, 6, 2)
    recon[0, 1] = torch.nan
    batch = make_batch(recon)
    part = SpikeJitter(SpikeJitterConfig())
    after = part.augment(replace(batch, encod=recon.nan_to_num()), part.draw(batch, stream(0)))
    assert torch.equal(after.encod.nan_to_num(), after.recon.nan_to_num())


def test_other_input_is_jittered_on_its_own():
    batch = replace(make_batch(counts(6, 9, 5)), encod=counts(6, 9, 5, seed=3))
    part = SpikeJitter(SpikeJitterConfig())
    noise = part.draw(batch, stream(0))
    after = part.augment(batch, noise)
    assert torch.equal(after.encod.sum(1), batch.encod.sum(1))
    assert not torch.equal(after.encod, batch.encod)


@pytest.mark.parametrize("wrong", [0.5, -1.0])
def test_values_that_are_no_counts_are_refused(wrong):
    data = counts(2, 4, 2)
    data[1, 2, 1] = wrong
    text = (
        f"spike-jitter: data must be spike counts (0, 1, 2...), got {wrong:g}. "
        "Take it out of components.train_augmentations, or put it before those that change values."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        jitter_spikes(data, 2, stream(0))
