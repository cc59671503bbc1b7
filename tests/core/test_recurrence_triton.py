"""The Triton kernels against the reference in float64: interpreted on the CPU, or on a GPU where there is one."""
# ruff: noqa: E501, PLR0917 - tables, and arguments that pytest fills

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from lfads_core.errors import ConfigError
from lfads_core.recurrence import reference, selfcheck, triton_controlled, triton_gru, triton_launch
from lfads_core.recurrence.choose import REFERENCE, Recurrence
from lfads_core.recurrence.selfcheck import relative
from lfads_core.recurrence.triton_launch import LAUNCHES, Launches, available, obstacle
from lfads_core.recurrence.triton_tiles import H100, SMALLEST, Card, choose_tiles
from loop_problems import WAYS, Driven, gru_weights, loop_arguments, moved, normal, outcome, small_tiles

pytest.importorskip("triton")
from lfads_core.recurrence import triton_controlled_kernels, triton_gru_kernels

NO_GPU = not torch.cuda.is_available()


@pytest.fixture(params=["cpu" if NO_GPU else pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request, monkeypatch):
    """Scratch memory is full of NaN, so that what is read before it is written shows."""

    def poisoned(self, *sizes, **options):
        shape = sizes[0] if sizes and not isinstance(sizes[0], int) else sizes
        return torch.full(shape, float("nan"), **{"dtype": self.dtype, "device": self.device} | options)

    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned)
    return request.param


def furthest(run, wanted, records, device, dtype):
    ours = [moved(record, lambda v: v.detach().to(device, dtype).requires_grad_(v.requires_grad)) for record in records]
    pairs = zip(outcome(run, *ours), outcome(wanted, *records), strict=True)
    return max(relative([a], [b.detach()]) for a, b in pairs if b.numel())


OUT_OF_REACH = 1e3
"""The clip where products are of reduced precision: of a state beside it they would make one that is clipped, or not, whose gradient is all or nothing."""
GRUS = [((), 3, 0, 7, False, 5.0), ((2,), 3, 2, 19, True, 0.4), ((), 1, 1, 1, True, 5.0)]


IN_A_GRU = {("ieee", torch.float64): 1e-12, ("ieee", torch.float32): 1e-5, ("tf32", torch.float32): 3e-3, ("bf16", torch.float32): 3e-2}
IN_CLOSED_LOOP = {("ieee", torch.float64): 1e-11, ("ieee", torch.float32): 1e-5, ("tf32", torch.float32): 5e-3, ("bf16", torch.float32): 5e-2}


@pytest.mark.long
@pytest.mark.parametrize(("products", "dtype", "tiles"), WAYS)
@pytest.mark.parametrize(("members", "trials", "inputs", "hidden", "reverse", "clip"), GRUS)
def test_a_gru_and_all_its_gradients_are_those_of_the_reference(
    device, members, trials, inputs, hidden, reverse, clip, products, dtype, tiles, monkeypatch
):
    small_tiles(monkeypatch, tiles)
    clip = clip if products == "ieee" else OUT_OF_REACH
    rng = torch.Generator().manual_seed(hidden)
    start = Driven(x=normal(rng, *members, trials, 3, inputs), h0=normal(rng, *members, trials, hidden))
    weights = gru_weights(rng, inputs, hidden, members)

    def run(how, **options):
        return lambda s, w: how(s.x, s.h0, w, clip=clip, reverse=reverse, **options)

    assert furthest(run(triton_gru.gru, products=products), run(reference.gru), (start, weights), device, dtype) < IN_A_GRU[products, dtype]
    assert not LAUNCHES._given_up


@pytest.mark.long
@pytest.mark.parametrize(
    ("members", "external", "noise", "masks", "clip"), [((), 0, True, True, 5.0), ((), 2, False, False, 0.4), ((3,), 1, True, False, 0.4)]
)
@pytest.mark.parametrize(("products", "dtype", "tiles"), WAYS)
def test_the_closed_loop_and_all_its_gradients_are_those_of_the_reference(
    device, members, external, noise, masks, clip, products, dtype, tiles, monkeypatch
):
    small_tiles(monkeypatch, tiles)
    clip = clip if products == "ieee" else OUT_OF_REACH
    records = loop_arguments(torch.Generator().manual_seed(external), members, external=external, noise=noise, masks=masks)

    def run(how, **options):
        return lambda *given: how(*given, clip=clip, **options)

    assert (
        furthest(run(triton_controlled.controlled, products=products), run(reference.controlled), records, device, dtype)
        < IN_CLOSED_LOOP[products, dtype]
    )
    assert not LAUNCHES._given_up


def test_not_a_number_stays_in_its_own_trial(device, monkeypatch):
    small_tiles(monkeypatch, "ieee")
    rng = torch.Generator().manual_seed(1)
    x, h0, weights = normal(rng, 3, 3, 2).detach(), normal(rng, 3, 5).detach(), gru_weights(rng, 2, 5)
    x[1, 1] = float("nan")
    states = triton_gru.gru(x.to(device), h0.to(device), moved(weights, lambda v: v.detach().to(device)), clip=5.0).cpu()
    assert states[1, 1:].isnan().all()
    assert not states[[0, 2]].isnan().any()
    assert not states[1, 0].isnan().any()


def test_a_failed_launch_is_one_warning_and_the_end_of_triton_for_the_run(caplog, monkeypatch):
    monkeypatch.setattr("lfads_core.recurrence.triton_launch.available", lambda _: None)
    launches = Launches()

    def attempt():
        raise RuntimeError("Failed to find C compiler")

    cpu = torch.device("cpu")
    with caplog.at_level(logging.WARNING):
        assert not launches.ready("one", cpu, torch.float32, attempt)
        assert not launches.ready("two", cpu, torch.float32, lambda: None)
    assert caplog.messages == ["recurrence: a Triton kernel failed to start (RuntimeError: Failed to find C compiler); fused runs instead"]


def test_it_is_not_chosen_for_a_cpu():
    assert obstacle("cpu", asked=True) == "it computes on CUDA devices alone, not on cpu"
    if NO_GPU:
        assert available("cuda") == "there is no CUDA device"


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU, reason="there is no CUDA device: all kernels above were interpreted, and none was compiled")
def test_it_can_be_chosen_for_a_device():
    assert obstacle("cuda", asked=True) is None


@pytest.fixture
def fresh(monkeypatch):
    """A device that seems to be there, of which nothing is known yet."""
    monkeypatch.setattr(triton_launch, "available", lambda _: None)
    triton_launch._disagreement.cache_clear()
    yield monkeypatch
    triton_launch._disagreement.cache_clear()


def test_before_kernels_are_compiled_for_a_check_the_log_says_so(fresh, caplog):
    fresh.setattr(selfcheck, "difference", lambda *_, **__: 0.0)
    with caplog.at_level(logging.INFO):
        assert obstacle("cuda", asked=False) is None
    assert caplog.messages == ["recurrence: checking Triton's kernels on cuda; the first time they are compiled, which takes up to a minute"]


def test_kernels_whose_numbers_are_not_the_references_are_not_taken_by_themselves(fresh):
    for worst, clause in ((1e-5, None), (0.2, "its numbers differ from the reference's by 2.0e-01 on this GPU, where 1e-04 would be rounding")):
        fresh.setattr(selfcheck, "difference", lambda *_, worst=worst, **__: worst)
        triton_launch._disagreement.cache_clear()
        assert obstacle("cuda", asked=False) == clause


@pytest.mark.parametrize("products", ["ieee", "tf32", "bf16"])
def test_each_arithmetic_is_checked_by_its_own_backend_and_tolerance(fresh, products):
    asked = []
    fresh.setattr(selfcheck, "difference", lambda loops, *_, reduced: asked.append((loops.name, reduced)) or float("inf"))
    most = {"ieee": "1e-04", "tf32": "1e-02", "bf16": "5e-02"}[products]
    look = {"ieee": obstacle, "tf32": triton_launch.obstacle_tf32, "bf16": triton_launch.obstacle_bf16}[products]
    assert look("cuda", asked=True) == f"its numbers differ from the reference's by inf on this GPU, where {most} would be rounding"
    assert asked == [({"ieee": "triton", "tf32": "triton-tf32", "bf16": "triton-bf16"}[products], products != "ieee")]


def test_a_backend_of_nan_does_not_pass(fresh):
    def nothing(x, h0, weights, *, clip, reverse=False):
        return reference.gru(x, h0, weights, clip=clip, reverse=reverse) * float("nan")

    loops = Recurrence.of("strange", nothing, reference.controlled)
    fresh.setattr(selfcheck, "SIZES", selfcheck.SIZES[:1])
    assert selfcheck.difference(loops, torch.float32) == float("inf")
    assert selfcheck.difference(REFERENCE, torch.float32) < 1e-5


@pytest.mark.parametrize(
    "fault", [lambda size: size.hidden > 100, lambda size: size.members, lambda size: size.reverse], ids=["large", "members", "reverse"]
)
def test_faults_that_small_plain_problems_do_not_have_are_found(fault, fresh):
    """The check must reach beyond one tile, members, and a GRU in reverse."""

    def wrong(x, h0, weights, *, clip, reverse=False):
        of = selfcheck.Size(members=h0.shape[:-2], trials=h0.shape[-2], hidden=h0.shape[-1], controller=0, reverse=reverse)
        return reference.gru(x, h0, weights, clip=clip, reverse=reverse) * (1.1 if fault(of) else 1)

    assert selfcheck.difference(Recurrence.of("wrong", wrong, reference.controlled), torch.float32) > 1e-2


def test_the_users_switches_of_tf32_do_not_move_what_is_compared_with(fresh):
    seen = []

    def watched(x, h0, weights, *, clip, reverse=False):
        seen.append((x.dtype, x.device.type))
        return reference.gru(x, h0, weights, clip=clip, reverse=reverse)

    fresh.setattr(selfcheck, "REFERENCE", Recurrence.of("watched", watched, reference.controlled))
    selfcheck.difference(REFERENCE, torch.float32)
    assert set(seen) == {(torch.float64, "cpu")}


def test_products_of_reduced_precision_are_checked_where_no_state_is_at_the_clip(fresh):
    """Beside it their rounding turns gradients on and off, which would say nothing of the kernels; in full precision the clip is checked too."""
    at_the_clip = []

    def watched(x, h0, weights, *, clip, reverse=False):
        states = reference.gru(x, h0, weights, clip=clip, reverse=reverse)
        at_the_clip.append(bool((states.abs() >= clip).any()))
        return states

    loops = Recurrence.of("watched at the clip", watched, reference.controlled)
    fresh.setattr(selfcheck, "SIZES", selfcheck.SIZES[:2])
    selfcheck.difference(loops, torch.float32)
    assert any(at_the_clip)
    at_the_clip.clear()
    selfcheck.difference(loops, torch.float32, reduced=True)
    assert at_the_clip
    assert not any(at_the_clip)


def test_a_check_in_which_no_kernel_starts_is_a_failure_with_its_reason(fresh):
    """Else `auto` would say triton, and run fused."""

    def broken(*_, **__):
        raise RuntimeError("Failed to find C compiler")

    for module in (triton_gru, triton_controlled):
        fresh.setattr(module, "run_forward", broken)
        fresh.setattr(module, "LAUNCHES", launches := Launches())
    fresh.setattr(triton_launch, "LAUNCHES", launches)
    fresh.setattr(triton_gru, "LAUNCHES", launches)
    fresh.setattr(selfcheck, "_cast", lambda value, dtype, _, cast=selfcheck._cast: cast(value, dtype, "cpu"))
    assert obstacle("cuda", asked=False) == "in the check of its numbers a Triton kernel failed to start (RuntimeError: Failed to find C compiler)"


def test_a_kernel_too_large_for_the_device_fails_the_check_too(fresh):
    class OutOfResources(Exception):  # noqa: N818 - Triton's name
        """As Triton raises it."""

    launches, cpu = Launches(), torch.device("cpu")

    def attempt():
        raise OutOfResources("shared memory")

    fresh.setattr(triton_launch, "LAUNCHES", launches)
    fresh.setattr(selfcheck, "difference", lambda *_, **__: float(launches.ready("one", cpu, torch.float32, attempt)))
    assert obstacle("cuda", asked=False) == "in the check of its numbers a Triton kernel failed to start (OutOfResources: shared memory)"
    assert launches.ready("another", cpu, torch.float32, lambda: None)


def test_an_old_triton_and_a_missing_compiler_are_said(monkeypatch):
    uncached = available.__wrapped__
    monkeypatch.setattr(triton_launch, "version_of", lambda _: (3, 2))
    assert uncached("cuda") == "Triton must be 3.4 or later, which comes with torch 2.8, got 3.2"
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 6))
    monkeypatch.setattr(triton_launch.shutil, "which", lambda name: f"/usr/bin/{name}" if name == "gcc" else None)
    assert uncached("cuda") is None
    monkeypatch.setattr(triton_launch.shutil, "which", lambda _: None)
    assert uncached("cuda") == "Triton needs a C compiler to start kernels, and there is none (CC, gcc, clang): install gcc"


@pytest.mark.wrong_types
def test_a_launch_is_on_the_device_of_its_tensors(monkeypatch):
    here = []

    class Guard:
        """As torch.cuda.device."""

        def __init__(self, index):
            self.index = index

        def __enter__(self):
            here.append(self.index)

        def __exit__(self, *_):
            here.pop()

    guards = []
    monkeypatch.setattr(torch.cuda, "device", Guard)
    with triton_launch.on_device_of(SimpleNamespace(device=torch.device("cuda:1"))):
        assert here == [torch.device("cuda:1")]
    with triton_launch.on_device_of(torch.zeros(1)):
        assert here == []
    for module in (triton_gru, triton_controlled):
        monkeypatch.setattr(module, "on_device_of", lambda _: Guard("there"))
    for module, names in (
        (triton_gru_kernels, ("gru_forward", "gru_backward")),
        (triton_controlled_kernels, ("controlled_forward", "controlled_backward")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, Launched(lambda name=name: guards.append((name, *here))))
    monkeypatch.setattr(LAUNCHES, "ready", lambda *_: True)
    rng = torch.Generator().manual_seed(0)
    outcome(lambda s, w: triton_gru.gru(s.x, s.h0, w, clip=5.0), Driven(x=normal(rng, 3, 2, 2), h0=normal(rng, 3, 5)), gru_weights(rng, 2, 5))
    outcome(lambda *given: triton_controlled.controlled(*given, clip=5.0), *loop_arguments(rng))
    assert guards == [(name, "there") for name in ("gru_forward", "gru_backward", "controlled_forward", "controlled_backward")]


class Launched:
    """Stands in for a kernel."""

    def __init__(self, seen):
        self.seen = seen

    def __getitem__(self, grid):
        return lambda *_, **__: self.seen()


A100 = Card(processors=108, shared=163 * 1024)


def tiles_of_a_gru(products, hidden, card, *, members=1, trials=64):
    return choose_tiles(products=products, widest_layer=hidden, blocks=triton_gru.blocks(hidden), members=members, trials=trials, card=card)


@pytest.mark.parametrize("products", ["tf32", "bf16"])
@pytest.mark.parametrize("hidden", [64, 100, 200, 512])
def test_tiles_fit_the_shared_memory_of_small_cards_and_stay_large_on_others(products, hidden):
    for card in (H100, SMALLEST):
        tiles = tiles_of_a_gru(products, hidden, card)
        width = {"tf32": 4, "bf16": 2}[products]
        assert (tiles.stages - 1) * tiles.depth * tiles.units(2 * hidden) * width + 8 * 1024 <= card.shared
    assert tiles_of_a_gru("bf16", 200, H100).widest == 512
    assert tiles_of_a_gru("bf16", 200, SMALLEST).widest == 256


@pytest.mark.parametrize(
    ("products", "hidden", "card", "held"),
    [
        ("bf16", 128, H100, (3, 3)),  # 128 x 256 and 128 x 128 numbers of 2 bytes: 96 KiB of 227
        ("bf16", 128, A100, (3, 3)),
        ("bf16", 129, H100, (0, 0)),  # backwards 256 x 256 of them would fit, 128 KiB of 384: less than half
        ("tf32", 128, H100, (3, 3)),
        ("tf32", 128, A100, (0, 0)),
        ("bf16", 64, SMALLEST, (3, 3)),
        ("bf16", 100, SMALLEST, (0, 0)),
        ("ieee", 64, H100, (0, 0)),
    ],
)
def test_weights_are_held_where_registers_and_shared_memory_allow(products, hidden, card, held):
    assert tiles_of_a_gru(products, hidden, card).held == held


def test_the_closed_loop_holds_its_largest_blocks():
    """S1 in bf16, in KiB: forwards 32, 16, 64, 32 and 16; backwards 16, 8, 32, 2, 64, 32 and 16, and one that is too deep."""
    blocks = triton_controlled.blocks(64, 100, 1, 40)
    for card, held in ((H100, (0b111011, 0b10111111)), (A100, (0b011001, 0b00011111))):
        assert choose_tiles(products="bf16", widest_layer=100, blocks=blocks, members=1, trials=64, card=card).held == held


def test_blocks_have_the_sizes_that_weights_are_laid_out_in():
    con, gen, inputs, factors = 5, 7, 2, 3
    numbers = [torch.zeros(size) for size in ((15, 3), (15, 5), (4, 5), (21, 2), (21, 7), (3, 7))]
    ahead, back = triton_controlled.blocks(con, gen, inputs, factors)
    laid = sizes_of(triton_controlled.layout(*numbers))
    assert [laid[:6][place] for place, _, _ in ahead] == [size for _, *size in ahead]
    assert [laid[6:][place] for place, _, _ in back] == [size for _, *size in back]
    assert [place for place, _, _ in back] == list(range(8))
    laid, (ahead, back) = sizes_of(triton_gru.layout(torch.zeros(15, 5))), triton_gru.blocks(5)
    assert laid == [size for _, *size in (*ahead, *back)]


def sizes_of(blocks):
    return [[block.shape[-1], block.shape[-3] * block.shape[-2]] for block in blocks]


@pytest.mark.parametrize(
    ("products", "hidden", "members", "trials", "processors", "rows"),
    [
        ("bf16", 200, 1, 256, 132, 16),  # 16 programs
        ("bf16", 200, 32, 256, 132, 32),  # 512 programs of 16 trials
        ("bf16", 200, 32, 64, 132, 16),  # 128
        ("bf16", 200, 32, 64, 108, 32),
        ("bf16", 100, 64, 64, 132, 16),  # 256, but none reads a weight twice
        ("ieee", 64, 1, 64, 132, 1),  # 64 programs
        ("ieee", 64, 32, 64, 132, 4),  # 512 programs
        ("ieee", 200, 1, 256, 132, 2),  # 128
        ("ieee", 200, 8, 64, 132, 4),  # 128
        ("ieee", 200, 16, 64, 132, 8),
        ("ieee", 200, 32, 256, 132, 8),
    ],
)
def test_trials_of_a_program_follow_members_trials_and_multiprocessors(products, hidden, members, trials, processors, rows):
    card = Card(processors=processors, shared=H100.shared)
    assert tiles_of_a_gru(products, hidden, card, members=members, trials=trials).rows == rows


def test_a_closed_loop_in_float32_takes_two_trials_where_a_gru_takes_one():
    of_loop, of_gru = triton_controlled.blocks(64, 100, 1, 40), triton_gru.blocks(100)
    given = {"products": "ieee", "widest_layer": 100, "members": 1, "trials": 64, "card": H100}
    assert [choose_tiles(blocks=blocks, **given).rows for blocks in (of_loop, of_gru)] == [2, 1]


@pytest.mark.parametrize(("hidden", "members", "warps"), [(100, 2, 8), (200, 1, 16), (100, 64, 4), (200, 64, 4)])
def test_a_program_with_a_multiprocessor_to_itself_has_more_threads(hidden, members, warps):
    assert tiles_of_a_gru("ieee", hidden, H100, members=members, trials=64).warps == warps


def test_a_device_may_be_a_second_gpu(monkeypatch):
    from lfads_core.train.device import choose_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == "cuda:1"
    with pytest.raises(ConfigError, match=re.escape("train.device: must be a device of this machine (cpu, cuda, cuda:0, cuda:1), got 'cuda:2'.")):
        choose_device("cuda:2")


CAPABILITIES = ("80", "86", "89", "90")


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("products", ["bf16", "tf32", "ieee"])
@pytest.mark.parametrize(("config", "kernels"), [("S1", 6), ("S2", 4), ("S3", 6), ("S4", 4)])
def test_kernels_fit_cards_of_every_capability_by_the_compilers_word(config, kernels, products, root):
    """Shared memory of a program within what a card has, spills within 512 bytes a thread, for one member and 32; compiled without a device."""
    given = [sys.executable, "bench/triton_resources.py", "--config", config, "--products", products, "--members", "1", "32", "--arch", *CAPABILITIES]
    done = subprocess.run(given, cwd=root, env=os.environ | {"TRITON_INTERPRET": "0"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * len(CAPABILITIES) * kernels
    assert all("regs" in line for line in lines)
    assert [line for line in lines if " held 3 " in line and " gru_" in line and "LDGSTS" in line] == []  # what is held passes once, before the loop
