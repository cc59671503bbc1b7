"""Which trials train, which validate, which test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Int, Shaped

from lfads_core.data.checks import Problem
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.options import SplitOptions
from lfads_plugins_lab.recordings.windows import unknown

_MEANT = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test", "testing": "test"}


def split_trials(
    where: str, trials: int, options: SplitOptions, condition: Int[np.ndarray, " B"] | None, column: Shaped[np.ndarray, " B"] | None
) -> dict[str, Int[np.ndarray, " _"]]:
    """Rows of each split, in order. ``column`` holds what the trials themselves say; rows of no split are left out.

    Raises:
        DataError: training or validation would be empty, and it is not the column that says so.
    """
    if options.by == "column":
        return _said(where, options.column, column)
    name = np.full(trials, "train", dtype="<U5")
    if options.by == "every":
        name[options.every - 1 :: options.every] = "valid"
    elif options.by == "last":
        n_test, n_valid = round(options.test * trials), round(options.valid * trials)
        name[trials - n_test - n_valid : trials - n_test] = "valid"
        name[trials - n_test :] = "test"
    else:
        _at_random(name, options, condition if options.stratify else None)
    splits = {split: np.flatnonzero(name == split) for split in ("train", "valid", "test")}
    for split in ("train", "valid"):
        if not splits[split].size:
            raise DataError(
                f"{where}: the split '{split}' must have trials, got none of {trials}. Give more trials, or other shares. "
                "Trials that are only to be inferred say 'test' in a column, named by --split-column."
            )
    return {split: rows for split, rows in splits.items() if rows.size}


def split_notes(splits: Mapping[str, Int[np.ndarray, " _"]], trials: int) -> Iterator[Problem]:
    """What there is to say of a column that says the split."""
    if left := trials - sum(rows.size for rows in splits.values()):
        yield Problem(severity="info", text=f"{left} of {trials} trials are in no split: left out.")
    if missing := [word for split, word in (("train", "training"), ("valid", "validation")) if split not in splits]:
        yield Problem(
            severity="warning", text=f"no trial is for {' or '.join(missing)}: a trained model can infer these trials, none can be trained."
        )


def _at_random(name: Shaped[np.ndarray, " B"], options: SplitOptions, condition: Int[np.ndarray, " B"] | None) -> None:
    """Shuffle, put equal conditions next to one another, and take evenly spaced trials: every condition gives its share, to one trial."""
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(name.size)
    if condition is not None:
        order = order[np.argsort(condition[order], kind="stable")]
    for split, share in (("test", options.test), ("valid", options.valid)):
        left = order[name[order] == "train"]
        count = round(share * name.size)
        if count:
            name[left[np.floor((np.arange(count) + rng.random()) * left.size / count).astype(np.int64)]] = split


def _said(where: str, key: str, column: Shaped[np.ndarray, " B"] | None) -> dict[str, Int[np.ndarray, " _"]]:
    if column is None:
        raise DataError(unknown(where, "the split must be a column of the trials", key, []))
    words = np.array([_MEANT.get(str(value).strip().lower(), "") for value in column.tolist()])
    if not (words != "").any():
        got = ", ".join(map(repr, sorted({str(value) for value in column.tolist()})[:5]))
        raise DataError(f"{where}: the column '{key}' must say train, valid (or val) or test, got {got}. Name another, or split by --valid.")
    return {split: rows for split in ("train", "valid", "test") if (rows := np.flatnonzero(words == split)).size}
