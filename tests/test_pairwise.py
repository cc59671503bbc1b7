"""Every pair of values occurs in a covering array, and nothing of the product is lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwise import covering, pairwise


@pytest.mark.property
@given(st.lists(st.integers(1, 4), min_size=2, max_size=5))
def test_every_pair_of_values_occurs_and_every_row_is_of_the_product(sizes):
    axes = {f"axis{i}": range(size) for i, size in enumerate(sizes)}
    rows = covering(axes)
    assert set(rows) <= set(itertools.product(*axes.values()))
    assert len(rows) == len(set(rows))
    for i, j in itertools.combinations(range(len(sizes)), 2):
        assert {(row[i], row[j]) for row in rows} == set(itertools.product(range(sizes[i]), range(sizes[j])))


def test_a_covering_array_is_much_smaller_than_the_product():
    assert len(covering(dict.fromkeys("abcdef", (0, 1)))) <= 8  # 64 in all; 6 is the least
    assert len(covering({"a": range(3), "b": range(3), "c": range(3), "d": range(3)})) <= 12  # 81 in all; 9 is the least


def test_what_is_left_out_of_the_quick_pass_is_in_the_slow_one():
    mark = pairwise(clip=[5.0, 0.4], shape=[(1, 2), (3, 4)], masks=[False, True]).mark
    names, params = mark.args
    assert names == ("clip", "shape", "masks")
    assert [param.values for param in params] == list(itertools.product([5.0, 0.4], [(1, 2), (3, 4)], [False, True]))
    assert params[1].id == "5.0-shape0-True"
    quick = {param.values for param in params if not param.marks}
    assert quick == set(covering({"clip": [5.0, 0.4], "shape": [(1, 2), (3, 4)], "masks": [False, True]}))
    assert all(param.marks == () or [mark.name for mark in param.marks] == ["slow"] for param in params)
