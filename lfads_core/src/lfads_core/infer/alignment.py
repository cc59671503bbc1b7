"""How far a session's latents are from those of the sessions that a model was trained on, and whether that is far."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack, augmented
from lfads_core.components import AbstractAlignment, Latents
from lfads_core.config.schema import RunConfig
from lfads_core.data.loader import TrialSource, epoch_batches
from lfads_core.data.session import Session
from lfads_core.errors import PluginError
from lfads_core.model.built import keeping_parameters
from lfads_core.model.lfads import LFADS
from lfads_core.model.rows import joined_records, mapped
from lfads_core.origin import blaming, origin_of
from lfads_core.rng import stream
from lfads_core.train.data import trial_source
from lfads_core.wording import listed

MOST_TRIALS = 2048
"""Trials of one recording, or of several together, whose latents are compared."""

HALVES = 8
"""Random pairs of trials of the old sessions whose distance says what is near."""


def alignments_of(model: LFADS) -> dict[str, AbstractAlignment]:
    """Each aligned session's alignment."""
    return {name: part for name, of in model.losses.items() for part in of.values() if isinstance(part, AbstractAlignment)}


@torch.no_grad()
def sampled_latents(model: LFADS, config: RunConfig, stack: AugmentationStack, sessions: Sequence[Session]) -> Latents:
    """Latents of the sessions' training trials as a training samples them, but without dropout; of many trials, some."""
    sources: Mapping[str, TrialSource] = {session.name: trial_source(session, "train", model.device) for session in sessions}
    rng = stream(config.train.seed, "alignment", *sources, device=model.device)
    parts: list[Latents] = []
    trials = 0
    for raw in epoch_batches(sources, config.infer.batch_size, stream(config.train.seed, "alignment order", *sources)):
        batches = augmented(raw, stack, model.config.encoder.ic_bins, rng)
        x, external = model.gather(batches)
        parts.append(model.infer(x, external, model.draw_noise(len(x), rng, sample=model.config.variational, dropout=False)))
        trials += len(x)
        if trials >= MOST_TRIALS:
            break
    return joined_records(parts, lambda column: torch.cat(list(column)))


def distance(part: AbstractAlignment, latents: Latents) -> float:
    """A session's distance from what its alignment met.

    Raises:
        PluginError: it gives no number, or one below 0.
    """
    with blaming(part, " in distance"), torch.no_grad():
        found = part.distance(latents)
    if not isinstance(found, Tensor) or found.shape != () or not found.isfinite():
        raise PluginError(f"{origin_of(part)}: distance must give a tensor of one finite number, got {found!r}.")
    if found < -1e-5:
        raise PluginError(f"{origin_of(part)}: distance must be 0 or more, the smaller the more alike, got {float(found):.4g}.")
    return float(found)


def distances(model: LFADS, config: RunConfig, stack: AugmentationStack, sessions: Sequence[Session]) -> dict[str, float]:
    """The distance of each of these sessions that is aligned, by name.

    Raises:
        PluginError: an alignment gives no number, or one below 0.
    """
    parts = alignments_of(model)
    return {s.name: distance(parts[s.name], sampled_latents(model, config, stack, [s])) for s in sessions if s.name in parts}


def meet(part: AbstractAlignment, latents: Latents) -> None:
    """Have an alignment know the latents of the old sessions.

    Raises:
        PluginError: it keeps them where no checkpoint does.
    """
    before = set(vars(part))
    with blaming(part, " in meet"), torch.no_grad(), keeping_parameters(part, "meet"):
        part.meet(latents)
    if new := sorted(set(vars(part)) - before):
        raise PluginError(f"{origin_of(part)}: meet must keep what it knows in buffers that build makes, as checkpoints do, but made {listed(new)}.")


def distance_within(part: AbstractAlignment, latents: Latents, trials: int, seed: int) -> float:
    """The distance of trials of the old sessions from their other trials: of as many as there are new ones, or half. A mean over random choices."""
    count, rng = len(latents.factors), stream(seed, "alignment halves")
    some = min(trials, count // 2)
    found = []
    for _ in range(HALVES):
        order = torch.randperm(count, generator=rng).to(latents.factors.device)
        here, rest = order[:some], order[some:]
        judge = copy.deepcopy(part)
        meet(judge, _of(latents, rest))
        found.append(distance(judge, _of(latents, here)))
    return sum(found) / len(found)


def _of(latents: Latents, trials: Tensor) -> Latents:
    some: Latents = mapped(latents, lambda x: x[trials])
    return some
