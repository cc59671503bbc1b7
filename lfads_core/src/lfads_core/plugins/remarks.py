"""What is told of plugins that work: that they print while they are loaded, or take their time."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator

from lfads_core.errors import PluginError
from lfads_core.world import put_back, world

SLOW = 2.0
"""Seconds that loading one plugin may take before it is told."""


@contextlib.contextmanager
def noticing(remarks: list[str], *, slow: bool = True) -> Iterator[None]:
    """Keep standard output clean while a plugin is loaded, and add what there is to say about it; whether it is ``slow``, if that matters.

    Raises:
        PluginError: it has changed what all of a process shares, which is put back.
    """
    out, start, before = io.StringIO(), time.perf_counter(), world()
    with contextlib.redirect_stdout(out):
        yield
    if changed := put_back(before):
        raise PluginError(f"must leave what all of a process shares as it is when it is loaded, but changed {changed}")
    seconds = time.perf_counter() - start
    if said := out.getvalue().strip():
        remarks.append(f"prints when it is loaded, which is kept from standard output: {said.splitlines()[0][:60]!r}")
    if slow and seconds > SLOW:
        remarks.append(f"takes {seconds:.1f} s to load, at every command; import what is heavy in the functions that use it")
