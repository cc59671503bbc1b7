"""Short names of hyperparameters: as short as they can be, and never two the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_plugins_tune.search.labels import is_logarithmic, short_names


@pytest.mark.parametrize(
    ("paths", "short"),
    [
        (["optim.lr", "model.dropout"], ["lr", "dropout"]),
        (["components.train_augmentations.coordinated-dropout.rate"], ["coordinated-dropout.rate"]),
        (["components.ic_prior.mean", "components.input_prior.mean"], ["ic_prior.mean", "input_prior.mean"]),
        (["regularisation.kl_ramp.start_epoch", "regularisation.l2_ramp.start_epoch"], ["kl_ramp.start_epoch", "l2_ramp.start_epoch"]),
        (["lr", "optim.lr"], ["lr", "optim.lr"]),
        (["components.ic_prior", "components.input_prior.tau"], ["ic_prior", "input_prior.tau"]),
        ([], []),
    ],
)
def test_names_are_the_shortest_endings_that_tell_apart(paths, short):
    assert short_names(paths) == dict(zip(paths, short, strict=True))


@pytest.mark.property
@given(st.lists(st.lists(st.sampled_from(["a", "b", "components", "rate"]), min_size=1, max_size=4).map(".".join), unique=True, max_size=8))
def test_no_two_paths_ever_share_a_name(paths):
    names = short_names(paths)
    assert len(set(names.values())) == len(paths)
    assert all(path.endswith(name) for path, name in names.items())


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1e-4, 1e-2], True),
        ([0.1, 0.5], False),
        ([0.0, 1e-2], False),
        ([-1.0, 1e-2], False),
        ([math.nan, 1e-4, 1e-2], True),
        ([math.nan], False),
        ([], False),
    ],
)
def test_an_axis_is_logarithmic_when_positive_values_differ_much(values, wanted):
    assert is_logarithmic(values) is wanted
