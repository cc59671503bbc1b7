"""The trial of loops over time that a plugin brings: on a first batch they must give what plain PyTorch gives, and its gradients."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lfads_core.components.batch import Batch
from lfads_core.errors import PluginError
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput
from lfads_core.model.rows import tensors_in
from lfads_core.origin import failure, is_fault
from lfads_core.recurrence.choose import REFERENCE, foreign_origin
from lfads_core.rng import stream
from lfads_core.trial.trees import of_trials

_ROUNDING = 1e-2
"""Relative to the largest value: products in half precision pass, another equation does not."""


def try_loops(model: LFADS, batches: Mapping[str, Batch], noise: Noise) -> None:
    """Compare them with the reference; core's own, which its tests compare, are left out.

    Raises:
        PluginError: they give something else.
    """
    origin, loops = foreign_origin(model.loops.name), model.loops
    if origin is None:
        return
    first = {name: _first_trial(batch) for name, batch in batches.items()}
    with torch.no_grad():
        noise_of_first = model.draw_pass(first, stream(0, "trial", device=model.device), sample=True, dropout=False)
    for when, given, drawn, slopes in (
        ("", batches, noise, True),
        (" without gradients", batches, noise, False),
        (" of one trial", first, noise_of_first, True),
    ):
        with torch.set_grad_enabled(slopes):
            got = _numbers(model, given, drawn)
            try:
                model.loops = REFERENCE
                wanted = _numbers(model, given, drawn)
            finally:
                model.loops = loops
        for name, value in wanted.items():
            if not value.numel() or not bool(torch.isfinite(value).all()):  # of inputs, where there are none, or by weights that are too large
                continue
            size = float(value.abs().max())
            if not torch.allclose(got[name], value, rtol=_ROUNDING, atol=_ROUNDING * size + 1e-6):
                raise PluginError(
                    f"{origin} must give what the loops of plain PyTorch give, but {name}{when} differ by up to "
                    f"{float((got[name] - value).abs().max()):.2g} where the largest is {size:.2g}. Train with --set train.recurrence=auto; "
                    "tell its authors."
                )


def _first_trial(batch: Batch) -> Batch:
    found: Batch = of_trials(batch, batch.trials.shape[0], lambda x: x[:1])
    return found


def run_or_blame_loops(model: LFADS, batches: Mapping[str, Batch], noise: Noise) -> ModelOutput:
    """A pass; what fails in it and does not with the loops of plain PyTorch is the fault of a plugin's loops.

    Raises:
        PluginError: in one sentence that names them.
    """
    origin, loops = foreign_origin(model.loops.name), model.loops
    try:
        output: ModelOutput = model(batches, noise)
    except (Exception, SystemExit) as err:
        if origin is None or not is_fault(err):
            raise
        try:
            model.loops = REFERENCE
            model(batches, noise)
        finally:
            model.loops = loops
        raise failure(origin, "", err) from err
    return output


def _numbers(model: LFADS, batches: Mapping[str, Batch], noise: Noise) -> dict[str, Tensor]:
    """Latents, and gradients of what is trained, by name: of the network itself, and of what lies before its loops if the network stays."""
    latents = model(batches, noise).latents
    found = {f"latents (number {i})": value.detach() for i, value in enumerate(tensors_in(latents))}
    if not latents.factors.requires_grad:  # only what comes after the factors is trained
        return found
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    slopes = torch.autograd.grad(latents.factors.square().sum(), list(trained.values()), materialize_grads=True)
    return {**found, **{f"gradients of {name}": slope for name, slope in zip(trained, slopes, strict=True)}}
