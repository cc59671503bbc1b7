"""Memory that a step frees is kept for the next step, instead of being given back to the system and asked for anew."""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8
"""Names of malloc's switches, from glibc's ``malloc.h``."""
TOP_PAD = 64 * 2**20
"""Bytes by which the heap grows at least."""


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
