"""Objects in NumPy's files, of which only what is data is made: a pickle may name any code to run, and none of it is.

What a pickle builds of anything but numbers, text, lists, dictionaries and arrays stands as an empty object (:class:`Unmade`).
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy

from lfads_core.errors import DataError
from lfads_core.wording import one_line


class Unmade:
    """Stands for an object that was not made."""

    def __new__(cls, *_: object, **__: object) -> Unmade:  # noqa: PYI034 - checked at run time, which Self cannot be
        """Take whatever the pickle gives."""
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        """Keep nothing of it."""

    def __setstate__(self, _: object) -> None:
        """Keep nothing of that either."""

    def __setitem__(self, _: object, __: object) -> None:
        """Nor of entries."""

    def append(self, _: object) -> None:
        """Nor of items."""

    def extend(self, _: object) -> None:
        """Nor of several."""


def _text(text: str, encoding: str = "latin1") -> bytes:
    """What pickles of old call for bytes (``_codecs.encode``)."""
    return text.encode(encoding if encoding in {"latin1", "utf-8", "ascii"} else "latin1")


_KNOWN: Final[dict[tuple[str, str], Any]] = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("_codecs", "encode"): _text,
    ("collections", "OrderedDict"): OrderedDict,
}
_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
_MAKERS: Final[dict[str, Any]] = {"_reconstruct": np.empty(0).__reduce__()[0], "scalar": np.float64(0).__reduce__()[0]}


class _Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Arrays and their parts; nothing else is looked up."""
        if module in _ARRAYS and name in _MAKERS:
            return _MAKERS[name]
        return _KNOWN.get((module, name), Unmade)


def read_npy(path: Path) -> np.ndarray:
    """One array of a ``.npy`` file; objects without running what they say.

    Raises:
        DataError: the file is damaged.
    """
    try:
        return _array(path.read_bytes())
    except Exception as err:
        raise DataError(f"{path}: must be a whole array of NumPy's, got: {one_line(err)}. Save it again.") from err


def objects_of(path: Path, name: str) -> Any:
    """What an archive (``.npz``) holds under a name as one object, such as a dictionary.

    Raises:
        DataError: it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = _array(archive.read(f"{name}.npy"))
    except Exception as err:
        raise DataError(f"{path}: '{name}' must be readable, got: {one_line(err)}. Save it again.") from err
    return found.item() if found.shape == () else found


def _array(content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    shape, _, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(stream)
    if not dtype.hasobject:
        return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
    found = _Careful(stream, encoding="latin1").load()
    array: np.ndarray = np.asarray(found, dtype=object).reshape(shape)
    return array
