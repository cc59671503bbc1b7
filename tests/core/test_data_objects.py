"""Arrays and columns as people have them in Python: what is masked or missing never becomes a value."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

import lfads_core as lf
from lfads_core.data.objects import as_array, as_column, as_numbers

MISSING = float("nan")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.float16, np.float32, np.float64])
def test_what_is_masked_among_numbers_is_nan_and_the_rest_is_what_it_was(dtype):
    values = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    mask = np.array([[False, True, False], [False, False, True]])
    found = as_array("counts", np.ma.array(values, mask=mask))
    assert found.dtype.kind == "f"
    np.testing.assert_array_equal(found, np.where(mask, np.nan, values.astype(float)))
    assert values.tolist() == [[0, 1, 1], [1, 0, 1]]  # what was given is left as it was


def test_large_whole_numbers_beside_masked_ones_keep_their_digits():
    assert as_array("ids", np.ma.array([2**40 + 1, 3], mask=[False, True]))[0] == 2**40 + 1


def test_masks_of_single_trials_in_a_list_count():
    trials = [np.ma.array([[1, 2]], mask=[[False, True]]), np.array([[3, 4]])]
    np.testing.assert_array_equal(as_array("counts", trials), [[[1, np.nan]], [[3, 4]]])


def test_a_mask_that_hides_nothing_changes_no_value():
    np.testing.assert_array_equal(as_array("counts", np.ma.array([1.5, 2.5])), [1.5, 2.5])


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([1, None, 2.5], [1, MISSING, 2.5]),
        (pd.Series([3, pd.NA, 5], dtype="Int64"), [3, MISSING, 5]),
        (pd.array([True, None, False], dtype="boolean"), [1, MISSING, 0]),
        (np.array([Decimal("1.5"), Fraction(1, 4), np.float32(2)], dtype=object), [1.5, 0.25, 2]),
        (np.array([1, 2, 3], dtype=object), [1, 2, 3]),
        (np.array([MISSING, None, 4], dtype=object), [MISSING, MISSING, 4]),
        (torch.arange(3), [0, 1, 2]),
        ([10**30, 1], [1e30, 1]),
    ],
    ids=["none", "nullable whole numbers", "nullable truth values", "exact numbers", "objects", "both kinds of missing", "tensor", "huge"],
)
def test_numbers_of_any_type_are_numbers_and_missing_ones_nan(given, wanted):
    for read in (as_array, as_numbers, as_column):
        found = read("x", given)
        assert found.dtype.kind in "iuf"
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["left", None, "right"], ["left", "", "right"]),
        ([b"l\xc3\xa9ft", b"right"], ["l\u00e9ft", "right"]),
        (np.array([b"a", b""]), ["a", ""]),
        (pd.Series(["a", pd.NA], dtype="string"), ["a", ""]),
        (np.ma.array(["a", "b"], mask=[False, True]), ["a", ""]),
        (pd.Categorical(["up", "down", None]), ["up", "down", ""]),
        (pd.to_datetime(["2026-01-02 03:04", None]), ["2026-01-02T03:04:00.000000000", ""]),
        (np.array(["a", 1, 2.5], dtype=object), ["a", "1", "2.5"]),
        ([dt.timedelta(seconds=1)], ["0:00:01"]),
    ],
    ids=["none", "bytes", "fixed bytes", "nullable texts", "masked", "categories", "dates", "mixed", "durations"],
)
def test_columns_of_anything_else_are_texts_and_missing_ones_empty(given, wanted):
    found = as_column("x", given)
    assert found.dtype == object
    assert [text.partition(".")[0] for text in found] == [text.partition(".")[0] for text in wanted]


@pytest.mark.parametrize(
    ("read", "given", "text"),
    [
        (as_array, [[1, 2], [3]], "x must be one array, got parts of unequal length. Mend them."),
        (as_array, torch.ones(2, requires_grad=True), "x must be one array, got Tensor, of which NumPy says "),
        (as_numbers, ["a", "b"], "x must be numbers, got ['a', 'b']. Mend them."),
        (as_numbers, np.ones(2, dtype=complex), "x must be numbers, got complex128. Mend them."),
        (as_numbers, np.array(["2026-01-01"], dtype="datetime64[s]"), "x must be numbers, got datetime64[s]. Mend them."),
        (as_numbers, np.array([5], dtype="timedelta64[ms]"), "x must be numbers, got timedelta64[ms]. Mend them."),
        (as_numbers, [10**400], "x must be one array, got [1000"),
        (as_column, np.ones(2, dtype=complex), "x must hold numbers or texts, got complex128. Mend it."),
        (as_column, np.zeros(2, dtype=[("a", "f8")]), "x must hold numbers or texts, got [('a', '<f8')]. Mend it."),
        (as_column, pd.Series([[1, 2], "a"]), "x must hold one value in each cell, got [1, 2]. Mend it."),
        (as_column, pd.Series([{"a": 1}, "a"]), "x must hold one value in each cell, got dict. Mend it."),
    ],
)
def test_what_is_no_array_column_or_number_is_one_sentence(read, given, text):
    with pytest.raises(lf.DataError, match=f"^{re.escape(text)}[^\n]*$"):
        read("x", given)


def test_texts_that_are_numbers_count_as_these():
    np.testing.assert_array_equal(as_numbers("x", ["1.5", "2"]), [1.5, 2])


def test_masked_values_of_a_recording_are_not_observed_in_the_data_behaviour_and_columns():
    rng = np.random.default_rng(0)
    counts, mask = rng.poisson(2, (12, 6, 3)), rng.random((12, 6, 3)) < 0.3
    moved, still = rng.normal(size=(12, 6, 2)), rng.random((12, 6, 2)) < 0.3
    times, unknown = rng.random(12), rng.random(12) < 0.4
    made = lf.Recording.from_arrays(
        np.ma.array(counts, mask=mask),
        bin_ms=10,
        behaviour=np.ma.array(moved, mask=still),
        split=["train"] * 9 + ["valid"] * 3,
        trials={"rt": np.ma.array(times, mask=unknown)},
    ).session
    for split, rows in (("train", slice(9)), ("valid", slice(9, None))):
        of = made.splits[split]
        np.testing.assert_array_equal(of.recon, np.where(mask, np.nan, counts)[rows].astype(np.float32))
        np.testing.assert_allclose(of.extras["behavior"], np.where(still, np.nan, moved)[rows], rtol=1e-6)
        np.testing.assert_allclose(of.extras["rt"], np.where(unknown, np.nan, times)[rows], rtol=1e-6)


def test_trials_of_which_a_number_is_missing_are_left_out_by_a_condition_on_it():
    made = lf.Recording.from_arrays(np.ones((6, 4, 2)), trials={"rt": [0.1, None, 0.9, 0.8, None, 0.7]}, keep_trials="rt > 0.5").session
    assert sorted(np.concatenate([split.extras["rt"] for split in made.splits.values()]).tolist()) == [0.7, 0.8, 0.9]


def test_arrays_under_the_keys_of_a_file_are_read_in_the_same_way():
    values = np.ma.array(np.ones((4, 5, 2)), mask=False)
    values[1, 2, 0] = np.ma.masked
    split = lf.Recording.of("x", {"train_data": values, "valid_data": values, "train_x": [1, None, 3, 4]}, {}).session.splits["train"]
    assert np.argwhere(np.isnan(split.recon)).tolist() == [[1, 2, 0]]
    np.testing.assert_array_equal(split.extras["x"], [1, np.nan, 3, 4])


@pytest.mark.wrong_types
def test_arrays_that_are_not_called_by_texts_are_refused():
    with pytest.raises(lf.DataError, match=r"^session 'x': arrays must be called by texts, such as 'train_encod_data', got 3\. Rename them\.$"):
        lf.Recording.of("x", {3: np.ones((4, 5, 2))}, {})
