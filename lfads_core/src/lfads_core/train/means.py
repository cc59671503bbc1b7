"""Averages of an epoch's costs over trials, kept on the device until they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components.batch import Batch
from lfads_core.model.rows import joined
from lfads_core.objective.total import Losses


class WeightedMeans:
    """Sums of values weighted by trials. Sessions are averaged first over their trials, then, unweighted, with one another."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.weights: dict[str, float] = {}
        self._together: dict[tuple[str, ...], Tensor] = {}  # sums of names that came together last time, of which ``sums`` are parts

    def add(self, values: Mapping[str, Tensor], weight: float) -> None:
        """Take one batch's values of as many trials."""
        add_together([self], tuple(values), torch.stack([value.detach() for value in values.values()]).unsqueeze(0), weight)

    def _known(self, names: tuple[str, ...], like: Tensor) -> Tensor | None:
        """Sums so far, in one tensor; None if there are none."""
        if names in self._together:
            return self._together[names]
        before = [self.sums.get(name, 0.0) for name in names]
        if not any(isinstance(value, Tensor) for value in before):
            return None
        return torch.stack([torch.as_tensor(value, dtype=like.dtype, device=like.device) for value in before])

    def _take(self, names: tuple[str, ...], summed: Tensor, weight: float) -> None:
        self._together = {others: sums for others, sums in self._together.items() if not set(others) & set(names)} | {names: summed}
        self.sums.update(zip(names, summed.unbind(), strict=True))
        self.weights.update({name: self.weights.get(name, 0.0) + weight for name in names})

    def add_losses(self, losses: Losses, batches: Mapping[str, Batch], **more: Tensor) -> None:
        """Take all terms of one batch, and what else is averaged over all its trials."""
        trials = {name: batch.trials.shape[0] for name, batch in batches.items()}
        for weight, values in _grouped(losses, trials, more).items():
            self.add(values, weight)

    def averages(self) -> dict[str, float]:
        """Means as plain numbers; ``recon`` is the mean over sessions, which are listed only when there are several."""
        found = {name: float(value) / self.weights[name] for name, value in self.sums.items()}
        sessions = {name: found.pop(name) for name in list(found) if name.startswith("recon/")}
        if sessions:
            found["recon"] = sum(sessions.values()) / len(sessions)
        return {**found, **(sessions if len(sessions) > 1 else {})}

    def state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint in the middle of an epoch."""
        return {"sums": {name: float(value) for name, value in self.sums.items()}, "weights": dict(self.weights)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.sums = {name: torch.tensor(value, dtype=torch.float64) for name, value in state["sums"].items()}
        self.weights = dict(state["weights"])
        self._together = {}


def add_together(means: Sequence[WeightedMeans], names: tuple[str, ...], given: Float[Tensor, "M K"], weight: float) -> None:
    """Take one batch's values of as many trials, of several members at once."""
    given = given.double() if given.device.type != "mps" else given
    known = [one._known(names, given) for one in means]  # noqa: SLF001
    there = [of for of in known if of is not None]
    summed = given * weight
    if there:
        summed = torch.add(joined([torch.zeros_like(there[0]) if of is None else of for of in known]), given, alpha=weight)
    for one, of in zip(means, summed.unbind(), strict=True):
        one._take(names, of, weight)  # noqa: SLF001


def add_losses_together(means: Sequence[WeightedMeans], losses: Sequence[Losses], trials: Mapping[str, int], grad_norm: Float[Tensor, " M"]) -> None:
    """:meth:`WeightedMeans.add_losses` of several members whose batches are of one shape."""
    columns = [_grouped(of, trials, {"grad_norm": norm}) for of, norm in zip(losses, grad_norm.unbind(), strict=True)]
    for weight, values in columns[0].items():
        rows = [joined([of[weight][name] for of in columns]).detach().unsqueeze(1) for name in values]
        add_together(means, tuple(values), torch.cat(rows, dim=1), weight)


def _grouped(losses: Losses, trials: Mapping[str, int], more: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """All that is averaged, by the number of trials behind it."""
    groups: dict[int, dict[str, Tensor]] = {}
    for name, value in losses.per_session.items():
        groups.setdefault(trials[name], {})[f"recon/{name}"] = value
    groups.setdefault(sum(trials.values()), {}).update({**losses.terms(), **losses.measures, **more})
    return groups
