"""Names and values in the form that MLflow takes."""

from __future__ import annotations

import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_core.config.flat import LONGEST_NAME, Names, flatten, shortened


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("valid/recon/day 1.2_a-b:c", "valid/recon/day 1.2_a-b:c"),
        ("valid/recon/día+1", "valid/recon/d_a_1"),
        ("/a//b/./../c/", "a/b/c"),
        ("..", "_"),
        ("", "_"),
    ],
)
def test_only_what_mlflow_allows_is_left_of_a_name(name, wanted):
    assert Names()[name] == wanted


def test_names_that_would_become_one_get_numbers_and_keep_them():
    names = Names()
    assert [names[n] for n in ("a+b", "a*b", "a+b", "a?b", "a*b")] == ["a_b", "a_b_2", "a_b", "a_b_3", "a_b_2"]


LENGTHS = st.integers(LONGEST_NAME - 5, LONGEST_NAME + 5)
LONG = st.builds(lambda start, size, end: (start * size)[:size] + end, st.text(min_size=1, max_size=3), LENGTHS, st.text(max_size=3))
"""About as long as is allowed, and often alike but for the end."""


@pytest.mark.long
@pytest.mark.property
@given(given_names=st.lists(st.text() | LONG, unique=True, max_size=8))
def test_any_names_become_as_many_names_that_mlflow_takes(given_names):
    names = Names()
    made = [names[name] for name in given_names]
    assert len(set(made)) == len(given_names)
    for name in made:
        # MLflow's own rules: its characters, a normal relative path, at most 250 characters.
        assert re.fullmatch(r"[A-Za-z0-9_\-. :/]+", name)
        assert posixpath.normpath(name) == name
        assert not name.startswith(("/", ".."))
        assert len(name) <= LONGEST_NAME


def test_settings_are_flattened_to_dotted_names_and_texts():
    settings = {
        "optim": {"lr": 0.004, "betas": [0.9, 0.99], "clip_norm": None},
        "model": {"controller": None, "variational": True},
        "components": {"train_augmentations": [{"name": "coordinated-dropout", "rate": 0.2}, {"name": "spike-jitter"}]},
        "empty": {},
    }
    assert flatten(settings) == {
        "optim.lr": "0.004",
        "optim.betas": "[0.9, 0.99]",
        "optim.clip_norm": "null",
        "model.controller": "null",
        "model.variational": "True",
        "components.train_augmentations.0.name": "coordinated-dropout",
        "components.train_augmentations.0.rate": "0.2",
        "components.train_augmentations.1.name": "spike-jitter",
        "empty": "{}",
    }
    assert flatten({}) == {}


def test_a_value_longer_than_mlflow_keeps_is_cut_and_says_so():
    assert shortened("x" * 6000) == "x" * 6000
    assert shortened("x" * 6001) == "x" * 5997 + "..."
