"""Files that may be damaged or odd: whatever a library raises becomes a sentence, and declared sizes are looked at before anything is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lfads_core.data.memory import room_for_data
from lfads_core.errors import DataError, LfadsError
from lfads_core.wording import one_line, spoken_size

_SUSPICIOUS_BYTES = 1 << 28
_SUSPICIOUS_RATIO = 10_000
"""No compression that is in use makes values of a recording so much smaller: beyond it, most of a large array was never written."""


@contextmanager
def spoken_reading(path: Path | str, what: str, *, by: str = "HDF5", hint: str = "Copy or write it again.") -> Iterator[None]:
    """Say in a sentence that ``what`` of a file cannot be read, whatever the library ``by`` which it is read raises.

    Only calls of that library belong inside, for a fault of ours shall keep its traceback.

    Raises:
        DataError: instead of what the library raised.
    """
    try:
        yield
    except LfadsError:
        raise
    except MemoryError as err:
        raise DataError(f"{path}: {what} must fit into memory, got more than there is. Cut the file, or free memory.") from err
    except Exception as err:
        raise DataError(f"{path}: {what} must be readable, but {by} says: {one_line(err)}. {hint}") from err


class Room:
    """Bytes that may still be read of a file."""

    def __init__(self, room: int | None = None) -> None:
        self._whole = self._left = room_for_data() if room is None else room

    def take(self, path: Path | str, what: str, shape: Sequence[int], itemsize: int) -> None:
        """Count an array that is about to be read.

        Raises:
            DataError: there is no room for it.
        """
        size = math.prod(map(int, shape)) * itemsize
        if size > self._left:
            raise DataError(
                f"{path}: {what} must fit into memory with what is read before it, got {spoken_size(size)} {tuple(shape)} and "
                f"{spoken_size(self._left)} left of {spoken_size(self._whole)}. Cut or delete it, or give more memory (data.memory_gb)."
            )
        self._left -= size


def refuse_unwritten(path: Path | str, key: str, dataset: Any) -> None:
    """Refuse an open HDF5 dataset that declares far more values than the file can hold.

    Raises:
        DataError: it does.
    """
    declared = math.prod(map(int, dataset.shape)) * dataset.dtype.itemsize
    if declared < _SUSPICIOUS_BYTES or dataset.is_virtual or dataset.external:
        return
    stored = dataset.id.get_storage_size()
    if declared > _SUSPICIOUS_RATIO * stored:
        raise DataError(
            f"{path}: '{key}' must be in the file as a whole, got {spoken_size(stored)} of the {spoken_size(declared)} that its shape "
            f"{dataset.shape} declares. It was never written, or is damaged: write it again, or delete it."
        )
