"""What is told of plugins that work: that they print while they are loaded, or take their time."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator

SLOW = 2.0
"""Seconds that loading one plugin may take before it is told."""


@contextlib.contextmanager
def noticing(remarks: list[str]) -> Iterator[None]:
    """Keep standard output clean while a plugin is loaded, and add what there is to say about it."""
    out, start = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(out):
        yield
    seconds = time.perf_counter() - start
    if said := out.getvalue().strip():
        remarks.append(f"prints when it is loaded, which is kept from standard output: {said.splitlines()[0][:60]!r}")
    if seconds > SLOW:
        remarks.append(f"takes {seconds:.1f} s to load, at every command; import what is heavy in the functions that use it")
