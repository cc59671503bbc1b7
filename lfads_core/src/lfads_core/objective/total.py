"""The whole loss of one batch, term by term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components import AbstractReconstruction
from lfads_core.components.batch import Batch, mean_over_trials
from lfads_core.config.fields import known
from lfads_core.config.losses import AlignmentConfig, LatentConfig, LossConfig
from lfads_core.config.schema import RampConfig, RegularisationConfig, RunConfig
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput
from lfads_core.objective.further import further_terms, latent_divergences
from lfads_core.objective.terms import Ramps, Weights, l2_of_kernels, l2_shares, ramp, recurrent_kernels, reduce_reconstruction


@dataclass(frozen=True, kw_only=True, eq=False)
class Losses:
    """The terms of ``total = loss_scale * (recon + ramps.l2 * l2 + ramps.kl * kl + Σ_loss ramp * scale * term)``.

    ``kl = kl_ic * ic_kl + kl_inputs * input_kl + Σ_latent scale * divergence``.
    """

    total: Float[Tensor, ""]
    recon: Float[Tensor, ""]  # unweighted mean over sessions
    ic_kl: Float[Tensor, ""]  # nats, before its scale
    input_kl: Float[Tensor, ""]  # nats, before its scale
    l2: Float[Tensor, ""]  # scales and penalties included
    ramps: Ramps
    per_session: Mapping[str, Float[Tensor, ""]]  # reconstruction
    per_value: Mapping[str, Float[Tensor, "B T N"]]  # reconstruction, after the augmentations weighed it
    measures: Mapping[str, Tensor]  # what augmentations and losses want logged; unweighted mean over sessions
    further: Mapping[str, Float[Tensor, ""]]  # of plugins, before their scale: "loss/<loss>/<term>", "latent/<latent>/kl" in nats
    vector: Float[Tensor, " K"]  # what ``terms`` names but for the total, as it was added up

    def terms(self) -> dict[str, Tensor]:
        """The parts that can go wrong one by one, for logs and for the NaN guard."""
        return {"recon": self.recon, "ic_kl": self.ic_kl, "input_kl": self.input_kl, **self.further, "l2": self.l2, "total": self.total}


@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """What :meth:`Objective.terms` finds; see :class:`Losses`. Members of a population that are trained as one come as a first axis M."""

    vector: Float[Tensor, "*M K"]
    further: tuple[str, ...]  # names of terms of plugins
    per_session: Mapping[str, Float[Tensor, "*M"]]
    per_value: Mapping[str, Float[Tensor, "*M B T N"]]
    measures: Mapping[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """Scales and ramps applied to a model's output; ``losses`` and ``latents`` are the settings of those of plugins that count."""

    config: RegularisationConfig
    losses: Mapping[str, LossConfig | AlignmentConfig] = field(default_factory=dict)
    latents: Mapping[str, LatentConfig] = field(default_factory=dict)

    @classmethod
    def of(cls, config: RunConfig) -> Objective:
        """That of a run."""
        chosen = config.components
        losses, latents = ({part.name: part.settings for part in parts} for parts in (chosen.losses_of_all_kinds(), chosen.latents))
        return cls(config.regularisation, losses, latents)

    def ramps(self, epoch: int) -> Ramps:
        """Weights of all terms that have a ramp in one epoch, counted from 0."""
        return Ramps(
            kl=_at(self.config.kl_ramp, epoch),
            l2=_at(self.config.l2_ramp, epoch),
            losses={name: _at(loss, epoch) for name, loss in self.losses.items()},
        )

    def weights(self, epoch: int) -> Weights:
        """The same, as terms are multiplied with them."""
        ramps = self.ramps(epoch)
        return Weights(kl=ramps.kl, l2=ramps.l2, losses=ramps.losses)

    def beside(self, epoch: int, further: Sequence[str], like: Float[Tensor, "*M K"]) -> Float[Tensor, " K"]:
        """What the terms are multiplied with, in the order of :meth:`Losses.terms`: on the host, but for a captured step."""
        of, weights = self.config, self.weights(epoch)
        number: Any = float
        if like.dtype == torch.float32 and not isinstance(weights.kl, Tensor):  # rounded where a captured step rounds
            number = np.float32  # and each factor by itself: numpy before 2 makes the product with a float a float
            losses = {name: number(weight) for name, weight in weights.losses.items()}
            weights = Weights(kl=number(weights.kl), l2=number(weights.l2), losses=losses)

        def scale(name: str) -> float | np.float32 | Tensor:
            kind, which, *_ = name.split("/")
            if kind == "loss":
                weight, own = weights.losses[which], known(self.losses[which].scale, f"components: {which}: scale")
            elif which in self.latents:
                weight, own = weights.kl, known(self.latents[which].kl, f"components.latents: {which}: kl")
            else:
                return 0.0
            product: float | np.float32 | Tensor = weight * number(own)
            return product

        kls = known(of.kl_ic, "regularisation.kl_ic"), known(of.kl_inputs, "regularisation.kl_inputs")
        scales = number(1.0), *(weights.kl * number(one) for one in kls), *map(scale, further), weights.l2
        numbers = [one * number(of.loss_scale) for one in scales]
        if not any(isinstance(one, Tensor) for one in numbers):
            return torch.tensor([float(one) for one in numbers], dtype=like.dtype)
        return torch.stack([one if isinstance(one, Tensor) else like.new_full((), float(one)) for one in numbers])

    def __call__(self, model: LFADS, batches: Mapping[str, Batch], output: ModelOutput, noise: Noise, stack: AugmentationStack, epoch: int) -> Losses:
        """Price one pass. ``batches`` are the augmented ones the model saw; ``epoch`` counts from 0."""
        return self.weighted(self.terms(model, batches, output, noise, stack), epoch)

    def weighted(self, terms: Terms, epoch: int) -> Losses:
        """Terms under an epoch's scales and ramps."""
        weights = self.beside(epoch, terms.further, terms.vector).to(terms.vector.device, non_blocking=True)
        return self.priced(terms, torch.dot(terms.vector, weights), epoch)

    def terms(
        self,
        model: LFADS,
        batches: Mapping[str, Batch],
        output: ModelOutput,
        noise: Noise,
        stack: AugmentationStack,
        shares: Sequence[float] | Float[Tensor, " K"] | None = None,
    ) -> Terms:
        """All that costs something, before scales and ramps. Nothing here depends on either, so that members of a population may share it.

        ``shares`` are :func:`~lfads_core.objective.terms.l2_shares` where kernels cannot be asked whether they are trained: under ``torch.vmap``.
        """
        per_value, per_session = {}, {}
        measured: dict[str, list[Tensor]] = {}
        for name, batch in batches.items():
            loss = model.reconstructions[name].nll(output.params[name], batch.recon)
            for what, number in stack.measure(loss, batch).items():
                measured.setdefault(what, []).append(number)
            per_value[name] = stack.weigh(loss, batch)
            per_session[name] = reduce_reconstruction(per_value[name], self.config.reduce, batch.weights)
        kernels = recurrent_kernels(model, self.config)
        l2 = l2_of_kernels([kernel for _, kernel in kernels], l2_shares(kernels) if shares is None else shares)
        for penalty in penalties(model):
            l2 = l2 + penalty
        losses, more = further_terms(model, self.losses, batches, output, noise) if self.losses else ({}, {})
        weights = weights_of_all(batches)
        further = {**latent_divergences(model, output, noise, weights), **losses}
        return Terms(
            vector=torch.stack([mean_of(list(per_session.values())), *kl_terms(model, output, noise, weights), *further.values(), l2]),
            further=tuple(further),
            per_session=per_session,
            per_value=per_value,
            measures={**{what: mean_of(numbers) for what, numbers in measured.items()}, **more},
        )

    def priced(self, terms: Terms, total: Float[Tensor, ""], epoch: int) -> Losses:
        """The terms by name."""
        recon, ic_kl, input_kl, *further, l2 = terms.vector.unbind()
        return Losses(
            total=total,
            recon=recon,
            ic_kl=ic_kl,
            input_kl=input_kl,
            l2=l2,
            ramps=self.ramps(epoch),
            vector=terms.vector,
            further=dict(zip(terms.further, further, strict=True)),
            per_session=terms.per_session,
            per_value=terms.per_value,
            measures=terms.measures,
        )


def _at(config: RampConfig, epoch: int) -> float:
    return ramp(epoch, config.start_epoch, known(config.increase_epochs, "increase_epochs"))


def mean_of(values: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Of one value itself."""
    return torch.stack(list(values)).mean() if len(values) > 1 else values[0]


def penalties(model: LFADS) -> list[Float[Tensor, ""]]:
    """Prices that reconstructions put on their parameters. Those that put none are not asked: their zero would come from the host."""
    return [part.penalty() for part in model.reconstructions.values() if type(part).penalty is not AbstractReconstruction.penalty]


def weights_of_all(batches: Mapping[str, Batch]) -> Float[Tensor, " B"] | None:
    """Weights of all sessions' trials side by side; None if all count."""
    weights = [batch.weights for batch in batches.values() if batch.weights is not None]
    return (torch.cat(weights) if len(weights) > 1 else weights[0]) if weights else None


def kl_terms(
    model: LFADS, output: ModelOutput, noise: Noise, weights: Float[Tensor, " B"] | None = None
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean over all trials of the divergence from the priors: initial condition, inferred inputs (0 without a controller)."""
    latents = output.latents
    ic_kl = mean_over_trials(model.ic_prior.kl(latents.ic.mean, latents.ic.std, noise.ic_kl or {}), weights)
    if model.input_prior is None or latents.inputs is None:
        return ic_kl, torch.zeros_like(ic_kl)
    return ic_kl, mean_over_trials(model.input_prior.kl(latents.inputs.mean, latents.inputs.std, noise.inputs_kl or {}), weights)
