"""Random streams: found again by name, unrelated to one another."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from lfads_core.rng import bernoulli, stream


def draw(*name, n=2000):
    return torch.randn(n, generator=stream(*name)).numpy()


def test_a_stream_is_found_again_by_seed_and_name():
    np.testing.assert_array_equal(draw(3, "masks", 5, 1), draw(3, "masks", 5, 1))


def test_streams_of_neighbouring_names_and_seeds_are_unrelated():
    names = [(0,), (1,), (0, "masks"), (0, "masks", 0), (0, "masks", 1), (0, "masks", 1, 0), (0, "noise", 1), (0, "masks", 10), (1, "masks", 0)]
    draws = [draw(*name) for name in names]
    for one, other in itertools.combinations(draws, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 6 / np.sqrt(2000)
    first = np.array([draw(0, "epoch", e, n=1)[0] for e in range(2000)])  # the first number of each of many streams
    assert stats.kstest(first, "norm").pvalue > 1e-6


def test_a_stream_does_not_touch_torchs_own_state():
    before = torch.get_rng_state()
    draw(0, "masks")
    assert torch.equal(torch.get_rng_state(), before)


def test_another_stream_in_between_moves_nothing():
    def two_parts(between):
        generator = stream(0, "noise")
        one = torch.randn(3, generator=generator)
        between()
        return torch.cat([one, torch.randn(3, generator=generator)])

    assert torch.equal(two_parts(lambda: None), two_parts(lambda: draw(0, "masks")))


@pytest.mark.parametrize("probability", [0.0, 0.05, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("values", [1, 3, 64, 200_001])
def test_masks_hold_ones_with_the_given_probability_at_any_size(probability, values):
    mask = bernoulli(probability, torch.empty(values), stream(0, "mask"))
    assert mask.shape == (values,)
    assert ((mask == 0) | (mask == 1)).all()
    spread = (probability * (1 - probability) / values) ** 0.5
    assert abs(float(mask.mean()) - probability) <= 6 * spread + 2**-17


def test_values_of_a_mask_are_independent_of_their_neighbours():
    centred = bernoulli(0.3, torch.empty(400_000, dtype=torch.float64), stream(1, "mask")) - 0.3
    for apart in (1, 2, 3, 4, 5, 8):
        covariance = float((centred[apart:] * centred[:-apart]).mean())
        assert abs(covariance) < 6 * 0.21 / 400_000**0.5


def test_a_mask_of_probability_zero_or_one_leaves_nothing_to_chance():
    assert not bernoulli(0.0, torch.empty(50), stream(2, "mask")).any()
    assert bernoulli(1.0, torch.empty(50), stream(2, "mask")).all()
