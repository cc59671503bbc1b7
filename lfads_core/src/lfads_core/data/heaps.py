"""Damage of an HDF5 file that HDF5 itself does not survive: it is looked for before anything is read."""

from __future__ import annotations

import mmap
import struct
from functools import lru_cache
from pathlib import Path

from lfads_core.errors import DataError

MOST = 1 << 30
"""Bytes of a file up to which it is looked through, which takes a second at most."""
_HEAP = b"GCOL\x01\0\0\0"
_HEADER = 16
"""Bytes before the first object of a heap, and of the head of each object."""


def refuse_endless_heap(path: Path) -> None:
    """Refuse a file whose heap of texts, of names or attributes say, has free space of no size: HDF5 goes round in it for ever (seen in 2.0.0).

    Of the layout see the HDF5 File Format Specification, III.E.

    Raises:
        DataError: there is such a heap.
    """
    found = path.stat()
    if found.st_size <= MOST and (at := _endless_at(path, found.st_size, found.st_mtime_ns)) is not None:
        raise DataError(f"{path}: must be a readable HDF5 file, but its heap of texts is damaged at byte {at}. Copy or write it again.")


@lru_cache(maxsize=64)
def _endless_at(path: Path, size: int, _changed: int) -> int | None:
    """Where free space of no size stands."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
        heap = -1
        while (heap := content.find(_HEAP, heap + 1)) >= 0 and heap + _HEADER <= size:
            end = min(heap + struct.unpack_from("<Q", content, heap + 8)[0], size)
            at = heap + _HEADER
            while at + _HEADER <= end:
                (number,), (length,) = struct.unpack_from("<H", content, at), struct.unpack_from("<Q", content, at + 8)
                step = _HEADER + (length + 7) // 8 * 8 if number else length
                if not step:
                    return at
                at += step
    return None
