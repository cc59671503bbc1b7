"""Damage of an HDF5 file that HDF5 itself does not survive: it is looked for before anything is read."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from lfads_core.errors import DataError

MOST = 1 << 30
"""Bytes of a file up to which it is looked through, which takes a second at most."""
MOST_OF_A_HEAP = 1 << 26
"""Bytes of a heap that are looked at: HDF5 makes heaps of some kilobytes, and larger ones for single long texts."""
_BLOCK = 1 << 22
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
    with path.open("rb") as file:
        for heap in _heaps(file):
            file.seek(heap + len(_HEAP))
            (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
            content = file.read(max(min(length, MOST_OF_A_HEAP, size - heap) - _HEADER, 0))
            at = 0
            while at + _HEADER <= len(content):
                (number,), (length,) = struct.unpack_from("<H", content, at), struct.unpack_from("<Q", content, at + 8)
                step = _HEADER + (length + 7) // 8 * 8 if number else length
                if not step:
                    return heap + _HEADER + at
                at += step
    return None


def _heaps(file: BinaryIO) -> Iterator[int]:
    """Where heaps begin. A block at a time is read, for a file that is mapped counts as memory of the process."""
    begin, block = 0, b""
    while True:
        file.seek(begin + len(block))
        more = file.read(_BLOCK)
        if not more:
            return
        begin += max(0, len(block) - len(_HEAP) + 1)
        block = block[-len(_HEAP) + 1 :] + more
        at = -1
        while (at := block.find(_HEAP, at + 1)) >= 0:
            yield begin + at
