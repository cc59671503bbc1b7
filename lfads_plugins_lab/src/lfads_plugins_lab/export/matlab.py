"""MATLAB's MAT-file, version 5 ("MAT-File Format", The MathWorks): numeric arrays and texts, uncompressed."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from lfads_core.errors import RunError
from lfads_core.files import replacing, spoken_failure

_MATRIX, _INT8, _INT32, _UTF16, _UINT32 = 14, 1, 5, 17, 6
_CHAR = 4
_KINDS: Final = {  # numpy: MATLAB's class, type of the stored values
    "f8": (6, 9),
    "f4": (7, 7),
    "i1": (8, 1),
    "u1": (9, 2),
    "i2": (10, 3),
    "u2": (11, 4),
    "i4": (12, 5),
    "u4": (13, 6),
    "i8": (14, 12),
    "u8": (15, 13),
}
_MOST_BYTES = 2**31 - 1
_LONGEST_NAME = 63


def write_mat(path: Path, variables: Mapping[str, Any]) -> None:
    """Replace a file by one that holds these arrays, numbers, texts and lists of texts; a vector becomes a column.

    Axes are in the order they have here: MATLAB shows trials first. Names are made into MATLAB's (:func:`matlab_name`).

    Raises:
        RunError: it cannot be written, or a variable is larger than the format allows (2 GiB).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with spoken_failure(path), replacing(path) as temporary, temporary.open("wb") as file:
        file.write(b"MATLAB 5.0 MAT-file, written by lfads".ljust(116) + bytes(8) + struct.pack("<H", 0x0100) + b"IM")
        for name, value in variables.items():
            for piece in _variable(path, name, value):
                file.write(piece)


def matlab_name(name: str) -> str:
    """A name that MATLAB takes: letters, digits and underscores, a letter first, at most 63."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return (plain if plain[:1].isalpha() else f"x{plain}")[:_LONGEST_NAME]


def _variable(path: Path, name: str, value: Any) -> Iterator[bytes | memoryview]:
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        array, kind, stored = _characters(array), _CHAR, _UTF16
    elif array.dtype.kind == "b":
        array, (kind, stored) = array.astype("u1"), _KINDS["u1"]
    else:
        code = array.dtype.str[1:]
        if code not in _KINDS:
            array, code = array.astype("f8"), "f8"
        kind, stored = _KINDS[code]
    shape = array.shape if array.ndim > 1 else (array.size, 1)
    data = np.ascontiguousarray(array.reshape(shape).T.astype(array.dtype.newbyteorder("<"), copy=False))  # column-major
    head = _element(_UINT32, struct.pack("<II", kind | (0x0200 if np.asarray(value).dtype.kind == "b" else 0), 0))
    head += _element(_INT32, struct.pack(f"<{len(shape)}i", *shape)) + _element(_INT8, matlab_name(name).encode("ascii"))
    padding = -data.nbytes % 8
    size = len(head) + 8 + data.nbytes + padding
    if size > _MOST_BYTES:
        raise RunError(
            f"{path}: '{name}' must be below 2 GiB in a MAT-file of version 5, got {size / 2**30:.1f} GiB. Use --h5, which MATLAB's h5read reads."
        )
    yield struct.pack("<II", _MATRIX, size) + head + struct.pack("<II", stored, data.nbytes)
    yield data.data.cast("B") if data.nbytes else b""
    yield bytes(padding)


def _element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def _characters(texts: np.ndarray) -> np.ndarray:
    """Rows of UTF-16 codes, filled up with spaces."""
    rows = [text.decode() if isinstance(text, bytes) else str(text) for text in texts.reshape(-1)]
    width = max((len(row) for row in rows), default=0)
    return np.array([[min(ord(c), 0xFFFD) for c in row.ljust(width)] for row in rows], dtype="u2").reshape(len(rows), width)
