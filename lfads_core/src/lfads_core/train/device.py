"""Where to compute: the device, the CPU's threads, and memory that a step frees and the next one uses again."""

from __future__ import annotations

import ctypes
import os
import platform

import torch

from lfads_core.errors import ConfigError

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8
"""Names of malloc's switches, from glibc's ``malloc.h``."""
TOP_PAD = 64 * 2**20
"""Bytes by which the heap grows at least."""


def choose_device(wanted: str) -> str:
    """The device's name; ``auto`` takes CUDA when there is one, else the CPU (MPS is slower than the CPU for small steps).

    Raises:
        ConfigError: the device asked for is not there.
    """
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = {"cpu": True, "cuda": cards > 0, "mps": torch.backends.mps.is_available(), **{f"cuda:{i}": True for i in range(cards)}}
    if wanted == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if not there.get(wanted):
        found = ", ".join(name for name, here in there.items() if here)
        raise ConfigError(f"train.device: must be a device of this machine ({found}), got {wanted!r}. Use auto, or install torch for that device.")
    return wanted


def cores() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_cpu(threads: int) -> None:
    """Make this process ready for many steps on the CPU: torch's threads, and memory that is used again."""
    torch.set_num_threads(threads)
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Have glibc's malloc serve large tensors from its heap and never shrink that; whether it does.

    By default each tensor of some megabytes is a mapping of its own, which the system must fill with zeros page by page, in every
    step anew: up to a third of a step's time. Elsewhere than with glibc nothing changes, nor if the environment has switches of
    its own (``MALLOC_...``, ``LD_PRELOAD``). What the process holds stays near the most it needed at once.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") or name == "LD_PRELOAD" for name in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    switches = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: TOP_PAD, M_ARENA_MAX: 1}  # one heap: those of threads are small
    return all(mallopt(switch, value) == 1 for switch, value in switches.items())
