"""Contract of a tracker. Tracking never costs the training: whoever calls a tracker need not fear it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class Tracker(Protocol):
    """Gets the numbers of each epoch and, at the end, the files."""

    def log(self, epoch: int, row: Mapping[str, float]) -> None:
        """Take one epoch's numbers; they may be buffered."""
        ...

    def artifacts(self, paths: Iterable[Path]) -> None:
        """Take files or folders."""
        ...

    def close(self, status: str) -> None:
        """Write what is buffered; ``status`` is ``finished``, ``interrupted`` or ``failed``."""
        ...


@runtime_checkable
class FinalTracker(Tracker, Protocol):
    """One that takes, besides, what is known once the training has ended."""

    def final(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Take the scores of the final outputs by ``<split>/<metric>``, made otherwise than those of epochs; ``epoch`` is the last one."""
        ...
