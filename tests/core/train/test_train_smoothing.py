"""The smoothed epoch metric."""

from __future__ import annotations

import json
import re

import h5py
import pytest

from lfads_core.errors import DataError, RunError
from lfads_core.train.smoothing import SmoothedMetric, epoch_mean


def test_the_first_epoch_is_taken_as_it_is_and_later_ones_are_mixed_in():
    first = SmoothedMetric(coef=0.7).update([1.0, 4.0], [3, 1])
    assert first.value == 1.75
    assert first.update([2.75], [5]).value == pytest.approx(0.7 * 1.75 + 0.3 * 2.75)
    assert first.value == 1.75


def test_saving_in_the_middle_changes_nothing():
    metric = SmoothedMetric(coef=0.9)
    for value in (3.0, 0.1, 1 / 3):
        assert SmoothedMetric.from_dict(json.loads(json.dumps(metric.to_dict()))) == metric
        metric = metric.update([value], [2])


def test_a_foreign_state_is_refused():
    text = "smoothed metric: the saved state must hold 'coef' and 'value', got ['coef']. Use an undamaged checkpoint."
    with pytest.raises(RunError, match=re.escape(text)):
        SmoothedMetric.from_dict({"coef": 0.5})


@pytest.mark.parametrize(("values", "sizes"), [([], []), ([1.0, 2.0], [3])])
def test_an_epoch_needs_one_size_per_batch(values, sizes):
    text = f"epoch mean: needs one size per batch and at least one batch, got {len(values)} values and {len(sizes)} sizes."
    with pytest.raises(DataError, match=re.escape(text)):
        epoch_mean(values, sizes)


@pytest.mark.parametrize("case", range(3))
def test_published_values_are_met(shared, case):
    with h5py.File(shared / "parity/open/n_metrics.h5") as file:
        group = {key: value[()] for key, value in file[f"exp_smoothed{case}"].items()}
    metric = SmoothedMetric(coef=float(group["coef"]))
    for values, sizes, mean, smoothed in zip(group["values"], group["batch_sizes"], group["epoch_mean"], group["smoothed"], strict=True):
        assert epoch_mean(values, sizes) == pytest.approx(mean, rel=1e-9)
        metric = metric.update(values, sizes)
        assert metric.value == pytest.approx(smoothed, rel=1e-9)
