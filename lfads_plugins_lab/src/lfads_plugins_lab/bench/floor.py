"""The products-only floor: seconds that the matrix products of one training step take, and nothing else."""

from __future__ import annotations

import statistics
import time

import torch

from lfads_plugins_lab.bench.clock import wait_for
from lfads_plugins_lab.bench.shapes import StepShape

TIMES = 9
"""Repetitions of each product, of which the median counts."""


def products_floor(shape: StepShape, device: str) -> float:
    """One forward, and twice that for the backward; products are as large as one bin wherever bins depend on one another."""

    def one(rows: int, inner: int, columns: int) -> float:
        return product(rows, inner, columns, device)

    trials, total = shape.trials, 0.0
    for hidden in (shape.encoder, shape.input_encoder):
        if hidden:
            drive = one(trials * shape.encoded_bins, shape.encoded_channels, 3 * hidden)
            total += 2 * drive + 2 * shape.encoded_bins * one(trials, hidden, 3 * hidden)
    if shape.controller:
        total += one(trials * shape.bins, 2 * shape.input_encoder, 3 * shape.controller)
        a_bin = one(trials, shape.controller + shape.factors, 3 * shape.controller) + one(trials, shape.controller, 2 * shape.inputs)
        total += shape.bins * a_bin
    total += shape.bins * (one(trials, shape.generator + shape.inputs, 3 * shape.generator) + one(trials, shape.generator, shape.factors))
    return 3 * (total + one(trials * shape.bins, shape.factors, shape.channels))


def product(rows: int, inner: int, columns: int, device: str) -> float:
    """Median seconds of one product (rows, inner) (inner, columns)."""
    a, b = torch.randn(rows, inner, device=device), torch.randn(inner, columns, device=device)
    times = []
    for _ in range(TIMES):
        wait_for(device)
        began = time.perf_counter()
        a @ b
        wait_for(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times)
