"""Bounds on the log likelihood of each trial, and what they are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack, augmented
from lfads_core.components.batch import Batch
from lfads_core.data.loader import TrialSource, epoch_batches
from lfads_core.errors import ConfigError
from lfads_core.infer.posterior import draw_samples
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.rng import stream


@dataclass(frozen=True, kw_only=True, eq=False)
class Bounds:
    """Numbers per trial, in nats: averages over K posterior samples z, and the importance-weighted bound of all K.

    ::

        elbo = mean_k ln w_k = -(nll + kl_ic + kl_inputs),   iwae = ln (1/K Σ_k w_k),   w_k = p(x | z_k) p(z_k) / q(z_k | x)

    ``elbo ≤ E[iwae] ≤ ln p(x)``, and iwae grows with K (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519). Likelihoods leave
    out the constants that the reconstruction's loss leaves out; values that were not observed count nothing.
    """

    nll: Float[np.ndarray, " B"]  # reconstruction, summed over bins and channels
    kl_ic: Float[np.ndarray, " B"]  # ln q - ln p of the initial condition
    kl_inputs: Float[np.ndarray, " B"]  # of the inferred inputs, summed over bins; 0 without a controller
    elbo: Float[np.ndarray, " B"]
    iwae: Float[np.ndarray, " B"]


def log_weights(model: LFADS, batches: Mapping[str, Batch], draws: Iterable[Noise]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each draw, of all sessions' trials together (B): reconstruction, and ``ln q - ln p`` of initial conditions and of inputs.

    ``ln w`` is minus their sum.

    Raises:
        ConfigError: a prior has no density, or there are further latents.
    """
    if model.latents:
        raise ConfigError(f"components.latents: must be empty for bounds on the likelihood, got {', '.join(model.latents)}. Train without.")
    x, external = model.gather(batches)
    encoded = model.encode(x, None)
    for noise in draws:
        latents = model.decode(encoded, external, noise)
        output = model.read_out_all(batches, latents)
        nll = torch.cat([_cost(model, name, params, batches[name]) for name, params in output.params.items()])
        ic = model.ic_prior.log_ratio(latents.ic.mean, latents.ic.std, noise.ic or {})
        inputs: Tensor | None = torch.zeros_like(nll)
        if model.input_prior is not None and latents.inputs is not None:
            inputs = model.input_prior.log_ratio(latents.inputs.mean, latents.inputs.std, noise.inputs or {})
        yield nll, _known("ic_prior", ic), _known("input_prior", inputs)


def _known(which: str, ratio: Tensor | None) -> Tensor:
    if ratio is None:
        raise ConfigError(f"components.{which}: must have a density for bounds on the likelihood, got a prior without. Train with another one.")
    return ratio


def _cost(model: LFADS, session: str, params: Tensor, batch: Batch) -> Float[Tensor, " B"]:
    seen = ~torch.isnan(batch.recon)
    loss = model.reconstructions[session].nll(params, batch.recon.nan_to_num())
    return torch.where(seen, loss, 0.0).flatten(1).sum(dim=1)


@torch.no_grad()
def bounds_of(model: LFADS, batches: Mapping[str, Batch], draws: Iterable[Noise]) -> Bounds:
    """Bounds of all sessions' trials from any number of draws.

    Raises:
        ConfigError: a prior has no density.
    """
    columns = [torch.stack(column) for column in zip(*log_weights(model, batches, draws), strict=True)]
    nll, ic, inputs = (column.double() for column in columns)
    log_w = -(nll + ic + inputs)
    iwae = torch.logsumexp(log_w, dim=0) - math.log(len(log_w))
    means = {"nll": nll.mean(0), "kl_ic": ic.mean(0), "kl_inputs": inputs.mean(0), "elbo": log_w.mean(0), "iwae": iwae}
    return Bounds(**{name: value.cpu().numpy() for name, value in means.items()})


def bound_split(
    model: LFADS, stack: AugmentationStack, sources: Mapping[str, TrialSource], *, samples: int, batch_size: int, seed: int
) -> dict[str, Bounds]:
    """Bounds of every trial of a split, by session, in the file's order; the samples are those of :func:`infer_batches`.

    Raises:
        ConfigError: a prior has no density.
    """
    parts: dict[str, list[Bounds]] = {name: [] for name in sources}
    for number, raw in enumerate(epoch_batches(sources, batch_size)):
        rng = stream(seed, "infer augmentations", number, device=model.device)
        batches = augmented(raw, stack, model.config.encoder.ic_bins, rng)
        found = bounds_of(model, batches, draw_samples(model, batches, samples, seed))
        ends = list(accumulate(batch.encod.shape[0] for batch in batches.values()))
        for name, first, end in zip(batches, [0, *ends], ends, strict=False):
            parts[name].append(Bounds(**{f.name: getattr(found, f.name)[first:end] for f in fields(Bounds)}))
    return {
        name: Bounds(**{f.name: np.concatenate([getattr(part, f.name) for part in several]) for f in fields(Bounds)})
        for name, several in parts.items()
    }
