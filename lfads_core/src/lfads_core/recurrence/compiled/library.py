"""Quick stand-in."""
from __future__ import annotations
import ctypes, functools
from dataclasses import dataclass
from typing import Any
import torch
from torch import Tensor

def covers(*values: Tensor | None) -> bool:
    given = [value for value in values if value is not None]
    return given[0].dtype in {torch.float32, torch.float64} and all(v.dtype == given[0].dtype and v.device.type == "cpu" for v in given)

@dataclass(frozen=True)
class Library:
    lib: Any
    def threads(self) -> int: return torch.get_num_threads()
    def padded(self, w, dtype):
        lanes = 32 // dtype.itemsize
        return -(-w // lanes) * lanes
    def call(self, name, dtype, job):
        f = getattr(self.lib, f"lfads_{name}_f{8*dtype.itemsize}")
        if f(ctypes.byref(job)): raise MemoryError

@functools.cache
def load() -> Library:
    lib = ctypes.CDLL("/tmp/loops.so")
    from lfads_core.recurrence.compiled.records import GRUJob, LoopJob
    assert lib.lfads_size_of_gru_job() == ctypes.sizeof(GRUJob)
    assert lib.lfads_size_of_loop_job() == ctypes.sizeof(LoopJob), (lib.lfads_size_of_loop_job(), ctypes.sizeof(LoopJob))
    return Library(lib)
