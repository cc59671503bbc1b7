"""The whole loss of one batch, term by term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components import AbstractReconstruction
from lfads_core.components.batch import Batch
from lfads_core.config.fields import known
from lfads_core.config.schema import RampConfig, RegularisationConfig
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput
from lfads_core.objective.terms import Ramps, correlation_in_time, l2_of_kernels, ramp, recurrent_kernels, reduce_reconstruction


@dataclass(frozen=True, kw_only=True, eq=False)
class Losses:
    """``total = loss_scale * (recon + ramps.l2 * l2 + ramps.kl * (kl_ic * ic_kl + kl_inputs * input_kl + input_correlation * correlation))``."""

    total: Float[Tensor, ""]
    recon: Float[Tensor, ""]  # unweighted mean over sessions
    ic_kl: Float[Tensor, ""]  # nats, before its scale
    input_kl: Float[Tensor, ""]  # nats, before its scale
    l2: Float[Tensor, ""]  # scales and penalties included
    ramps: Ramps
    per_session: Mapping[str, Float[Tensor, ""]]  # reconstruction
    per_value: Mapping[str, Float[Tensor, "B T N"]]  # reconstruction, after the augmentations weighed it
    measures: Mapping[str, Tensor]  # what augmentations want logged; unweighted mean over sessions
    correlation: Float[Tensor, ""] | None = None  # of inferred inputs in time, before its scale; None if it costs nothing

    def terms(self) -> dict[str, Tensor]:
        """The parts that can go wrong one by one, for logs and for the NaN guard."""
        priced = {} if self.correlation is None else {"input_correlation": self.correlation}
        return {"recon": self.recon, "ic_kl": self.ic_kl, "input_kl": self.input_kl, **priced, "l2": self.l2, "total": self.total}


@dataclass(frozen=True)
class Objective:
    """Scales and ramps applied to a model's output."""

    config: RegularisationConfig

    def ramps(self, epoch: int) -> Ramps:
        """Weights of the KL and L2 terms in one epoch, counted from 0."""

        def weight(of: RampConfig) -> float:
            return ramp(epoch, of.start_epoch, known(of.increase_epochs, "increase_epochs"))

        return Ramps(kl=weight(self.config.kl_ramp), l2=weight(self.config.l2_ramp))

    def weights(self, epoch: int) -> tuple[float | Float[Tensor, ""], float | Float[Tensor, ""]]:
        """The same, as the KL and the L2 terms are multiplied with them; a captured step has them on the device."""
        ramps = self.ramps(epoch)
        return ramps.kl, ramps.l2

    def __call__(self, model: LFADS, batches: Mapping[str, Batch], output: ModelOutput, noise: Noise, stack: AugmentationStack, epoch: int) -> Losses:
        """Price one pass. ``batches`` are the augmented ones the model saw; ``epoch`` counts from 0."""
        scales = self.config
        per_value, per_session = {}, {}
        measured: dict[str, list[Tensor]] = {}
        for name, batch in batches.items():
            loss = model.reconstructions[name].nll(output.params[name], batch.recon)
            for what, number in stack.measure(loss, batch).items():
                measured.setdefault(what, []).append(number)
            per_value[name] = stack.weigh(loss, batch)
            per_session[name] = reduce_reconstruction(per_value[name], scales.reduce)
        recon = torch.stack(list(per_session.values())).mean()
        ic_kl, input_kl = kl_terms(model, output, noise)
        l2 = l2_of_kernels(recurrent_kernels(model, scales)) + sum(penalties(model))
        kl_weight, l2_weight = self.weights(epoch)
        kl = known(scales.kl_ic, "regularisation.kl_ic") * ic_kl + known(scales.kl_inputs, "regularisation.kl_inputs") * input_kl
        inferred = output.latents.inputs
        correlation = correlation_in_time(inferred.mean) if scales.input_correlation > 0 and inferred is not None else None
        if correlation is not None:
            kl = kl + scales.input_correlation * correlation
        total = scales.loss_scale * (recon + l2_weight * l2 + kl_weight * kl)
        return Losses(
            total=total,
            recon=recon,
            ic_kl=ic_kl,
            input_kl=input_kl,
            l2=l2,
            ramps=self.ramps(epoch),
            per_session=per_session,
            per_value=per_value,
            measures={what: torch.stack(numbers).mean() for what, numbers in measured.items()},
            correlation=correlation,
        )


def penalties(model: LFADS) -> list[Float[Tensor, ""]]:
    """Prices that reconstructions put on their parameters. Those that put none are not asked: their zero would come from the host."""
    return [part.penalty() for part in model.reconstructions.values() if type(part).penalty is not AbstractReconstruction.penalty]


def kl_terms(model: LFADS, output: ModelOutput, noise: Noise) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean over all trials of the divergence from the priors: initial condition, inferred inputs (0 without a controller)."""
    latents = output.latents
    ic_kl = model.ic_prior.kl(latents.ic.mean, latents.ic.std, noise.ic_kl or {}).mean()
    if model.input_prior is None or latents.inputs is None:
        return ic_kl, torch.zeros_like(ic_kl)
    return ic_kl, model.input_prior.kl(latents.inputs.mean, latents.inputs.std, noise.inputs_kl or {}).mean()
