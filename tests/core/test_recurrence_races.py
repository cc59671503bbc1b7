"""Kernels held to their rule in Triton's interpreter: in a phase no location is read and written, or written twice, and programs share nothing."""

# ruff: noqa: PLR0917 - arguments that pytest fills

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

pytest.importorskip("triton")
if torch.cuda.is_available():
    pytest.skip("there is a CUDA device: kernels are compiled here, and cannot be watched", allow_module_level=True)

from triton import language as tl
from triton.runtime import interpreter

from lfads_core.recurrence import triton_controlled, triton_gru
from lfads_core.recurrence.triton_language import jit
from lfads_core.recurrence.triton_launch import LAUNCHES
from loop_problems import WATCHED, Driven, gru_weights, loop_arguments, moved, normal, outcome, small_tiles

BUILDER = interpreter.InterpreterBuilder


class Watch:
    """Keeps the addresses that each phase of each program reads and writes."""

    def __init__(self):
        self.found, self.phases, self.launches = Counter(), 0, 0
        self.reads, self.writes, self.of_program, self.programs = [], [], ([], []), []

    def store(self, at):
        if len(np.unique(at)) != len(at):
            self.found["one store writes a location twice"] += 1
        self.writes.append(at)

    def end_phase(self):
        read, wrote = np.unique(together(self.reads)), together(self.writes)
        once = np.unique(wrote)
        self.found["written twice in a phase"] += len(wrote) - len(once)
        self.found["read and written in a phase"] += len(np.intersect1d(read, once, assume_unique=True))
        self.of_program[0].append(read)
        self.of_program[1].append(once)
        self.reads, self.writes = [], []
        self.phases += 1

    def end_program(self):
        if self.reads or self.writes or self.of_program[1]:
            self.end_phase()
            self.programs.append(tuple(np.unique(together(part)) for part in self.of_program))
            self.of_program = ([], [])

    def end_launch(self):
        self.end_program()
        for i, (_, wrote) in enumerate(self.programs):
            for j, (read, other) in enumerate(self.programs):
                if i != j:
                    self.found["a program reads what another writes"] += len(np.intersect1d(wrote, read))
                    self.found["two programs write a location"] += len(np.intersect1d(wrote, other))
        self.programs = []
        self.launches += 1


def together(parts):
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def addresses(pointers, mask):
    there = np.broadcast_to(mask.data, pointers.data.shape).astype(bool)
    return pointers.data[there].ravel().astype(np.uint64)


@pytest.fixture
def watch(monkeypatch):
    """Every load, store, barrier, program and launch is seen."""
    watch = Watch()
    load, store, place, launch = BUILDER.create_masked_load, BUILDER.create_masked_store, BUILDER.set_grid_idx, interpreter.GridExecutor.__call__

    def seen_load(self, pointers, mask, *rest, **more):
        watch.reads.append(addresses(pointers, mask))
        return load(self, pointers, mask, *rest, **more)

    def seen_store(self, pointers, value, mask, *rest, **more):
        watch.store(addresses(pointers, mask))
        return store(self, pointers, value, mask, *rest, **more)

    def seen_place(self, *index):
        watch.end_program()
        return place(self, *index)

    def seen_launch(self, *given, **more):
        out = launch(self, *given, **more)
        watch.end_launch()
        return out

    monkeypatch.setattr(BUILDER, "create_masked_load", seen_load)
    monkeypatch.setattr(BUILDER, "create_masked_store", seen_store)
    monkeypatch.setattr(BUILDER, "create_barrier", lambda _: watch.end_phase())
    monkeypatch.setattr(BUILDER, "set_grid_idx", seen_place)
    monkeypatch.setattr(interpreter.GridExecutor, "__call__", seen_launch)
    return watch


def in_type(records, dtype):
    return [moved(record, lambda v: v.detach().to(dtype).requires_grad_(v.requires_grad)) for record in records]


@pytest.mark.long
@pytest.mark.parametrize(("products", "dtype", "tiles"), WATCHED)
@pytest.mark.parametrize(("members", "trials", "hidden", "reverse"), [((), 3, 7, False), ((2,), 3, 19, True)])
def test_a_grus_kernels_have_no_race(watch, members, trials, hidden, reverse, products, dtype, tiles, monkeypatch):
    small_tiles(monkeypatch, tiles)
    rng = torch.Generator().manual_seed(hidden)
    start = Driven(x=normal(rng, *members, trials, 3, 2), h0=normal(rng, *members, trials, hidden))
    records = in_type((start, gru_weights(rng, 2, hidden, members)), dtype)
    outcome(lambda s, w: triton_gru.gru(s.x, s.h0, w, clip=0.4, reverse=reverse, products=products), *records)
    assert LAUNCHES.refusal is None
    assert watch.launches >= 2
    assert watch.phases > 4 * 3
    assert +watch.found == Counter()


@pytest.mark.long
@pytest.mark.parametrize(("products", "dtype", "tiles"), WATCHED)
@pytest.mark.parametrize(("members", "external", "noise", "masks"), [((), 0, True, True), ((2,), 1, False, False)])
def test_the_closed_loops_kernels_have_no_race(watch, members, external, noise, masks, products, dtype, tiles, monkeypatch):
    small_tiles(monkeypatch, tiles)
    records = in_type(loop_arguments(torch.Generator().manual_seed(external), members, external=external, noise=noise, masks=masks), dtype)
    outcome(lambda *given: triton_controlled.controlled(*given, clip=0.4, products=products), *records)
    assert LAUNCHES.refusal is None
    assert watch.phases > 12 * 2
    assert +watch.found == Counter()


@jit
def racing(x, y, N: tl.constexpr):
    """Reads its neighbour's place without a barrier after writing its own; both programs write y."""
    at = tl.arange(0, N)
    tl.store(x + at, at.to(tl.float32))
    tl.store(y + at, tl.load(x + (at + 1) % N))


def test_a_kernel_with_races_is_found_out(watch):
    x, y = torch.zeros(8), torch.zeros(8)
    racing[2,](x, y, N=8)
    assert watch.found["read and written in a phase"] == 16
    assert watch.found["two programs write a location"] > 0
