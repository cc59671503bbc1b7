"""What was expected of an H100 or H200 before any was measured, by arithmetic from the numbers at the top; ``docs/speed.md`` has the reasons."""

from __future__ import annotations

HOST_US = 10.0
"""An operation that torch hands to the device from Python, autograd included."""
REPLAY_US = 2.5
"""A small operation on the device, one after the other in a graph."""
OPERATIONS = {"S1": (250, 391), "S2": (250, 391), "S3": (250, 391), "S4": (156, 298)}
"""Counted on a CPU: of one member and of 32 alike (``bench/step_operations.py``)."""
BINS = {"S1": 100, "S2": 45, "S3": 180, "S4": 100}
LOOPS = {
    "S1": ("gru 100", "gru 64", "closed 100"),
    "S2": ("gru 64", "gru 64", "closed 200"),
    "S3": ("gru 100", "gru 80", "closed 100"),
    "S4": ("gru 128", "gru 200"),
}
US_A_BIN = {
    "ieee": {
        "gru 64": (1.5, 2.6),
        "gru 80": (1.7, 3.0),
        "gru 100": (1.9, 3.4),
        "gru 128": (2.5, 4.5),
        "gru 200": (5.5, 10.0),
        "closed 100": (5.0, 9.0),
        "closed 200": (11.5, 21.0),
    },
    "bf16": {
        "gru 64": (0.5, 0.9),
        "gru 80": (0.8, 1.4),
        "gru 100": (0.8, 1.4),
        "gru 128": (0.8, 1.4),
        "gru 200": (2.6, 5.0),
        "closed 100": (2.0, 3.5),
        "closed 200": (4.0, 8.0),
    },
}
"""Of a kernel alone, forwards and backwards, one member; twice as much where a program has twice the trials, or programs come in two waves."""
PRODUCTS_MS = {"S1": (0.3, 4.0), "S2": (0.5, 10.0), "S3": (0.5, 8.0), "S4": (0.2, 3.0)}
"""Large products before and after the loops, and the loss: of one member and of 32."""
WAVES = 2.0
"""Of 32 members: blocks of trials of S1 fill the multiprocessors about twice."""
CARRIED = {"triton": "ieee", "triton-bf16": "bf16"}


def of_loops(name: str, products: str) -> float:
    """Milliseconds of a step's kernels over time."""
    return sum(sum(US_A_BIN[products][loop]) for loop in LOOPS[name]) * BINS[name] / 1e3


def of_step(name: str, path: str, members: int, *, captured: bool) -> float:
    """Milliseconds: the device's work, or the host's launches where they are more and no graph takes their place."""
    one = members == 1
    operations, products = OPERATIONS[name][0 if one else 1], PRODUCTS_MS[name][0 if one else 1]
    device = of_loops(name, CARRIED[path]) * (1 if one else WAVES) + products + operations * REPLAY_US / 1e3
    return device if captured else max(device, operations * HOST_US / 1e3)


def predicted(stage: str, key: str) -> str:
    """What was expected of a line of results, or nothing."""
    if stage not in {"steps", "population"}:
        return ""
    name, path, *rest = key.split()
    if name not in BINS or path not in CARRIED or "precision" in rest:
        return ""
    return f"{of_step(name, path, 1 if stage == 'steps' else 32, captured='captured' in rest):.1f} ms"


def of_kernel(key: str, loop: str) -> str:
    """What was expected of a kernel alone, for one member."""
    name, members, products = key.split()
    kind, _, way = loop.rpartition(" ")
    kind = f"closed {200 if name == 'S2' else 100}" if kind == "closed loop" else kind
    if members != "x1" or kind not in US_A_BIN[products]:
        return ""
    return f"{US_A_BIN[products][kind][0 if way == 'forward' else 1]} us a bin"
