"""Comparisons with a fixture's arrays, one record each, and the account of what was never compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


def as_array(values: Any) -> np.ndarray:
    """Tensors, numbers and arrays alike, in float64."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def relative_error(expected: np.ndarray, actual: np.ndarray) -> float:
    """Largest difference over the largest expected size; absolute where all that is expected is 0; infinite where no number can say."""
    if expected.shape != actual.shape or not np.array_equal(np.isnan(expected), np.isnan(actual)):
        return float("inf")
    known = ~np.isnan(expected)
    if not known.any():
        return 0.0
    expected, actual = expected[known], actual[known]
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        return 0.0 if np.array_equal(expected, actual) else float("inf")
    size = np.abs(expected).max()
    return float(np.abs(actual - expected).max() / (size if size > 0 else 1.0))


@dataclass
class Report:
    """All records of one file."""

    file: str
    case: str
    tolerance: float
    expected: set[str] = field(default_factory=set)
    """Names of the file's arrays that are results: each must be compared."""
    note: str = ""
    """Put on every record without a note of its own, and on the summary."""
    records: list[dict[str, Any]] = field(default_factory=list)

    def compare(self, array: str, expected: Any, actual: Any, *, note: str = "", tolerance: float | None = None) -> None:
        """Compare one array; ``actual`` None says that we have no such thing."""
        wanted = as_array(expected)
        if actual is None:
            self.add(array, float("inf"), note=note or "the library gives nothing of this name", tolerance=tolerance)
            return
        got = as_array(actual)
        if wanted.shape != got.shape:
            note = f"{note + '; ' if note else ''}expected shape {wanted.shape}, got {got.shape}"
        self.add(array, relative_error(wanted, got), note=note, tolerance=tolerance)

    def require(self, array: str, holds: bool, *, note: str = "") -> None:
        """Record a condition that holds or does not: error 0 or 1."""
        self.add(array, 0.0 if holds else 1.0, note=note)

    def skip(self, array: str, reason: str) -> None:
        """Record that something is left out on purpose."""
        self.records.append({"file": self.file, "case": self.case, "array": array, "skipped": reason, "ok": True})

    def add(self, array: str, error: float, *, note: str = "", tolerance: float | None = None) -> None:
        """Record one comparison. JSON has no infinity: such an error is null."""
        limit = self.tolerance if tolerance is None else tolerance
        record = {
            "file": self.file,
            "case": self.case,
            "array": array,
            "error": error if np.isfinite(error) else None,
            "tolerance": limit,
            "ok": bool(error <= limit),
        }
        text = note or self.note
        self.records.append({**record, "note": text} if text else record)

    def close(self) -> None:
        """Record every expected array that nothing was compared with."""
        compared = {record["array"] for record in self.records}
        for name in sorted(self.expected - compared):
            self.add(name, float("inf"), note="not compared: the replay knows nothing of this name")

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The records that are not as they should be."""
        return [record for record in self.records if not record["ok"]]

    def summary(self) -> dict[str, Any]:
        """One record for the whole file."""
        errors = [record["error"] for record in self.records if record.get("error") is not None and record["tolerance"] == self.tolerance]
        out = {
            "file": self.file,
            "case": self.case,
            "summary": True,
            "compared": sum("error" in record for record in self.records),
            "skipped": sum("skipped" in record for record in self.records),
            "failed": len(self.failures),
            "largest_error": max(errors, default=0.0),
            "ok": not self.failures,
        }
        return {**out, "note": self.note} if self.note else out


def emit(records: Iterable[dict[str, Any]]) -> None:
    """Print records as JSON lines."""
    for record in records:
        sys.stdout.write(json.dumps(record, allow_nan=False) + "\n")
