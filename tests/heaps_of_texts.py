"""Damage to the heaps in which HDF5 keeps texts: free space of no size, in which HDF5 2.0.0 goes round for ever."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def free_spaces(content: bytes) -> Iterator[int]:
    """Where each heap's free space has its length: object 0, after objects of whole eights."""
    heap = content.find(b"GCOL")
    while heap >= 0:
        at, end = heap + 16, heap + struct.unpack_from("<Q", content, heap + 8)[0]
        while at + 16 <= end and (number := struct.unpack_from("<H", content, at)[0]):
            at += 16 + -(-struct.unpack_from("<Q", content, at + 8)[0] // 8) * 8
        if at + 16 <= end and number == 0:
            yield at
        heap = content.find(b"GCOL", heap + 1)


def endless(content: bytes, at: int | None = None) -> bytes:
    """The same file, in which the free space at a byte, or the first one, has no size."""
    at = next(free_spaces(content)) if at is None else at
    return content[: at + 8] + bytes(8) + content[at + 16 :]
