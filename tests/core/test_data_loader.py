"""Batches: every trial once an epoch, whatever the sizes."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lfads_core.data.layout import session_from_arrays
from lfads_core.data.loader import SplitTensors, epoch_batches, steps_per_epoch
from lfads_core.data.session import Split
from lfads_core.errors import ConfigError, DataError


def source(trials: int) -> SplitTensors:
    """Trials whose every value is their row."""
    rows = torch.arange(trials, dtype=torch.float32)[:, None, None]
    return SplitTensors(
        encod=rows.expand(-1, 2, 1), recon=rows.expand(-1, 3, 2), external=torch.zeros(trials, 3, 0), extras={"inds": torch.arange(trials)}
    )


def sources(*trials: int) -> dict[str, SplitTensors]:
    return {f"s{i}": source(n) for i, n in enumerate(trials)}


def sizes(batches):
    return [{name: batch.trials.numel() for name, batch in step.items()} for step in batches]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


any_sizes = st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(any)


@pytest.mark.property
@given(trials=any_sizes, batch_size=st.integers(1, 70), seed=st.none() | st.integers(0, 99))
def test_every_trial_is_visited_exactly_once_and_no_step_is_empty_or_too_big(trials, batch_size, seed):
    sessions = sources(*trials)
    batches = list(epoch_batches(sessions, batch_size, None if seed is None else generator(seed)))
    assert len(batches) == steps_per_epoch(sessions, batch_size) == ceil(sum(trials) / batch_size)
    for name, n in zip(sessions, trials, strict=True):
        seen = torch.cat([torch.zeros(0, dtype=torch.long), *(step[name].trials for step in batches if name in step)])
        assert sorted(seen.tolist()) == list(range(n))
    for step in sizes(batches):
        assert 1 <= sum(step.values()) <= batch_size
        assert min(step.values()) >= 1


@pytest.mark.property
@given(trials=st.lists(st.integers(1, 60), min_size=2, max_size=6), batch_size=st.integers(1, 70), seed=st.integers(0, 99))
def test_each_session_is_spread_evenly_over_the_steps(trials, batch_size, seed):
    batches = sizes(epoch_batches(sources(*trials), batch_size, generator(seed)))
    for i, n in enumerate(trials):
        shares = [step.get(f"s{i}", 0) for step in batches]
        assert max(shares) - min(shares) <= 1
        if n >= len(batches):
            assert min(shares) >= 1
        else:
            assert sum(share > 0 for share in shares) == n
    totals = [sum(step.values()) for step in batches]
    assert max(totals) - min(totals) <= 1


def test_values_travel_with_their_rows():
    for step in epoch_batches(sources(7, 5), 4, generator(1)):
        for batch in step.values():
            assert (batch.encod == batch.trials[:, None, None]).all()
            assert (batch.recon == batch.trials[:, None, None]).all()
            assert (batch.extras["inds"] == batch.trials).all()
            assert batch.external.shape == (batch.trials.numel(), 3, 0)


def test_one_session_is_cut_into_batches_of_equal_size_rather_than_a_tiny_last_one():
    assert sizes(epoch_batches(sources(129), 64)) == [{"s0": 43}, {"s0": 43}, {"s0": 43}]
    assert sizes(epoch_batches(sources(10), 64)) == [{"s0": 10}]
    assert sizes(epoch_batches(sources(8), 4)) == [{"s0": 4}, {"s0": 4}]


def test_without_a_generator_trials_come_in_order():
    rows = [step["s0"].trials.tolist() for step in epoch_batches(sources(5), 2)]
    assert rows == [[0, 1], [2, 3], [4]]


def test_more_sessions_than_trials_in_a_step_still_visits_all():
    batches = sizes(epoch_batches(sources(3, 3, 3), 1))
    assert len(batches) == 9
    assert all(sum(step.values()) == 1 for step in batches)


def test_a_short_session_is_not_always_in_the_same_steps():
    found = {tuple("s1" in step for step in epoch_batches(sources(40, 2), 4, generator(seed))) for seed in range(20)}
    assert len(found) > 5


def test_the_generator_decides_the_order_and_nothing_else_does():
    def rows(seed):
        return [step["s0"].trials.tolist() for step in epoch_batches(sources(20), 6, generator(seed))]

    assert rows(3) == rows(3)
    assert rows(3) != rows(4)
    rng = generator(3)
    first, second = ([s["s0"].trials.tolist() for s in epoch_batches(sources(20), 6, rng)] for _ in range(2))
    assert first != second


def test_no_trial_at_all_is_refused():
    text = r"^an epoch must visit at least one trial, but the sessions hold none\. Give a split that has trials\.$"
    with pytest.raises(DataError, match=text):
        list(epoch_batches(sources(0, 0), 4))


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"^data\.batch_size: must be >= 1, got 0$"):
        steps_per_epoch(sources(3), 0)


def test_a_split_becomes_tensors_of_one_type_and_equal_data_are_held_once():
    arrays = {"train_encod_data": np.ones((4, 5, 3)), "valid_encod_data": np.ones((2, 5, 3))}
    extras = {"train_cond": np.arange(4, dtype=np.uint16), "train_speed": np.ones((4, 5)), "train_label": np.array(list("abcd"), dtype=object)}
    split = session_from_arrays("s", {**arrays, **extras}).splits["train"]
    tensors = SplitTensors.from_split(split, dtype=torch.float64)
    assert tensors.trials == 4
    assert tensors.encod is tensors.recon
    assert tensors.encod.dtype == torch.float64
    assert set(tensors.extras) == {"cond", "speed"}
    assert tensors.extras["cond"].dtype == torch.int64
    assert tensors.extras["speed"].dtype == torch.float64
    batch = tensors.take(torch.tensor([3, 1]))
    assert batch.encod is batch.recon
    assert batch.extras["cond"].tolist() == [3, 1]
    assert set(SplitTensors.from_split(split, extras=["cond"]).extras) == {"cond"}


def test_read_only_and_foreign_arrays_are_taken():
    frozen = np.broadcast_to(np.arange(3.0, dtype=">f4"), (2, 4, 3))
    split = Split(encod=frozen, recon=frozen, external=np.zeros((2, 4, 0), dtype=np.float32))
    assert SplitTensors.from_split(split).encod[1, 2].tolist() == [0, 1, 2]
