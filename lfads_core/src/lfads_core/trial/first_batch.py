"""The trial: one pass of a first batch in which every component is called once and looked at. No number of the run depends on it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components.batch import Batch
from lfads_core.errors import PluginError
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput
from lfads_core.model.population import SHARED, forward_population
from lfads_core.model.rows import tensors_in
from lfads_core.objective.total import Objective
from lfads_core.origin import Provenance, blamed, origin_of
from lfads_core.rng import stream
from lfads_core.trial.calls import ONE_AT_A_TIME, Trial
from lfads_core.trial.loops import run_or_blame_loops, try_loops
from lfads_core.trial.observed import components_of, is_foreign, watched
from lfads_core.trial.shapes import Sizes
from lfads_core.trial.trees import of_trials
from lfads_core.wording import listed

log = logging.getLogger(__name__)

TRIALS = 6
"""Trials of each session that are tried: enough to see them mixed up."""


def try_components(
    model: LFADS, objective: Objective, stacks: Sequence[AugmentationStack], raw: Mapping[str, Batch], seed: int, *, again: bool = False
) -> None:
    """Try every component on some trials of each session, as they come from the recordings; ``again`` says that it has been done before.

    Raises:
        PluginError: one of them does not keep its contract; in one sentence that names it.
    """
    some = {name: _first(batch, model.config.encoder.ic_bins or 0) for name, batch in raw.items()}
    rng, trained = stream(seed, "trial", device=model.device), {id(x) for x in model.parameters()}
    with ONE_AT_A_TIME, watched(components_of(model, stacks), Trial(dict(_known(model, some)), trained, again=again)), torch.enable_grad():
        batches = some
        for stack in reversed(stacks):
            batches = {name: stack.draw_and_augment(batch, rng) for name, batch in some.items()}
        noise = model.draw_pass(batches, rng, sample=True, dropout=False)
        output = run_or_blame_loops(model, batches, noise)
        losses = objective(model, batches, output, noise, stacks[0], 0)
        for name, params in output.params.items():
            reconstruction = model.reconstructions[name]
            reconstruction.mean(params)
            reconstruction.distribution_params(params)
            reconstruction.sample(params.detach(), rng)
            reconstruction.penalty()
        latents = output.latents
        for prior, posterior in ((model.ic_prior, latents.ic), (model.input_prior, latents.inputs)):
            if prior is not None and posterior is not None:
                prior.generate(posterior.mean.detach(), rng)
                prior.log_ratio(posterior.mean, posterior.std, prior.draw(posterior.mean.detach(), rng))
                prior.moments()
                prior.scalars()
        if not again:
            _warn_of_unreached(model, losses.total)
    _try_beside_others(model, batches, noise, output)
    try_loops(model, batches, noise)


def _warn_of_unreached(model: LFADS, total: Tensor) -> None:
    """Say which of a component's parameters no gradient comes to, in whatever place it is used."""
    found: dict[Provenance, dict[str, bool]] = {}
    trained = [(part, name, value) for part in components_of(model, ()) for name, value in part.named_parameters() if value.requires_grad]
    if not trained or not total.requires_grad:
        return
    slopes = torch.autograd.grad(total, [value for _, _, value in trained], retain_graph=True, allow_unused=True)
    for (part, name, _), slope in zip(trained, slopes, strict=True):
        if (origin := origin_of(part)) is not None:
            of = found.setdefault(origin, {})
            of[name] = of.get(name, False) or slope is not None
    for origin, reached in found.items():
        if idle := [name for name, is_reached in reached.items() if not is_reached]:
            log.warning(
                "%s: the loss must depend on all parameters, but not on %s, which nothing trains: detached, or not used.", origin, listed(idle)
            )


def _try_beside_others(model: LFADS, batches: Mapping[str, Batch], noise: Noise, output: ModelOutput) -> None:
    """Components that members of a population share a call of must give each what it gives alone."""
    foreign = [part for name, part in model.named_modules() if name.startswith(SHARED) and is_foreign(part)]
    shared = [origin for part in foreign if (origin := origin_of(part)) is not None]
    if not shared:
        return
    other = copy.deepcopy(model)
    with torch.no_grad():
        for value in other.parameters():
            value.mul_(1.1)
        try:
            together = forward_population([model, other], [batches, batches], [noise, noise])
            apart = [output, other(batches, noise)]
        except (Exception, SystemExit) as err:
            named = blamed(err)
            raise (named or err) from err
    for one, alone in zip(together, apart, strict=True):
        for got, wanted in zip(tensors_in(one.latents), tensors_in(alone.latents), strict=True):
            if got.shape != wanted.shape or not torch.allclose(got, wanted, rtol=1e-3, atol=1e-4, equal_nan=True):
                raise PluginError(
                    f"{' or '.join(map(str, shared))} must give the members of a population, along a first axis, what each gets alone, "
                    f"but gives something else. `lfads plugins check {shared[0].name}` tries all that must hold."
                )


def _first(batch: Batch, ic_bins: int) -> Batch:
    some: Batch = of_trials(batch, batch.trials.shape[0], lambda x: x[:TRIALS])
    return replace(some, ic_bins=ic_bins)


def _known(model: LFADS, batches: Mapping[str, Batch]) -> Iterator[tuple[int, Sizes]]:
    """Widths that the model's sizes fix, by component."""
    for name, batch in batches.items():
        channels, blocks = batch.recon.shape[2], model.reconstructions[name].n_params
        yield id(model.reconstructions[name]), {"N": channels, "P": blocks}
        yield id(model.readouts[name]), {"PN": blocks * channels}
        if name in model.readins:
            yield id(model.readins[name]), {"D": model.readins[name].size}
        for latent in model.latents.values():
            yield id(latent), {"K2": 2 * latent.size, "T": batch.recon.shape[1]}
    for place in (model.encoder, model.input_encoder):
        if place is not None:
            yield id(place.part), {"W": place.part.directions, "C": place.part.size, "K": place.part.features}
