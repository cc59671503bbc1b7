"""Parametrisations in which every pair of values occurs in the quick pass, and every combination in the slow one."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pytest


def covering(axes: Mapping[str, Sequence[Hashable]]) -> list[tuple[Hashable, ...]]:
    """Few combinations, one value of each axis, among which every pair of values of two axes occurs.

    Greedy: the next combination is the first of those of the product with the most pairs that are still missing.
    """
    product = list(itertools.product(*axes.values()))
    missing = {pair for combination in product for pair in _pairs(combination)}
    chosen = []
    while missing:
        best = max(product, key=lambda combination: len(missing.intersection(_pairs(combination))))
        chosen.append(best)
        missing.difference_update(_pairs(best))
    return chosen


def _pairs(combination: tuple[Hashable, ...]) -> set[tuple[tuple[int, Hashable], ...]]:
    return set(itertools.combinations(enumerate(combination), 2))


def pairwise(**axes: Sequence[Hashable]) -> pytest.MarkDecorator:
    """``@pairwise(shape=SHAPES, clip=[5.0, 0.4])``: the full product, slow but for a covering array; a list of names of tests is as ever."""
    quick = set(covering(axes))
    names = {name: [_name(name, i, value) for i, value in enumerate(values)] for name, values in axes.items()}
    combinations = zip(itertools.product(*axes.values()), itertools.product(*names.values()), strict=True)
    params = [pytest.param(*values, id="-".join(ids), marks=() if values in quick else pytest.mark.slow) for values, ids in combinations]
    return pytest.mark.parametrize(tuple(axes), params)


def _name(axis: str, number: int, value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) else f"{axis}{number}"
