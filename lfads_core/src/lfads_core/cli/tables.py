"""Tables for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lfads_core.files import write_text


def as_csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """A table for other programs; what is not there is empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "null" if key in row and row[key] is None and "." in key else row.get(key) for key in columns} for row in rows)
    return text.getvalue()


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table to a file.

    Raises:
        RunError: it cannot be written.
    """
    write_text(path, as_csv(columns, rows))
