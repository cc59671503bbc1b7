"""A look through the elements of a Matlab file of version 5 before scipy reads it, which trusts them and ends the process over odd ones."""

from __future__ import annotations

import math
import mmap
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lfads_core.data.bounds import Room, spoken_reading
from lfads_core.errors import DataError

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_TYPES = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13, _MATRIX, _COMPRESSED, 16, 17, 18})
_CLASSES = range(1, 18)
_CELL, _OBJECT, _SPARSE, _FUNCTION, _OPAQUE = 1, 3, 5, 16, 17
_HOLDING = {_CELL, 2, _OBJECT}
_DEEPEST = 100


def require_whole_elements(path: Path) -> None:
    """Refuse a file whose elements have types that there are not, or reach beyond what holds them; other versions pass.

    Raises:
        DataError: it is such a file, or more is packed in it than fits into memory.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER)
        orders: dict[bytes, Literal["little", "big"]] = {b"IM": "little", b"MI": "big"}
        order = orders.get(head[126:128])
        if order is None or len(head) < _HEADER or 0 in head[:4]:  # four letters begin a version 5, and no version 4
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _ElementWalk(path, order).through(memoryview(content[_HEADER:]), 0)


@dataclass(frozen=True)
class _Element:
    """Where the values of an element stand in what holds it."""

    kind: int
    begin: int
    size: int
    following: int


class _ElementWalk:
    """Elements one after the other, those within matrices and compressed ones too."""

    def __init__(self, path: Path, order: Literal["little", "big"]) -> None:
        self._path, self._order, self._room = path, order, Room()

    def through(self, content: memoryview, depth: int) -> list[_Element]:
        """Look at every element, and return them."""
        found, at = [], 0
        while len(content) - at >= 8:
            found.append(self._element(content, at, depth))
            at = found[-1].following
        return found

    def _element(self, content: memoryview, at: int, depth: int) -> _Element:
        first = self._number(content, at)
        if first >> 16:  # a small one, whose values stand in its own head
            found = _Element(first & 0xFFFF, at + 4, first >> 16, at + 8)
            fits = found.size <= 4
        else:
            size = self._number(content, at + 4)
            found = _Element(first, at + 8, size, at + 8 + size + (0 if first == _COMPRESSED else -size % 8))
            fits = found.begin + size <= len(content)
        if found.kind not in _TYPES or not fits or depth > _DEEPEST:
            raise self._fault(f"an element of type {found.kind} and {found.size} bytes")
        inside = content[found.begin : found.begin + found.size]
        if found.kind == _COMPRESSED:
            self.through(self._unpacked(inside), depth + 1)
        elif found.kind == _MATRIX and found.size:
            self._matrix(inside, depth)
        return found

    def _matrix(self, content: memoryview, depth: int) -> None:
        """An array: flags, lengths of its axes, a name, then what its class asks for; scipy reads on where that is not there."""
        parts = self.through(content, depth + 1)
        if not parts or parts[0].kind == _MATRIX or parts[0].size < 4:
            raise self._fault("an array without a class")
        flags = self._number(content, parts[0].begin)
        kind, is_complex = flags & 0xFF, bool(flags >> 8 & 8)
        matrices = [part.kind == _MATRIX for part in parts]
        if kind == _OPAQUE:
            return
        if kind not in _CLASSES or len(parts) < 3 or any(matrices[:3]):
            raise self._fault(f"an array of the class {kind}")
        sizes = [self._number(content, at) for at in range(parts[1].begin, parts[1].begin + parts[1].size - 3, 4)]
        inside = math.prod(sizes)
        if kind in _HOLDING:
            head = 3 if kind == _CELL else 6 if kind == _OBJECT else 5
            if kind != _CELL:
                if len(parts) < head or any(matrices[3:head]) or parts[head - 2].size < 4:
                    raise self._fault("a structure without names")
                inside *= parts[head - 1].size // max(self._number(content, parts[head - 2].begin), 1)
            whole = len(parts) - head >= inside and all(matrices[head:])
        elif kind == _FUNCTION:
            whole = any(matrices)
        else:
            whole = len(parts) >= (5 if kind == _SPARSE else 4) + is_complex and not any(matrices)
        if not whole:
            raise self._fault(f"an array of the class {kind} without all its values")

    def _unpacked(self, packed: memoryview) -> memoryview:
        unpacking, parts = zlib.decompressobj(), []
        waiting = bytes(packed)
        with spoken_reading(self._path, "a Matlab file", by="zlib", hint="Save it again."):
            while waiting and not unpacking.eof:
                parts.append(unpacking.decompress(waiting, 1 << 20))
                self._room.take(self._path, "what is packed in it", (len(parts[-1]),), 1)
                waiting = unpacking.unconsumed_tail
        return memoryview(b"".join(parts))

    def _number(self, content: memoryview, at: int) -> int:
        return int.from_bytes(content[at : at + 4], self._order)

    def _fault(self, what: str) -> DataError:
        return DataError(f"{self._path}: a Matlab file must be whole, got {what}. Save it again.")
