"""The list of faults, by the row of docs/features.toml whose tests must find them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One place in one file, as it is and as somebody might have written it."""

    row: str
    number: int  # among those of its row, from 1
    says: str
    file: str  # from the root of the repository
    old: str
    new: str

    @property
    def name(self) -> str:
        """``M1-2``: the second of row M1."""
        return f"{self.row}-{self.number}"

    def put(self, text: str) -> str:
        """The file's text with the fault in it.

        Raises:
            ValueError: the place is not there, or more than once.
        """
        if (times := text.count(self.old)) != 1:
            raise ValueError(
                f"{self.name}: its old text must occur once in {self.file}, got {times} times. Write it anew in tests/mutants/faults.toml."
            )
        return text.replace(self.old, self.new)


def read_faults() -> list[Fault]:
    """All of them, in the order of the list."""
    rows = tomllib.loads((Path(__file__).parent / "faults.toml").read_text(encoding="utf-8"))
    return [Fault(row=row, number=number, **entry) for row, entries in rows.items() for number, entry in enumerate(entries, 1)]


def guards() -> dict[str, list[str]]:
    """Tests by row, from the root of the repository."""
    rows = tomllib.loads((ROOT / "docs" / "features.toml").read_text(encoding="utf-8"))
    return {row: [f"tests/{test}" for test in entry["tests"]] for row, entry in rows.items()}
