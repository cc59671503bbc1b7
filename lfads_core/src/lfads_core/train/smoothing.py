"""A per-epoch number, smoothed exponentially over epochs; what plateau decay, early stopping and search compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int, Real

from lfads_core.errors import DataError, RunError


@dataclass(frozen=True, kw_only=True)
class SmoothedMetric:
    """The smoothed value so far, s_e = coef * s_{e-1} + (1 - coef) * m_e, with s_0 = m_0 for the first epoch.

    Never changes in place: ``metric = metric.update(values, sizes)``. Goes into checkpoints as a plain dict, so that a
    resumed run carries on with the same history.
    """

    coef: float  # weight of the past, 0 <= coef < 1
    value: float | None = None  # s_e; None before the first epoch

    def update(self, values: Sequence[float] | Real[np.ndarray, " n"], sizes: Sequence[int] | Int[np.ndarray, " m"]) -> SmoothedMetric:
        """Take in one epoch: its batches' values and their numbers of trials."""
        mean = epoch_mean(values, sizes)
        return replace(self, value=mean if self.value is None else self.coef * self.value + (1 - self.coef) * mean)

    def to_dict(self) -> dict[str, float | None]:
        """Give the state as plain numbers."""
        return {"coef": self.coef, "value": self.value}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> SmoothedMetric:
        """Rebuild from :meth:`to_dict`; raises RunError when something is missing or superfluous."""
        if set(state) != {"coef", "value"}:
            raise RunError(f"smoothed metric: the saved state must hold 'coef' and 'value', got {sorted(state)}. Use an undamaged checkpoint.")
        return cls(coef=float(state["coef"]), value=None if state["value"] is None else float(state["value"]))


def epoch_mean(values: Sequence[float] | Real[np.ndarray, " n"], sizes: Sequence[int] | Int[np.ndarray, " m"]) -> float:
    """Mean over trials of a value known per batch: each batch weighs as many trials as it holds."""
    if not len(values) or len(values) != len(sizes):
        raise DataError(f"epoch mean: needs one size per batch and at least one batch, got {len(values)} values and {len(sizes)} sizes.")
    return float(np.average(np.asarray(values, dtype=np.float64), weights=np.asarray(sizes, dtype=np.float64)))
