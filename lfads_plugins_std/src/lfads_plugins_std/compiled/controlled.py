"""Controller and generator in closed loop in C; see the reference for the mathematics and ``source/controlled.h`` for the loops."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lfads_core.recurrence import fused_controlled
from lfads_core.recurrence.weights import DecoderDrive, DecoderPath, DecoderStart, DecoderWeights
from lfads_plugins_std.compiled.library import Library, covers, load
from lfads_plugins_std.compiled.records import LoopJob, grouped, pointer, readable, view

VIEWS = ("c0", "g0", "f0", "ci_at", "external_at", "noise", "con_mask", "state_mask")
WEIGHTS = ("con_input", "con_recurrent", "con_bias", "posterior", "posterior_bias", "gen_input", "gen_recurrent", "gen_bias", "readout")
PATHS = ("states", "path", "con_states", "mean", "std", "drawn")
WITHOUT_GRADIENT = ("con_mask", "state_mask")
GRADIENTS = tuple(f"d_{name.removesuffix('_at')}" for name in (*VIEWS, *WEIGHTS) if name not in WITHOUT_GRADIENT)


def controlled(start: DecoderStart, drive: DecoderDrive, weights: DecoderWeights, *, clip: float, library: Library | None = None) -> DecoderPath:
    """Run controller and generator in closed loop with a library (None: that of this machine); see the reference for the mathematics."""
    con, gen = weights.controller, weights.generator
    reads = (start.controller, start.generator, start.factors, drive.ci, drive.external, drive.noise, drive.con_mask, drive.state_mask)
    learned = (
        *(con.input, con.recurrent, con.bias, weights.posterior, weights.posterior_bias),
        *(gen.input, gen.recurrent, gen.bias, weights.factors),
    )
    if not covers(*reads, *learned) or any(mask is not None and mask.requires_grad for mask in reads[6:]):
        return fused_controlled.controlled(start, drive, weights, clip=clip)
    library = library or load()
    members = con.input.shape[:-2]
    count = members[0] if members else 1
    arguments = (
        *(grouped(value, count, 1) for value in reads[:3]),
        *(None if value is None else grouped(value, count, 2) for value in reads[3:]),
        *(value if members else value.unsqueeze(0) for value in learned),
    )
    if torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in (*reads, *learned)):
        out = CompiledLoop.apply(library, clip, *arguments)  # type: ignore[no-untyped-call]
    else:
        out, _ = run_forward(library, clip, arguments, keep=False)
    shape = drive.ci.shape[:-1]
    states, factors, con_states, means, stds, drawn = (value.view(*shape, value.shape[-1]) for value in out)
    return DecoderPath(states=states, factors=factors, con_states=con_states, input_mean=means, input_std=stds, inputs=drawn)


def job_of(clip: float, reads: list[Tensor | None], learned: list[Tensor], paths: list[Tensor], gates: list[Tensor] | None) -> LoopJob:
    """The record of a call, without gradients; it does not keep its tensors alive."""
    c0, g0, f0, ci, external, *_ = reads
    if c0 is None or g0 is None or f0 is None or ci is None or external is None:
        raise TypeError("only noise and masks may be absent")
    job = LoopJob(
        members=ci.shape[0], trials=ci.shape[1], bins=ci.shape[2], threads=torch.get_num_threads(), clip=clip,
        ci=ci.shape[-1], external=external.shape[-1], inputs=learned[3].shape[-2] // 2, con=c0.shape[-1], gen=g0.shape[-1], factors=f0.shape[-1],
    )  # fmt: skip
    for name, value in zip((*VIEWS, *PATHS), (*reads, *paths), strict=True):
        setattr(job, name, view(value))
    for name, value in zip(WEIGHTS, learned, strict=True):
        setattr(job, name, pointer(value))
    if gates is not None:
        job.con_gates, job.gen_gates = map(pointer, gates)
    return job


def run_forward(library: Library, clip: float, arguments: tuple[Tensor | None, ...], *, keep: bool) -> tuple[list[Tensor], list[Tensor] | None]:
    """Paths of all bins and, if they are to be kept, the gates of controller and generator."""
    reads, learned = laid_out(arguments)
    ci, inputs = arguments[3], learned[3].shape[-2] // 2
    if ci is None:
        raise TypeError("only noise and masks may be absent")
    con, factors, gen = learned[1].shape[-1], *learned[8].shape[-2:]
    paths = [ci.new_empty(*ci.shape[:-1], width) for width in (gen, factors, con, inputs, inputs, inputs)]
    gates = [ci.new_empty(ci.shape[:-1].numel() * 3 * library.padded(width, ci.dtype)) for width in (con, gen)] if keep else None
    library.call("loop_forward", ci.dtype, job_of(clip, reads, learned, paths, gates))
    return paths, gates


def laid_out(arguments: tuple[Tensor | None, ...]) -> tuple[list[Tensor | None], list[Tensor]]:
    """Arguments as the C code can read them."""
    reads = [None if value is None else readable(value) for value in arguments[: len(VIEWS)]]
    return reads, [value.contiguous() for value in arguments[len(VIEWS) :] if value is not None]


class CompiledLoop(torch.autograd.Function):
    """Tensors with members and trials as first axes in, six paths out; every argument but the clip and the masks can be differentiated."""

    @staticmethod
    def forward(ctx: Any, library: Library, clip: float, *arguments: Tensor | None) -> tuple[Tensor, ...]:
        """One call."""
        paths, gates = run_forward(library, clip, arguments, keep=True)
        ctx.save_for_backward(*arguments, *paths, *(gates or ()))
        ctx.library, ctx.clip = library, clip
        ctx.set_materialize_grads(False)
        return tuple(paths)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        """One call."""
        count = len(VIEWS) + len(WEIGHTS)
        saved = ctx.saved_tensors
        arguments, paths, gates = saved[:count], list(saved[count:-2]), list(saved[-2:])
        reads, learned = laid_out(arguments)
        job = job_of(ctx.clip, reads, learned, paths, gates)
        upstream = [None if value is None else readable(value) for value in given]
        for name, value in zip(PATHS, upstream, strict=True):
            setattr(job, f"d_{name}", view(value))
        grads: list[Tensor | None] = []
        for name, value, needed in zip((*VIEWS, *WEIGHTS), arguments, ctx.needs_input_grad[2:], strict=True):
            wanted = needed and value is not None and name not in WITHOUT_GRADIENT
            grads.append(torch.empty_like(value, memory_format=torch.contiguous_format) if wanted else None)
            if name not in WITHOUT_GRADIENT:
                setattr(job, f"d_{name.removesuffix('_at')}", pointer(grads[-1]))
        ctx.library.call("loop_backward", paths[0].dtype, job)
        return None, None, *grads
