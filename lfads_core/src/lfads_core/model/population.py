"""Several models of one shape as one: their weights, stacked along a first axis M, share every product of encoders and decoder.

Read-ins, priors, read-outs and reconstructions stay each model's own; encoders and generators that know no axis M are vectorised
(:mod:`lfads_core.model.members`). So nothing that a plugin offers need ever see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lfads_core.components.batch import Batch
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import DropoutMasks, Noise, StandardNoise
from lfads_core.model.outputs import Latents, ModelOutput, Posterior
from lfads_core.model.rows import joined

SHARED = ("encoder.", "input_encoder.", "decoder.", "latents.")
"""Beginnings of the names of the weights that are stacked."""


def forward_population(models: Sequence[LFADS], batches: Sequence[Mapping[str, Batch]], noises: Sequence[Noise]) -> list[ModelOutput]:
    """What each model makes of its own batches and noise, as if each were called alone; equal to rounding.

    The models must be of one shape. Rates of dropout, and whether posteriors are
    sampled, may differ; so may numbers of trials, where the smaller are filled up with zeros.
    """
    if len(models) == 1 or any(model.decoder.feedback == "rates" for model in models):  # rates are read out by each alone, within the loop
        return [model(given, noise) for model, given, noise in zip(models, batches, noises, strict=True)]
    read = [model.gather(given) for model, given in zip(models, batches, strict=True)]
    trials = [x.shape[0] for x, _ in read]
    x, external = _stacked([x for x, _ in read]), _stacked([external for _, external in read])
    latents = latents_of_all(models, _weights(models), x, external, noises)
    return [model.read_out_all(given, own) for model, given, own in zip(models, batches, _unstacked(latents, trials), strict=True)]


def latents_of_all(models: Sequence[LFADS], weights: Mapping[str, Tensor], x: Tensor, external: Tensor, noises: Sequence[Noise]) -> Latents:
    """Latents (M, B, ...) of trials as they were read in (M, B, Te, D), with weights (M, ...) by name."""
    noise = _stacked_noise([model.standardise(one) for model, one in zip(models, noises, strict=True)])
    own = {f"model.{name}": value for name, value in weights.items() if name.startswith(SHARED)}
    found: Latents = functional_call(_Pass(models[0]), own, (x, external, noise), tie_weights=False)
    return found


class _Pass(nn.Module):
    """Encoders and decoder of one model, to be called with everybody's weights in the place of its own."""

    def __init__(self, model: LFADS) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, external: Tensor, noise: StandardNoise) -> Latents:
        """Trials (M, B, Te, D) and external inputs (M, B, T, E) to latents (M, B, ...)."""
        return self.model.unroll(self.model.encode(x, noise.dropout), external, noise)


def _weights(models: Sequence[LFADS]) -> dict[str, Tensor]:
    """Every member's share of each weight along a first axis; one stack a step, which autograd takes apart again."""
    by_name = [
        {name: value for name, value in (*model.named_parameters(remove_duplicate=False), *model.named_buffers()) if name.startswith(SHARED)}
        for model in models
    ]
    return {name: torch.stack([own[name] for own in by_name]) for name in by_name[0]}


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """Members along a first axis; those with fewer trials are filled up with zeros, which no other trial sees."""
    most = max(part.shape[0] for part in parts)

    def filled(part: Tensor) -> Tensor:
        missing = most - part.shape[0]
        return torch.cat([part, part.new_zeros(missing, *part.shape[1:])]) if missing else part

    return joined([filled(part) for part in parts])


def _stacked_noise(noises: Sequence[StandardNoise]) -> StandardNoise:
    """Noise of all members; one that does not sample adds zeros, one that drops nothing multiplies by ones."""
    masks: dict[str, Any] = {
        f.name: _filled([getattr(noise.dropout, f.name, None) for noise in noises], torch.ones_like) for f in fields(DropoutMasks)
    }
    return StandardNoise(
        ic=_filled([noise.ic for noise in noises], torch.zeros_like),
        inputs=_filled([noise.inputs for noise in noises], torch.zeros_like),
        latents=_filled_each([noise.latents for noise in noises]),
        dropout=None if masks["data"] is None else DropoutMasks(**masks),
    )


def _filled(parts: Sequence[Tensor | None], fill: Callable[[Tensor], Tensor]) -> Tensor | None:
    """Members along a first axis, ``fill`` where one has nothing; None if none has anything."""
    like = next((part for part in parts if part is not None), None)
    return None if like is None else _stacked([fill(like) if part is None else part for part in parts])


def _filled_each(parts: Sequence[Mapping[str, Tensor] | None]) -> dict[str, Tensor] | None:
    """The same of several by name."""
    names = next((tuple(part) for part in parts if part is not None), ())
    found = {name: _filled([None if part is None else part[name] for part in parts], torch.zeros_like) for name in names}
    return {name: value for name, value in found.items() if value is not None} or None


def _unstacked(latents: Latents, trials: Sequence[int]) -> list[Latents]:
    """Each member's latents. Taken apart at once: a slice for each would have autograd fill a full-size gradient for each."""
    most = max(trials)

    def apart(value: Tensor | Posterior | Mapping[str, Posterior] | None) -> list[Any]:
        if value is None:
            return [None] * len(trials)
        if isinstance(value, Mapping):
            columns = {name: apart(part) for name, part in value.items()}
            return [{name: column[i] for name, column in columns.items()} for i in range(len(trials))]
        if isinstance(value, Posterior):
            return [Posterior(mean=mean, std=std) for mean, std in zip(apart(value.mean), apart(value.std), strict=True)]
        return [own if count == most else own[:count] for own, count in zip(value.unbind(0), trials, strict=True)]

    columns = {f.name: apart(getattr(latents, f.name)) for f in fields(Latents)}
    return [Latents(**{name: column[i] for name, column in columns.items()}) for i in range(len(trials))]
