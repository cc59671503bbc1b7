"""``fitlog.csv``: one row per epoch, always written, whatever else tracks the run."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from lfads_core.errors import RunError
from lfads_core.files import append_to, replacing


class FitLog:
    """Appends rows; a row with new columns widens the table.

    Epochs come first, then columns in the order in which they were first seen. What an epoch did not measure stays empty, which
    is not the same as ``nan``. Each row is handed to the system as a whole: killed at any moment, a process loses at most the
    row it was writing, and the next use of the file drops what is left of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] | None = None  # None: the file has to be looked at (again)

    def append(self, epoch: int, row: Mapping[str, float]) -> None:
        """Write one epoch's numbers.

        Raises:
            OSError: the file cannot be written; the next call mends what this one left.
            RunError: the file is there and is no log of ours.
        """
        if self._columns is None or not self.path.exists():
            self._columns = self._mend()
        columns, self._columns = self._columns, None
        if new := [name for name in row if name not in columns and name != "epoch"]:
            columns = self._widen(columns, new)
        values = [str(epoch), *(_text(row[name]) if name in row else "" for name in columns[1:])]
        with append_to(self.path) as file:
            file.write(_lines([values]))
        self._columns = columns

    def truncate(self, first_epoch: int) -> None:
        """Drop the rows from ``first_epoch`` on, and a last one that was not written to its end.

        Raises:
            OSError: the file cannot be written.
            RunError: the file is no log of ours.
        """
        self.keep(lambda row: row["epoch"] < first_epoch)

    def keep(self, wanted: Callable[[Mapping[str, float]], bool]) -> None:
        """Drop the rows that are not wanted, and a last one that was not written to its end.

        Raises:
            OSError: the file cannot be written.
            RunError: the file is no log of ours.
        """
        self._columns = None
        if self.path.exists():
            header, *rows = _read(self.path)
            table = _numbers(self.path, header, rows)
            self._replace([header, *(row for i, row in enumerate(rows) if wanted({name: table[name][i] for name in header}))])

    def _mend(self) -> list[str]:
        """Make sure that the file is there and ends with a whole line; returns its columns."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            self._replace([["epoch"]])
            return ["epoch"]
        table = _read(self.path)
        if not _ends_whole(self.path):
            self._replace(table)
        return table[0]

    def _widen(self, columns: Sequence[str], new: Sequence[str]) -> list[str]:
        header, *rows = _read(self.path)
        wide = [*columns, *new]
        self._replace([wide, *([*row, *("" for _ in range(len(wide) - len(header)))] for row in rows)])
        return wide

    def _replace(self, table: Iterable[Sequence[str]]) -> None:
        with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            file.write(_lines(table))


def read_fitlog(path: Path) -> dict[str, list[float]]:
    """The table's columns, all of one length; NaN stands where nothing was measured. A last row that was cut off is left out.

    Raises:
        RunError: there is no such file, or it is not a log of ours.
    """
    header, *rows = _read(path)
    return _numbers(path, header, rows)


def _numbers(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    return {name: [_number(path, row[i]) if row[i] else math.nan for row in rows] for i, name in enumerate(header)}


def _read(path: Path) -> list[list[str]]:
    """Header and whole rows, as texts."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            text = file.read()
    except OSError as err:
        raise RunError(f"{path}: must be a run's fitlog.csv, got: {err.strerror}.") from err
    except UnicodeDecodeError as err:
        raise RunError(f"{path}: must be a table of text, got bytes that are none.") from err
    whole = text[: text.rfind("\n") + 1]  # a row counts once its line is ended
    table = list(csv.reader(io.StringIO(whole, newline="")))
    if not table or table[0][:1] != ["epoch"]:
        raise RunError(f"{path}: must begin with a line of column names, 'epoch' first, got {(table or [[]])[0][:3]}.")
    for number, row in enumerate(table[1:], start=2):
        if len(row) != len(table[0]):
            raise RunError(f"{path}: each row must have {len(table[0])} values, got {len(row)} in row {number}. Take that row out, or put it right.")
    return table


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _lines(table: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue()


def _text(value: float) -> str:
    """What stands in the file: whole numbers, such as a member of a search, without a point; all others to the last digit."""
    return str(value) if type(value) is int else repr(float(value))


def _number(path: Path, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RunError(f"{path}: must hold numbers, got {text!r}.") from None
