"""Mean cost of a split's values at the posterior means: of all of them, of held-out channels, of values hidden for the purpose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lfads_core.config.fields import known
from lfads_core.config.optional import MaskedConfig
from lfads_core.infer.loading import LoadedRun
from lfads_core.model.build import build_stacks
from lfads_core.objective.total import Objective
from lfads_core.train.data import trial_source
from lfads_core.train.evaluate import Validator
from lfads_core.train.unseen import UnseenCosts
from lfads_plugins_lab.evaluate.constant import constant_parameters
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

    @property
    def gain(self) -> float | None:
        """Nats per value that the model gains over the constants."""
        return None if self.null_all is None else self.null_all - self.all


@torch.no_grad()
def costs_of(loaded: LoadedRun, recorded: Recorded, split: str) -> Costs:
    """One pass over the split as in validation, and as many with values hidden as the settings say (by default one, a fifth of the input)."""
    config, model = loaded.config, loaded.model
    hidden = config.validation.hidden or MaskedConfig()
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
    for one in validator.passes(model, source, epoch):
        output = model(one.batches, one.noise)
        if one.kept is not None:
            sums.add_masked(model, one.raw, one.batches, output, one.kept)
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
        for prefix, loss in losses.items():
            for what, where in {"all": torch.ones_like(there), "seen": read, "heldout": out}.items():
                sums.add(prefix + what, name, loss, there * where)
    found = {key: value for key, value in sums.means().items() if np.isfinite(value)}
    return Costs(
        all=found["all"],
        seen=found.get("seen"),
        hidden=found.get("masked"),
        heldout=found.get("heldout"),
        null_seen=found.get("null seen"),
        null_heldout=found.get("null heldout"),
        null_all=found.get("null all"),
    )


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
