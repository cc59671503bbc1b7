"""Terms of the losses and latents that plugins offer. A loss prices one session's trials, and the sessions are averaged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import Latents, LossInputs, Posterior
from lfads_core.components.batch import Batch, mean_over_trials
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput

Numbers = dict[str, Tensor]
"""By ``"loss/<loss>/<name>"``."""


def further_terms(model: LFADS, wanted: Iterable[str], batches: Mapping[str, Batch], output: ModelOutput, noise: Noise) -> tuple[Numbers, Numbers]:
    """What the wanted losses price, and what they only measure: unweighted means over the sessions."""
    terms: dict[str, list[Tensor]] = {}
    measures: dict[str, list[Tensor]] = {}
    for session, batch in batches.items():
        latents = of_trials(output.latents, output.rows[session])
        for name in wanted:
            part = model.losses[session][name]
            seen = LossInputs(batch=batch, latents=latents, params=output.params[session], draw=noise.losses.get(session, {}).get(name, {}))
            for kept, found in ((terms, part(seen)), (measures, part.measure(seen))):
                for key, value in found.items():
                    kept.setdefault(f"loss/{name}/{key}", []).append(value)
    averaged = [{name: torch.stack(values).mean() for name, values in kept.items()} for kept in (terms, measures)]
    return averaged[0], averaged[1]


def of_trials(latents: Latents, rows: slice) -> Latents:
    """The latents of some of the trials."""

    def taken(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: taken(part) for name, part in value.items()}
        if isinstance(value, Posterior):
            return Posterior(mean=value.mean[rows], std=value.std[rows])
        return None if value is None else value[rows]

    return Latents(**{field.name: taken(getattr(latents, field.name)) for field in fields(Latents)})


def latent_divergences(model: LFADS, output: ModelOutput, noise: Noise, weights: Float[Tensor, " B"] | None) -> Numbers:
    """Mean over all trials of each latent's divergence from its prior, in nats, by ``"latent/<name>/kl"``."""
    return {
        f"latent/{name}/kl": mean_over_trials(model.latents[name].prior.kl(q.mean, q.std, noise.latents_kl.get(name, {})), weights)
        for name, q in output.latents.further.items()
    }
