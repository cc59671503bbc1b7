"""Does the chosen way of cutting up work fit the card? Kernels in float32 alone, cut up in ways around the chosen one."""

from __future__ import annotations

import functools
import itertools
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from asked import Asked

from lfads_core.recurrence.triton_launch import card_of
from lfads_core.recurrence.triton_tiles import Tiles, choose_tiles

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import triton_resources

LAUNCHES = 5
"""Launches that are timed, after two that are not; the median counts."""
CASES = {
    "S1 gru 100, 1 member": ("S1", "gru 100", 1, (1, 2), (8, 16), (4, 8)),
    "S1 gru 100, 32 members": ("S1", "gru 100", 32, (4, 8, 16), (4, 8), (4, 8)),
    "S1 closed loop, 1 member": ("S1", "closed loop", 1, (1, 2, 4), (8, 16), (4, 8)),
    "S1 closed loop, 32 members": ("S1", "closed loop", 32, (4, 8, 16), (4, 8), (4, 8)),
    "S2 closed loop, 1 member": ("S2", "closed loop", 1, (2, 4), (8, 16), (8, 16)),
    "S2 closed loop, 32 members": ("S2", "closed loop", 32, (8, 16), (4, 8), (4, 8)),
    "S4 gru 200, 1 member": ("S4", "gru 200", 1, (1, 2), (8, 16), (8, 16)),
    "S4 gru 200, 32 members": ("S4", "gru 200", 32, (4, 8), (4, 8), (4, 8)),
}
"""Shape, loop, members; then trials of a program, terms under way, and groups of 32 threads."""


def tiles(asked: Asked) -> None:
    """Microseconds a bin, forwards and backwards, of each way; one process of several (``--part``) compiles its share and times nothing."""
    number, of = asked.part
    work: dict[str, Callable[[], Any]] = {}
    for name, (shape, loop, members, *grid) in CASES.items():
        ways = [None, *(dict(zip(("rows", "depth", "warps"), way, strict=True)) for way in itertools.product(*grid))]
        for way in ways[:2] if asked.dry else ways:
            key = f"{name}: {'chosen' if way is None else json.dumps(way)}"
            work[key] = functools.partial(_timed, asked, *(("tiny", loop, 2) if asked.dry else (shape, loop, members)), way, timed=of == 1)
    asked.each("tiles" if of == 1 else f"tiles-{number}", dict(itertools.islice(work.items(), number, None, of)))


def _timed(asked: Asked, shape: str, loop: str, members: int, way: dict[str, int] | None, *, timed: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kernel, tiled, run, bins in _launches(asked, shape, loop, members, way):
        run()
        if timed:
            found[kernel] = round(1e3 * _milliseconds(asked, run) / bins, 2)
        found |= {"rows": tiled.rows, "depth": tiled.depth, "warps": tiled.warps}
    return found


def _launches(asked: Asked, name: str, loop: str, members: int, way: dict[str, int] | None) -> Iterator[tuple[str, Tiles, Callable[[], object], int]]:
    """Both kernels of a loop as a step launches them, cut up in another way."""
    shape = triton_resources.TINY if name == "tiny" else triton_resources.SHAPES[name]
    made: list[Tiles] = []

    def chosen(**given: Any) -> Tiles:
        made.append(replace(choose_tiles(**given), **(way or {})))
        return made[-1]

    encoders = () if loop in {"closed loop", "gru 200"} else shape.encoders[:1]
    only = replace(shape, encoders=encoders, con=shape.con if loop == "closed loop" else 0)
    both = triton_resources.recorded(only, "ieee", torch.float32, members, card_of(torch.device(asked.device)), asked.device, chosen)
    for _, recorder in itertools.islice(both, 2):
        grid, arguments, options = recorder.calls[0]
        kernel = "forward" if recorder.kernel.fn.__name__.endswith("forward") else "backward"
        yield kernel, made[-1], functools.partial(recorder.kernel[grid], *arguments, **options), shape.bins


def _milliseconds(asked: Asked, run: Callable[[], object]) -> float:
    """The median launch, by the device's own clock."""
    if asked.dry:
        return 0.0
    run()
    taken = []
    for _ in range(LAUNCHES):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        taken.append(begin.elapsed_time(end))
    return statistics.median(taken)
