"""The Triton kernels against the reference in float64: interpreted on the CPU, or on a GPU where there is one."""
# ruff: noqa: E501, PLR0917 - tables, and arguments that pytest fills

from __future__ import annotations

import logging
from dataclasses import dataclass, fields

import pytest
import torch

from lfads_core.recurrence import reference, triton_controlled, triton_gru
from lfads_core.recurrence.triton_launch import LAUNCHES, Launches, available, obstacle
from lfads_core.recurrence.triton_tiles import Tiles
from lfads_core.recurrence.weights import DecoderDrive, DecoderStart, DecoderWeights, GRUWeights

pytest.importorskip("triton")
NO_GPU = not torch.cuda.is_available()
SMALL = {
    "ieee": Tiles(rows=2, widest=16, depth=2, warps=1, stages=1),  # several tiles and programs even for odd little sizes
    "tf32": Tiles(rows=16, widest=16, depth=32, warps=4, stages=2),
    "bf16": Tiles(rows=16, widest=16, depth=32, warps=4, stages=2),
}


@pytest.fixture(params=["cpu" if NO_GPU else pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request, monkeypatch):
    """Small tiles, and scratch memory full of NaN, so that what is read before it is written shows."""

    def poisoned(self, *sizes, **options):
        shape = sizes[0] if sizes and not isinstance(sizes[0], int) else sizes
        return torch.full(shape, float("nan"), **{"dtype": self.dtype, "device": self.device} | options)

    for module in (triton_gru, triton_controlled):
        monkeypatch.setattr(module, "choose_tiles", lambda products, **_: SMALL[products])
    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned)
    return request.param


@dataclass
class Driven:
    """What a GRU reads."""

    x: torch.Tensor
    h0: torch.Tensor


def normal(rng, *shape, scale=1.0):
    return (scale * torch.randn(*shape, generator=rng, dtype=torch.float64)).requires_grad_()


def gru_weights(rng, inputs, hidden, members=()):
    scale = (inputs + hidden) ** -0.5
    sizes = (3 * hidden, inputs), (3 * hidden, hidden), (3 * hidden,)
    one, two, three = (normal(rng, *members, *size, scale=scale) for size in sizes)
    return GRUWeights(input=one, recurrent=two, bias=three)


def moved(record, change):
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return type(record)(**{
        name: moved(value, change) if isinstance(value, GRUWeights) else value if value is None else change(value) for name, value in values.items()
    })  # fmt: skip


def leaves(*records):
    for record in records:
        for field in fields(record):
            value = getattr(record, field.name)
            if isinstance(value, GRUWeights):
                yield from leaves(value)
            elif value is not None and value.requires_grad:
                yield value


def outcome(run, *records):
    """Outputs, then the gradients of a number that every entry of them moves differently."""
    out = run(*records)
    out = [out] if isinstance(out, torch.Tensor) else [getattr(out, field.name) for field in fields(out)]
    total = sum((value * torch.linspace(-1, 1, value.numel(), dtype=value.dtype, device=value.device).view(value.shape)).sum() for value in out)
    inputs = list(leaves(*records))
    grads = torch.autograd.grad(total, inputs, allow_unused=True)
    return [*out, *(torch.zeros_like(value) if grad is None else grad for value, grad in zip(inputs, grads, strict=True))]


def furthest(run, wanted, records, device, dtype):
    ours = [moved(record, lambda v: v.detach().to(device, dtype).requires_grad_(v.requires_grad)) for record in records]
    pairs = zip(outcome(run, *ours), outcome(wanted, *records), strict=True)
    return max(float((a.detach().cpu().double() - b.detach()).abs().max() / max(1.0, float(b.detach().abs().max()))) for a, b in pairs if b.numel())


def loop_arguments(rng, members=(), *, external=0, noise=True, masks=True):
    B, T, C, U, H, G, F = 3, 2, 2, 2, 5, 19, 3

    def mask(width):
        return (torch.rand(*members, B, T, width, generator=rng, dtype=torch.float64) > 0.3) / 0.7 if masks else None

    start = DecoderStart(generator=normal(rng, *members, B, G), factors=normal(rng, *members, B, F), controller=normal(rng, *members, B, H))
    drive = DecoderDrive(
        ci=normal(rng, *members, B, T, 2 * C), external=normal(rng, *members, B, T, external), noise=normal(rng, *members, B, T, U) if noise else None,
        con_mask=mask(2 * C + F), state_mask=mask(G),
    )  # fmt: skip
    weights = DecoderWeights(
        controller=gru_weights(rng, 2 * C + F, H, members), posterior=normal(rng, *members, 2 * U, H, scale=0.4),
        posterior_bias=normal(rng, *members, 2 * U, scale=0.4), generator=gru_weights(rng, U + external, G, members), factors=normal(rng, *members, F, G, scale=0.3),
    )  # fmt: skip
    return start, drive, weights


GRUS = [((), 3, 0, 7, False, 5.0), ((2,), 3, 2, 19, True, 0.4), ((), 1, 1, 1, True, 5.0)]


@pytest.mark.parametrize(
    ("products", "dtype", "tolerance"),
    [("ieee", torch.float64, 1e-12), ("ieee", torch.float32, 1e-5), ("tf32", torch.float32, 3e-3), ("bf16", torch.float32, 3e-2)],
)
@pytest.mark.parametrize(("members", "trials", "inputs", "hidden", "reverse", "clip"), GRUS)
def test_a_gru_and_all_its_gradients_are_those_of_the_reference(device, members, trials, inputs, hidden, reverse, clip, products, dtype, tolerance):
    rng = torch.Generator().manual_seed(hidden)
    start = Driven(x=normal(rng, *members, trials, 3, inputs), h0=normal(rng, *members, trials, hidden))
    weights = gru_weights(rng, inputs, hidden, members)

    def run(how, **options):
        return lambda s, w: how(s.x, s.h0, w, clip=clip, reverse=reverse, **options)

    assert furthest(run(triton_gru.gru, products=products), run(reference.gru), (start, weights), device, dtype) < tolerance
    assert not LAUNCHES._given_up


@pytest.mark.parametrize(
    ("members", "external", "noise", "masks", "clip"), [((), 0, True, True, 5.0), ((), 2, False, False, 0.4), ((3,), 1, True, False, 0.4)]
)
@pytest.mark.parametrize(("products", "dtype", "tolerance"), [("ieee", torch.float64, 1e-11), ("bf16", torch.float32, 5e-2)])
def test_the_closed_loop_and_all_its_gradients_are_those_of_the_reference(device, members, external, noise, masks, clip, products, dtype, tolerance):
    records = loop_arguments(torch.Generator().manual_seed(external), members, external=external, noise=noise, masks=masks)

    def run(how, **options):
        return lambda *given: how(*given, clip=clip, **options)

    assert furthest(run(triton_controlled.controlled, products=products), run(reference.controlled), records, device, dtype) < tolerance
    assert not LAUNCHES._given_up


def test_not_a_number_stays_in_its_own_trial(device):
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


def test_kernels_whose_numbers_are_not_the_references_are_not_taken_by_themselves(monkeypatch):
    from lfads_core.recurrence import selfcheck, triton_launch

    monkeypatch.setattr(triton_launch, "available", lambda _: None)
    for worst, clause in ((1e-5, None), (0.2, "its numbers differ from the reference's by 2.0e-01 on this GPU, where 1e-04 would be rounding")):
        monkeypatch.setattr(selfcheck, "difference", lambda *_, worst=worst: worst)
        triton_launch._disagreement.cache_clear()
        assert obstacle("cuda", asked=False) == clause
    triton_launch._disagreement.cache_clear()
