"""Time several ways of doing the same in turn, so that a busy moment of the machine meets all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def wait_for(device: str) -> None:
    """Return when the device has done all its work."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int, device: str, *, warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of each way in each round."""
    for way in ways.values():
        for _ in range(warm_up):
            way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            wait_for(device)
            began = time.perf_counter()
            way()
            wait_for(device)
            times[name].append(time.perf_counter() - began)
    return times


def summary(times: list[float]) -> dict[str, float]:
    """Median and fastest, in seconds."""
    return {"median_s": round(statistics.median(times), 5), "fastest_s": round(min(times), 5)}
