"""Costs of what the encoders did not see, which no model lowers by copying: held-out channels, and values hidden for the purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components.batch import Batch
from lfads_core.config.optional import MaskedConfig
from lfads_core.config.schema import RunConfig
from lfads_core.data.session import Session
from lfads_core.errors import ConfigError
from lfads_core.model.lfads import LFADS
from lfads_core.model.outputs import ModelOutput
from lfads_core.rng import bernoulli, stream

Summed = Mapping[str, Mapping[str, Float[Tensor, " 2"]]]
"""Sum and number of values of each cost and session."""


class UnseenCosts:
    """Means over observed values, gathered batch by batch on the device: first within each session, then, unweighted, over sessions."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], Float[Tensor, " 2"]] = {}  # (cost, session) -> sum and number of values

    def add(self, cost: str, session: str, loss: Float[Tensor, "B T N"], counted: Float[Tensor, "B T N"]) -> None:
        """Take the loss of one batch where ``counted`` is 1."""
        self.take({cost: {session: summed(loss, counted)}})

    def take(self, found: Summed) -> None:
        """Take what was summed over one batch, copied: who gives it may write over it."""
        for cost, of in found.items():
            for session, pair in of.items():
                known = self._sums.get((cost, session))
                self._sums[cost, session] = pair.clone() if known is None else known + pair

    def means(self) -> dict[str, float]:
        """The costs as plain numbers; each session's own, ``<cost>/<session>``, only when there are several."""
        by_cost: dict[str, dict[str, float]] = {}
        for (cost, session), pair in self._sums.items():
            by_cost.setdefault(cost, {})[session] = float(pair[0] / pair[1])
        found = {cost: sum(of.values()) / len(of) for cost, of in by_cost.items()}
        return {**found, **{f"{cost}/{name}": value for cost, of in by_cost.items() if len(of) > 1 for name, value in of.items()}}


def summed(loss: Float[Tensor, "B T N"], counted: Float[Tensor, "B T N"]) -> Float[Tensor, " 2"]:
    """Sum of a loss where ``counted`` is 1, and how many values that are."""
    return torch.stack([torch.where(counted > 0, loss, 0.0).sum(), counted.sum()])


def heldout_costs(model: LFADS, raw: Mapping[str, Batch], batches: Mapping[str, Batch], output: ModelOutput) -> Summed:
    """Price channels that are reconstructed but not encoded, if there are any."""
    found = {}
    for name, batch in batches.items():
        seen = batch.encod.shape[2]
        if batch.nested and batch.recon.shape[2] > seen:
            loss = model.reconstructions[name].nll(output.params[name], batch.recon)
            found[name] = summed(loss[..., seen:], _observed(raw[name])[..., seen:])
    return {"heldout": found}


def masked_costs(model: LFADS, raw: Mapping[str, Batch], hidden: Mapping[str, Batch], output: ModelOutput, kept: Mapping[str, Tensor]) -> Summed:
    """Price what :func:`hide` has hidden."""
    found = {}
    for name, keep in kept.items():
        batch = hidden[name]
        loss = model.reconstructions[name].nll(output.params[name], batch.recon)
        counted = torch.zeros_like(loss)
        counted[:, batch.ic_bins : batch.encod.shape[1], : batch.encod.shape[2]] = 1 - keep
        found[name] = summed(loss, counted * _observed(raw[name]))
    return {"masked": found}


def hide(batches: Mapping[str, Batch], config: MaskedConfig, number: int, step: int) -> tuple[dict[str, Batch], dict[str, Tensor]]:
    """Hide values of the (augmented) batches' input: the batches without them, and the masks of those kept (1) by session.

    ``number`` counts the passes over one batch, ``step`` the batches; what is hidden is the same in every epoch.
    """
    keep = {
        name: bernoulli(1 - config.fraction, _hideable(batch), stream(config.seed, "masked", number, name, step, device=batch.encod.device))
        for name, batch in batches.items()
        if batch.nested
    }
    return {name: _hide(batch, keep[name], config.fraction) if name in keep else batch for name, batch in batches.items()}, keep


def check_judge(config: RunConfig, sessions: Sequence[Session]) -> None:
    """Make sure that these recordings have the cost that the settings judge by.

    Raises:
        ConfigError: they do not.
    """
    judge = config.validation.judge
    if judge == "heldout" and not any(has_heldout(session) for session in sessions):
        raise ConfigError(
            "validation.judge: 'heldout' must have channels that are reconstructed but not encoded, got none. "
            "Hold some out with data.hold_out (--hold-out 0.25), or judge by 'masked'."
        )
    if judge == "masked" and not any(session.splits["valid"].nested for session in sessions):
        raise ConfigError(
            "validation.judge: 'masked' must have input that is reconstructed, got another modality. Judge by 'recon', which is unseen."
        )


def has_heldout(session: Session) -> bool:
    """Whether channels are reconstructed that the encoders do not see."""
    split = session.splits["valid"]
    return split.nested and split.recon.shape[2] > split.encod.shape[2]


def _observed(raw: Batch) -> Float[Tensor, "B T N"]:
    """1 where a value of a trial that counts was observed, before augmentations filled the gaps."""
    seen = (~torch.isnan(raw.recon)).to(raw.recon.dtype)
    return seen if raw.weights is None else seen * raw.weights.view(-1, 1, 1)


def _hideable(batch: Batch) -> Float[Tensor, "B Tm Ne"]:
    """The input values that may be hidden: all but the initial-condition segment."""
    return batch.encod[:, batch.ic_bins :]


def _hide(batch: Batch, keep: Float[Tensor, "B Tm Ne"], rate: float) -> Batch:
    hidden = _hideable(batch) * keep / (1 - rate)
    return replace(batch, encod=torch.cat([batch.encod[:, : batch.ic_bins], hidden], dim=1))
