"""The compiled library in this process: found, opened once, called."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lfads_core.errors import LfadsError
from lfads_plugins_std.compiled import cache
from lfads_plugins_std.compiled.records import GRUJob, LoopJob

DTYPES = {torch.float32: "f32", torch.float64: "f64"}


@dataclass(frozen=True, kw_only=True)
class Library:
    """An open library. Calls release the interpreter's lock and may come from several threads at once."""

    path: Path
    handle: ctypes.CDLL
    vector_bytes: int

    def padded(self, width: int, dtype: torch.dtype) -> int:
        """A width in whole vectors."""
        lanes = self.vector_bytes // dtype.itemsize
        return -(-width // lanes) * lanes

    def call(self, loop: str, dtype: torch.dtype, job: GRUJob | LoopJob) -> None:
        """Run one loop for these numbers' type.

        Raises:
            MemoryError: there is no room for its sums.
        """
        if getattr(self.handle, f"lfads_{loop}_{DTYPES[dtype]}")(ctypes.byref(job)):
            raise MemoryError(f"the compiled {loop} needs more memory than there is")


def opened(path: Path) -> Library:
    """Open a library.

    Raises:
        LfadsError: it cannot be loaded, or speaks of other records than ours.
    """
    try:
        handle: Any = ctypes.CDLL(str(path))
        sizes = handle.lfads_size_of_gru_job(), handle.lfads_size_of_loop_job()
        vector_bytes = handle.lfads_vector_bytes()
    except (OSError, AttributeError) as error:
        raise LfadsError(f"{path}: must be a library made by 'lfads compile', got {error}. Make it again with 'lfads compile --anew'.") from error
    if sizes != (ctypes.sizeof(GRUJob), ctypes.sizeof(LoopJob)):
        raise LfadsError(f"{path}: must fit this version of LFADS, got another one's. Make it again with 'lfads compile --anew'.")
    return Library(path=path, handle=handle, vector_bytes=vector_bytes)


@functools.cache
def load() -> Library:
    """The library for these sources and this processor, which stays open once it is.

    Raises:
        LfadsError: there is none, or it cannot be loaded.
    """
    path = cache.find()
    if path is None:
        raise LfadsError("train.recurrence: compiled: needs code compiled for this processor, got none. Make it with 'lfads compile'.")
    return opened(path)


def covers(*values: Tensor | None) -> bool:
    """Whether the C code can compute with these: all in memory of the processor, all float32 or all float64."""
    given = [value for value in values if value is not None]
    first = given[0].dtype
    return first in DTYPES and all(value.dtype == first and value.device.type == "cpu" for value in given)
