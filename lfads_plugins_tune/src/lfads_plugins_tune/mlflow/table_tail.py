"""The rows of a ``fitlog.csv`` that have come since the last look, while somebody else writes it."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

Row = tuple[int, dict[str, float]]
"""An epoch and its numbers by column; what was not measured is left out."""


class TableTail:
    """Reads on where it stopped; from the start when the table was replaced by another, as happens when columns or epochs change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode, self._at = -1, 0
        self._columns: list[str] = []

    def rows(self) -> list[Row]:
        """Whole new rows; none while there is no such file."""
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                header = file.readline()
                columns = header.decode("utf-8", "replace").rstrip("\r\n").split(",")
                if (stat.st_ino, columns) != (self._inode, self._columns) or stat.st_size < self._at:
                    self._inode, self._columns, self._at = stat.st_ino, columns, len(header)
                file.seek(self._at)
                text = file.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        names = next(csv.reader([",".join(self._columns)]), [])
        table = list(csv.reader(io.StringIO(whole.decode("utf-8", "replace"), newline="")))
        try:
            return [_row(names, values) for values in table]
        except ValueError:  # not where a row begins: it was replaced by one that looks like it
            self._inode = -1
            return []


def _row(names: list[str], values: list[str]) -> Row:
    numbers = {name: float(value) for name, value in zip(names, values, strict=True) if value}
    return int(numbers.pop("epoch")), numbers
