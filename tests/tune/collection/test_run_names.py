"""Names of runs: short, readable, and fit for every file system."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_core.runs import checked_name
from lfads_plugins_tune.collection.names import LONGEST, run_name, told_apart


@pytest.mark.parametrize(
    ("dataset", "variant", "varied", "name"),
    [
        ("day1", "", {}, "day1"),
        ("day1", "small", {}, "day1__small"),
        ("day1", "", {"model.generator.factors": 20, "optim.lr": 0.001}, "day1__factors20__lr0.001"),
        ("day1", "", {"optim.lr": 1e-05}, "day1__lr1e-05"),
        ("day1", "", {"model.generator.hidden": 64}, "day1__generator.hidden64"),  # four settings end in 'hidden'
        ("day1", "", {"model.controller": None}, "day1__controller-off"),
        ("day1", "", {"model.variational": False}, "day1__variational-false"),
        ("day1", "", {"components.reconstruction": "gaussian"}, "day1__reconstruction-gaussian"),
        ("day1", "", {"components.ic_prior": {"name": "normal", "variance": 0.2}}, "day1__ic_prior-normal-variance0.2"),
        ("day1", "", {"components.infer_augmentations": ["spike-jitter", "sbtt"]}, "day1__infer_augmentations-spike-jitter+sbtt"),
        ("day1", "", {"components.train_augmentations.0.rate": 0.5}, "day1__0.rate0.5"),
        ("day 1/ä", "", {"optim.lr": -1}, "day-1__lr-1"),
        ("..", "", {}, "x" + hashlib.sha256(b'".."').hexdigest()[:6]),
    ],
)  # fmt: skip
def test_a_name_says_what_differs(dataset, variant, varied, name):
    assert run_name(dataset, variant, varied) == name


def test_a_long_name_is_cut_and_ends_in_a_hash_of_the_whole():
    long = {"components.train_augmentations": [f"augmentation-number-{i}" for i in range(9)]}
    name = run_name("day1", "", long)
    assert len(name) == LONGEST
    assert re.fullmatch(r"day1__train_augmentations-augmentation-number-0\+.*__[0-9a-f]{6}", name)
    assert run_name("day1", "", {**long, "optim.lr": 0.1}) != name


def test_a_run_that_must_be_told_apart_has_its_hashes_in_its_name():
    assert told_apart("day1", "aa", "bb") == told_apart("day1", "aa", "bb") != told_apart("day1", "aa", "bc")
    assert re.fullmatch(r"day1__[0-9a-f]{6}", told_apart("day1", "aa", "bb"))


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.text(), max_size=3)
    | st.dictionaries(st.text(), st.text(), max_size=2)
)


@pytest.mark.property
@given(dataset=st.text(min_size=1), variant=st.text(), varied=st.dictionaries(st.text(min_size=1), values, max_size=3))
def test_every_name_is_one_that_a_run_may_have(dataset, variant, varied):
    name = run_name(dataset, variant, varied)
    assert name.isascii()
    assert checked_name(name) == name
