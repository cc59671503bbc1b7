"""Controller and generator in closed loop in one launch each way, for CUDA devices; see :mod:`lfads_core.recurrence.triton_gru`."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lfads_core.recurrence import fused_controlled
from lfads_core.recurrence.fused_controlled import parts_of_inputs
from lfads_core.recurrence.precision import in_full
from lfads_core.recurrence.triton_gru import affine, after, before, strides, weight_gradient
from lfads_core.recurrence.triton_launch import LAUNCHES, card_of, on_device_of
from lfads_core.recurrence.triton_tiles import PACKER, Blocks, Products, Tiles, choose_tiles, power_of_two, up_to
from lfads_core.recurrence.weights import DecoderDrive, DecoderPath, DecoderStart, DecoderWeights


def controlled(start: DecoderStart, drive: DecoderDrive, weights: DecoderWeights, *, clip: float, products: Products = "ieee") -> DecoderPath:
    """Run controller and generator in closed loop; ``products`` as for the GRU."""
    members, trials = (1, *start.controller.shape[:-1])[-2:]
    device, dtype = start.controller.device, start.controller.dtype
    products = "ieee" if dtype == torch.float64 else products
    con, gen, factors, inputs = start.controller.shape[-1], start.generator.shape[-1], start.factors.shape[-1], weights.posterior.shape[-2] // 2
    multiplied, card = blocks(con, gen, inputs, factors), card_of(device)
    call = LoopCall(
        con=con,
        gen=gen,
        inputs=inputs,
        factors=factors,
        clip=clip,
        products=products,
        tiles=choose_tiles(products=products, widest_layer=max(con, gen), blocks=multiplied, members=members, trials=trials, card=card),
        given=(drive.con_mask is not None, drive.state_mask is not None, drive.noise is not None),
        learn=torch.is_grad_enabled(),
    )
    if not trials or not drive.ci.shape[-2] or not LAUNCHES.ready(call, device, dtype, functools.partial(call.attempt, start, drive, weights)):
        return fused_controlled.controlled(start, drive, weights, clip=clip)
    given = hoisted(start, drive, weights)
    with in_full(start.generator):
        out = LoopSequence.apply(call, *given)  # type: ignore[no-untyped-call]
    states, factors, con_states, means, stds, drawn = (value.transpose(-2, -3) for value in out)
    return DecoderPath(states=states, factors=factors, con_states=con_states, input_mean=means, input_std=stds, inputs=drawn)


controlled_tf32 = functools.partial(controlled, products="tf32")
controlled_bf16 = functools.partial(controlled, products="bf16")


BLOCKS = 14
"""Blocks of weights that :func:`layout` gives."""


@dataclass(frozen=True, kw_only=True)
class LoopCall:
    """What a launch is compiled for."""

    con: int
    gen: int
    inputs: int
    factors: int
    clip: float
    products: Products
    tiles: Tiles
    given: tuple[bool, bool, bool]  # feedback mask, state mask, noise
    learn: bool

    @property
    def rows(self) -> tuple[int, int]:
        """Widths of [state | input | reset state] of controller and generator, so that rows start at 16 bytes."""
        return up_to(2 * self.con + self.factors, 4), up_to(2 * self.gen + self.inputs, 4)

    def constants(self, stride: int, held: int, *gates: int) -> tuple[Any, ...]:
        """The kernels' last arguments: how far apart members' weights are, and which are held; ``gates`` are forward's tiles of gates."""
        sizes, tiles = (self.con, self.gen, self.inputs, self.factors), self.tiles
        units = tiles.units(self.con), tiles.units(self.gen), *gates, power_of_two(self.inputs), tiles.units(self.factors)
        return stride, held, self.clip, *sizes, *self.rows, tiles.rows, *units, tiles.warps, tiles.depth, self.products

    def attempt(self, start: DecoderStart, drive: DecoderDrive, weights: DecoderWeights) -> None:
        """Compile and launch on one trial of no bins."""
        with torch.no_grad():
            values = hoisted(start, drive, weights)
            bins = (None if value is None else value[..., :0, :1, :] for value in values[:5])
            first = (None if value is None else value[..., :1, :] for value in values[5:8])
            given = LoopTensors(*bins, *first, *values[8:])  # type: ignore[arg-type]
            packed = PACKER(given.weights(), layout, self.products)
            kept = run_forward(self, given, packed)
            if self.learn:
                run_backward(self, given, kept, packed, kept.paths(self), learn_noise=given.noise is not None)


@dataclass(frozen=True)
class LoopTensors:
    """What :func:`hoisted` gives, by name."""

    feedback_mask: Tensor | None
    state_mask: Tensor | None
    noise: Tensor | None
    con_drive: Tensor
    gen_drive: Tensor
    c0: Tensor
    g0: Tensor
    f0: Tensor
    con_feed: Tensor
    con_recurrent: Tensor
    posterior: Tensor
    posterior_bias: Tensor
    gen_feed: Tensor
    gen_recurrent: Tensor
    factors: Tensor

    def weights(self) -> tuple[Tensor, ...]:
        """What :func:`layout` takes."""
        return self.con_feed, self.con_recurrent, self.posterior, self.gen_feed, self.gen_recurrent, self.factors


def layout(
    con_feed: Tensor, con_recurrent: Tensor, posterior: Tensor, gen_feed: Tensor, gen_recurrent: Tensor, factors: Tensor
) -> tuple[Tensor, ...]:
    """Blocks of weights in the order of both kernels' arguments: six forwards, eight backwards."""

    def cell(recurrent: Tensor, feed: Tensor) -> tuple[Tensor, Tensor]:
        of_state, of_input = recurrent.unflatten(0, (3, -1)), feed.unflatten(0, (3, -1))
        return torch.cat([of_state[:2], of_input[:2]], dim=-1), torch.cat([of_input[2:], of_state[2:]], dim=-1)

    def back(feed: Tensor, recurrent: Tensor, readout: Tensor) -> Iterator[Tensor]:
        gates = 2 * recurrent.shape[-1]
        return (part.mT.unsqueeze(0) for part in (recurrent[:gates], recurrent[gates:], feed, readout))

    ahead = *cell(con_recurrent, con_feed), posterior.unflatten(0, (2, -1)), *cell(gen_recurrent, gen_feed), factors.unsqueeze(0)
    return *ahead, *back(con_feed, con_recurrent, posterior), *back(gen_feed, gen_recurrent, factors)


def blocks(con: int, gen: int, inputs: int, factors: int) -> tuple[Blocks, Blocks]:
    """Place, terms and columns of the blocks that can be held, forwards and backwards; forwards the posterior, 2, is read in two halves."""
    ahead = (0, con + factors, 2 * con), (1, con + factors, con), (3, gen + inputs, 2 * gen), (4, gen + inputs, gen), (5, gen, factors)
    of_con = (0, 2 * con, con), (1, con, con), (2, 3 * con, factors), (3, 2 * inputs, con)
    of_gen = (4, 2 * gen, gen), (5, gen, gen), (6, 3 * gen, inputs), (7, factors, gen)
    return ahead, (*of_con, *of_gen)


@dataclass(frozen=True, kw_only=True)
class LoopKept:
    """What the forward kernel writes, by its names."""

    con_rows: Tensor
    con_gates: Tensor
    con_n: Tensor
    moments: Tensor
    gen_rows: Tensor
    gen_gates: Tensor
    gen_n: Tensor
    masked: Tensor | None
    path: Tensor

    def paths(self, call: LoopCall) -> tuple[Tensor, ...]:
        """States, factors, controller states, means, standard deviations and inferred inputs of all bins."""
        means, stds = self.moments.split(call.inputs, dim=-1)
        inputs = before(self.gen_rows)[..., call.gen : call.gen + call.inputs]
        return after(self.gen_rows)[..., : call.gen], self.path, after(self.con_rows)[..., : call.con], means, stds, inputs


def hoisted(start: DecoderStart, drive: DecoderDrive, weights: DecoderWeights) -> tuple[Tensor | None, ...]:
    """All that autograd sees: time before trials, and products with what comes from outside done for all bins."""
    width, con, gen = drive.ci.shape[-1], weights.controller, weights.generator
    ci = drive.ci if drive.con_mask is None else drive.ci * drive.con_mask[..., :width]
    con_outside, con_feed, gen_feed, gen_outside = parts_of_inputs(drive, weights)
    return (
        None if drive.con_mask is None else drive.con_mask[..., width:].transpose(-2, -3).contiguous(),
        None if drive.state_mask is None else drive.state_mask.transpose(-2, -3).contiguous(),
        None if drive.noise is None else drive.noise.transpose(-2, -3).contiguous(),
        affine(ci.transpose(-2, -3), con_outside, con.bias), affine(drive.external.transpose(-2, -3), gen_outside, gen.bias),
        start.controller, start.generator, start.factors,
        con_feed, con.recurrent, weights.posterior, weights.posterior_bias, gen_feed, gen.recurrent, weights.factors,
    )  # fmt: skip


def all_of(record: LoopKept | LoopTensors) -> tuple[Tensor | None, ...]:
    """Every field, in order."""
    return tuple(getattr(record, field.name) for field in fields(record))


def run_forward(call: LoopCall, given: LoopTensors, packed: tuple[Tensor, ...]) -> LoopKept:
    """One launch."""
    from lfads_core.recurrence.triton_controlled_kernels import controlled_forward

    drive, con, gen = given.con_drive, call.con, call.gen
    *first, bins, trials, _ = drive.shape
    each, ends = functools.partial(drive.new_empty, *first, bins, trials), functools.partial(drive.new_empty, *first, bins + 1, trials)
    kept = LoopKept(
        con_rows=ends(call.rows[0]),
        con_gates=each(2 * con),
        con_n=each(con),
        moments=each(2 * call.inputs),
        gen_rows=ends(call.rows[1]),
        gen_gates=each(2 * gen),
        gen_n=each(gen),
        masked=None if given.state_mask is None else each(gen),
        path=each(call.factors),
    )
    c0 = given.c0 if given.c0.stride(-1) == 1 else given.c0.contiguous()
    with on_device_of(drive):
        controlled_forward[call.tiles.grid(math.prod(first), trials)](
            drive.contiguous(), given.gen_drive.contiguous(), c0, given.g0.contiguous(), given.f0.contiguous(), given.feedback_mask, given.state_mask,
            None if given.noise is None else given.noise.contiguous(), given.posterior_bias.contiguous(), *all_of(kept), *packed[:6],
            bins, trials, *strides(c0),
            *call.constants(packed[0].stride(0), call.tiles.held[0], call.tiles.units(2 * con), call.tiles.units(2 * gen)), **call.tiles.options(),
        )  # fmt: skip
    return kept


@dataclass(frozen=True, kw_only=True)
class LoopGradients:
    """What the backward kernel writes: gradients of the gates' sums (and one bin of zeros), of means and log-stds, of the start."""

    con: Tensor
    gen: Tensor
    moments: Tensor
    noise: Tensor | None
    path: Tensor  # of the factors each bin reads, so one bin more than there are
    c0: Tensor
    g0: Tensor


def run_backward(
    call: LoopCall, given: LoopTensors, kept: LoopKept, packed: tuple[Tensor, ...], grads: tuple[Tensor | None, ...], *, learn_noise: bool
) -> LoopGradients:
    """One launch."""
    from lfads_core.recurrence.triton_controlled_kernels import controlled_backward

    con, gen = call.con, call.gen
    new, (*first, bins, trials, _) = kept.path.new_empty, kept.path.shape
    ends = functools.partial(new, *first, bins + 1, trials)
    out = LoopGradients(
        con=ends(3 * con),
        gen=ends(3 * gen),
        moments=torch.empty_like(kept.moments),
        noise=new(*first, bins, trials, call.inputs) if learn_noise else None,
        path=ends(call.factors),
        c0=new(*first, trials, con),
        g0=new(*first, trials, gen),
    )
    d_states, d_factors, *others = (None if grad is None else grad.contiguous() for grad in grads)
    with on_device_of(kept.path):
        controlled_backward[call.tiles.grid(math.prod(first), trials)](
            d_states, d_factors, *others, given.feedback_mask, given.state_mask, None if given.noise is None else given.noise.contiguous(),
            kept.con_rows, kept.con_gates, kept.con_n, kept.moments, kept.gen_rows, kept.gen_gates, kept.gen_n,
            out.con, out.gen, out.moments, out.noise, out.path,
            *(new(like.shape) for like in (out.c0, out.c0, out.g0, out.g0)), out.c0, out.g0, *packed[6:],
            bins, trials, *call.constants(packed[0].stride(0), call.tiles.held[1]), **call.tiles.options(),
        )  # fmt: skip
    return out


def cell_gradients(to_gates: Tensor, rows: Tensor, hidden: int, inputs: int) -> tuple[Tensor, Tensor]:
    """Gradients of a cell's feed and recurrent weights, each gate's product over all bins at once."""
    of_gates = weight_gradient(to_gates[..., : 2 * hidden], before(rows)[..., : hidden + inputs])
    of_n = weight_gradient(to_gates[..., 2 * hidden :], before(rows)[..., hidden : 2 * hidden + inputs])
    feed = torch.cat([of_gates[..., hidden:], of_n[..., :inputs]], dim=-2)
    return feed, torch.cat([of_gates[..., :hidden], of_n[..., inputs:]], dim=-2)


class LoopSequence(torch.autograd.Function):
    """Plain tensors in, six paths (*M, T, B, ·) out; every tensor but the masks can be differentiated."""

    @staticmethod
    def forward(ctx: Any, call: LoopCall, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """One launch."""
        given = LoopTensors(*tensors)  # type: ignore[arg-type]
        packed = PACKER(given.weights(), layout, call.products)
        kept = run_forward(call, given, packed)
        ctx.save_for_backward(*packed, *tensors, *all_of(kept))
        ctx.call = call
        ctx.set_materialize_grads(False)
        return kept.paths(call)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """One launch, then a few products."""
        call, packed, saved = ctx.call, ctx.saved_tensors[:BLOCKS], ctx.saved_tensors[BLOCKS:]
        count = len(fields(LoopTensors))
        given, kept = LoopTensors(*saved[:count]), LoopKept(**dict(zip((f.name for f in fields(LoopKept)), saved[count:], strict=True)))
        out = run_backward(call, given, kept, packed, grads, learn_noise=given.noise is not None and ctx.needs_input_grad[3])
        to_con, to_gen = before(out.con), before(out.gen)
        con_feed, con_recurrent = cell_gradients(to_con, kept.con_rows, call.con, call.factors)
        gen_feed, gen_recurrent = cell_gradients(to_gen, kept.gen_rows, call.gen, call.inputs)
        read = after(kept.gen_rows)[..., : call.gen] if kept.masked is None else kept.masked
        return (
            None, None, None, out.noise, to_con, to_gen, out.c0, out.g0, out.path.select(-3, 0), con_feed, con_recurrent,
            weight_gradient(out.moments, after(kept.con_rows)[..., : call.con]), out.moments.sum(dim=(-3, -2)), gen_feed, gen_recurrent,
            weight_gradient(after(out.path), read),
        )  # fmt: skip
