"""Mean cost of a split's values at the posterior means: of all of them, of held-out channels, of values hidden for the purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import attrs
import numpy as np
import torch

from lfads_core.config.fields import known
from lfads_core.config.optional import MaskedConfig
from lfads_core.errors import NumericsError
from lfads_core.infer.loading import LoadedRun
from lfads_core.model.build import build_stacks
from lfads_core.model.lfads import LFADS
from lfads_core.model.outputs import ModelOutput
from lfads_core.objective.total import Objective
from lfads_core.train.data import trial_source
from lfads_core.train.evaluate import ValidationPass, Validator
from lfads_core.train.unseen import UnseenCosts
from lfads_plugins_lab.evaluate.constant import constant_parameters
from lfads_plugins_lab.evaluate.kept import PASSES, KeptGain, kept_gain
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_std.metrics.spikes import channel_means


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Nats per observed value, or the unit of another reconstruction; None where there is no such thing."""

    all: float  # every value of the split
    seen: float | None  # those the encoders read
    hidden: float | None  # some of these, hidden from the encoders
    heldout: float | None  # channels that the encoders never read
    null_seen: float | None  # a constant distribution of each channel in place of the model, on the values of ``seen``
    null_heldout: float | None
    null_all: float | None = None
    null_hidden: float | None = None  # the constant distributions, on the values of ``hidden``
    seen_hidden: float | None = None  # the model where it sees them, on the values of ``hidden``
    kept: KeptGain | None = None  # what these three say

    @property
    def gain(self) -> float | None:
        """Nats per value that the model gains over the constants."""
        return None if self.null_all is None else self.null_all - self.all


@torch.no_grad()
def costs_of(loaded: LoadedRun, recorded: Recorded, split: str) -> Costs:
    """One pass over the split as in validation, and several with values hidden as the settings say (by default a fifth of the input).

    Values that are hidden are priced three times: at mean rates, by the model that sees them, and by the model that does not.

    Raises:
        NumericsError: no cost is a number.
    """
    config, model = loaded.config, loaded.model
    hidden = config.validation.hidden or MaskedConfig()
    hidden = attrs.evolve(hidden, passes=max(hidden.passes, PASSES))
    validator = Validator(
        objective=Objective(config.regularisation),
        stack=build_stacks(config, loaded.registry)[1],
        batch_size=known(config.data.batch_size, "data.batch_size"),
        seed=config.train.seed,
        masked=hidden,
    )
    name = recorded.name
    source = {name: trial_source(recorded.session, split, model.device)}
    sums, epoch = UnseenCosts(), config.train.epochs
    means = _null_parameters(loaded, recorded)
    shown: dict[str, torch.Tensor] = {}  # losses of the last batch, as the model sees it
    trials: list[np.ndarray] = []  # (B, 4) of each batch: null, seen, hidden, number of hidden values
    for one in validator.passes(model, source, epoch):
        output = model(one.batches, one.noise)
        if one.kept is not None:
            if name in one.kept:
                trials[-1] += _priced(sums, model, one, output, shown, name)
            continue
        batch, raw = one.batches[name], one.raw[name]
        there = (~torch.isnan(raw.recon)).to(raw.recon.dtype)
        read = torch.zeros_like(there)
        if batch.nested:
            read[:, batch.ic_bins : batch.encod.shape[1], : batch.encod.shape[2]] = 1
        out = torch.zeros_like(there)
        if batch.nested:
            out[:, :, batch.encod.shape[2] :] = 1
        reconstruction = model.reconstructions[name]
        losses = {"": reconstruction.nll(output.params[name], batch.recon)}
        if means is not None:
            losses["null "] = reconstruction.nll(means.expand_as(output.params[name]), batch.recon)
        shown = {"seen": losses[""], **({"null": losses["null "]} if "null " in losses else {})}
        trials.append(np.zeros((there.shape[0], 4)))
        for prefix, loss in losses.items():
            for what, where in {"all": torch.ones_like(there), "seen": read, "heldout": out}.items():
                sums.add(prefix + what, name, loss, there * where)
    found = {key: value for key, value in sums.means().items() if np.isfinite(value)}
    if "all" not in found:
        raise NumericsError(
            f"{loaded.run.path}: what the {split} trials of {name} cost must be finite, got NaN or infinity. The weights of the checkpoint "
            f"'{loaded.checkpoint}' or the recording are damaged: take another checkpoint (--checkpoint), or train again."
        )
    return Costs(
        all=found["all"],
        seen=found.get("seen"),
        hidden=found.get("masked"),
        heldout=found.get("heldout"),
        null_seen=found.get("null seen"),
        null_heldout=found.get("null heldout"),
        null_all=found.get("null all"),
        null_hidden=found.get("masked null"),
        seen_hidden=found.get("masked seen"),
        kept=kept_gain(*np.concatenate(trials).T) if means is not None else None,
    )


def _priced(sums: UnseenCosts, model: LFADS, one: ValidationPass, output: ModelOutput, shown: Mapping[str, torch.Tensor], name: str) -> np.ndarray:
    """Price the values that a pass hides, by trial: at mean rates, seen, hidden; and how many there are."""
    batch, keep = one.batches[name], (one.kept or {})[name]
    hidden = model.reconstructions[name].nll(output.params[name], batch.recon)
    counted = torch.zeros_like(hidden)
    counted[:, batch.ic_bins : batch.encod.shape[1], : batch.encod.shape[2]] = 1 - keep
    counted = counted * ~torch.isnan(one.raw[name].recon)
    found = [counted.sum(dim=(1, 2))]
    for what, loss in (("masked", hidden), ("masked seen", shown["seen"]), ("masked null", shown.get("null"))):
        if loss is not None:
            sums.add(what, name, loss, counted)
        found.insert(0, counted.new_zeros(len(counted)) if loss is None else torch.where(counted > 0, loss, 0.0).sum(dim=(1, 2)))
    return torch.stack(found, dim=1).double().cpu().numpy()


def _null_parameters(loaded: LoadedRun, recorded: Recorded) -> torch.Tensor | None:
    """Parameters (N, P) of constant predictions: of counts the mean of each channel over training trials, else what fits them best.

    None if the reconstruction cannot say.
    """
    splits = recorded.session.splits
    data = (splits["train"] if "train" in splits else next(iter(splits.values()))).recon
    if recorded.support != "counts":
        return constant_parameters(loaded.model.reconstructions[recorded.name], data)
    mean = channel_means(data)
    known = torch.as_tensor(np.maximum(np.nan_to_num(mean), 1e-6), dtype=torch.float32, device=loaded.model.device)
    return loaded.model.reconstructions[recorded.name].params_from_mean(known)
