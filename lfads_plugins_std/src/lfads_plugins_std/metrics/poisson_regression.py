"""Poisson regression of counts on latent variables, by Newton's method: expected count = exp(x w + b)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from lfads_core.errors import DataError

MOST_STEPS = 100
"""Newton steps; a handful is enough but for channels that are silent."""

LARGEST = 20.0
"""Bound on x w + b, e^20 events per bin, so that a step too far stays a number."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PoissonRegression:
    """A log-linear map to expected counts, one column of weights for each channel."""

    weights: Float[np.ndarray, "D N"]
    bias: Float[np.ndarray, " N"]

    def __call__(self, x: Real[np.ndarray, "n D"]) -> Float[np.ndarray, "n N"]:
        """Expected counts."""
        rates: np.ndarray = np.exp(np.clip(x @ self.weights + self.bias, -LARGEST, LARGEST))
        return rates


def fit_poisson(x: Real[np.ndarray, "n D"], counts: Real[np.ndarray, "m N"], penalty: float = 1.0) -> PoissonRegression:
    """Minimise sum over rows of (rate - k ln(rate)) + penalty / 2 |w|^2 for each channel; the intercept b is not penalised.

    A penalty of 1 is the maximum a posteriori estimate under standard normal weights. Rows where a channel's count is NaN do not
    count for it. A channel without events gets the rate of half an event in all its rows.

    Raises:
        DataError: the rows do not match, or the penalty is not positive.
    """
    if len(x) != len(counts) or not len(x) or penalty <= 0:
        raise DataError(
            f"Poisson regression: must have as many rows of counts as of regressors, at least one, and a penalty above 0, "
            f"got {len(counts)}, {len(x)} and {penalty}."
        )
    design = np.column_stack([x, np.ones(len(x))])
    solutions = np.stack([_fit_channel(design, k, penalty) for k in np.asarray(counts, dtype=np.float64).T], axis=1)
    return PoissonRegression(weights=solutions[:-1], bias=solutions[-1])


def _fit_channel(design: Float[np.ndarray, "n D1"], counts: Float[np.ndarray, " n"], penalty: float) -> Float[np.ndarray, " D1"]:
    seen = ~np.isnan(counts)
    design, counts = design[seen], counts[seen]
    solution = np.zeros(design.shape[1])
    if not len(counts) or not counts.any():
        solution[-1] = np.log(0.5 / max(len(counts), 1))
        return solution
    ridge = np.full(design.shape[1], penalty)
    ridge[-1] = 0.0
    solution[-1] = np.log(counts.mean())
    cost = _cost(design, counts, solution, ridge)
    for _ in range(MOST_STEPS):
        rates = np.exp(np.clip(design @ solution, -LARGEST, LARGEST))
        gradient = design.T @ (rates - counts) + ridge * solution
        hessian = (design * rates[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(hessian + 1e-10 * np.eye(len(hessian)), gradient)
        size, found = 1.0, False
        while size > 1e-6 and not found:  # halve until the cost falls
            trial = solution - size * step
            new = _cost(design, counts, trial, ridge)
            found = new <= cost
            size /= 2
        if not found:
            break
        solution, fell, cost = trial, cost - new, new
        if fell <= 1e-10 * (1 + abs(cost)):
            break
    return solution


def _cost(design: np.ndarray, counts: np.ndarray, solution: np.ndarray, ridge: np.ndarray) -> float:
    line = np.clip(design @ solution, -LARGEST, LARGEST)
    return float((np.exp(line) - counts * line).sum() + 0.5 * (ridge * solution**2).sum())
