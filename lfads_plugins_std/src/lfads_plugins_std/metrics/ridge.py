"""Ridge regression in closed form, with its penalty chosen by cross-validation.

Chooses and fits as scikit-learn's ``GridSearchCV(Ridge(), ...)`` over unshuffled folds does, without needing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from lfads_core.errors import DataError

ALPHAS: tuple[float, ...] = tuple(float(a) for a in np.logspace(-4, 0, 9))
"""Penalties tried by default, 1e-4 to 1, two per decade (the benchmark's grid)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """An affine map, y = x W + b, and the penalty it was fitted with."""

    weights: Float[np.ndarray, "D K"]
    bias: Float[np.ndarray, " K"]
    alpha: float

    def __call__(self, x: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n K"]:
        """Predict."""
        prediction: np.ndarray = x @ self.weights + self.bias
        return prediction


def fit_ridge(x: Float[np.ndarray, "n D"], y: Float[np.ndarray, "n K"], alpha: float) -> Ridge:
    """Minimise |y - x W - b|^2 + alpha |W|^2; the intercept b is not penalised."""
    return fit_ridge_path(x, y, (alpha,))[0]


def fit_ridge_path(x: Float[np.ndarray, "n D"], y: Float[np.ndarray, "n K"], alphas: Sequence[float]) -> list[Ridge]:
    """Fit once per penalty, W = (x'x + alpha)^-1 x'y on centred data, sharing the products."""
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    xc, yc = x - x_mean, y - y_mean
    gram, cross = xc.T @ xc, xc.T @ yc
    fits = []
    for alpha in alphas:
        weights = np.linalg.solve(gram + alpha * np.eye(len(gram)), cross)
        fits.append(Ridge(weights=weights, bias=y_mean - x_mean @ weights, alpha=float(alpha)))
    return fits


def fit_ridge_cv(x: Float[np.ndarray, "n D"], y: Float[np.ndarray, "n K"], alphas: Sequence[float] = ALPHAS, folds: int = 5) -> Ridge:
    """Take the penalty with the best mean R2 over contiguous folds (the first of equals), then fit to everything.

    R2 is the plain mean over outputs. Raises DataError when there are fewer rows than folds.
    """
    tests = contiguous_folds(len(x), folds)
    if len(alphas) == 1:
        return fit_ridge(x, y, alphas[0])
    scores = np.zeros(len(alphas))
    for test in tests:
        train = np.ones(len(x), dtype=bool)
        train[test] = False
        for i, fit in enumerate(fit_ridge_path(x[train], y[train], alphas)):
            scores[i] += _mean_r2(fit(x[test]), y[test])
    return fit_ridge(x, y, alphas[int(np.argmax(scores))])


def contiguous_folds(rows: int, folds: int) -> list[Int[np.ndarray, " m"]]:
    """Cut rows 0..n-1 into runs of equal length, the first ones longer by one where it does not divide."""
    if rows < folds:
        raise DataError(f"ridge: {folds} folds need at least {folds} rows, got {rows}. Use more data or fewer folds.")
    return np.array_split(np.arange(rows), folds)


def _mean_r2(predicted: Float[np.ndarray, "m K"], target: Float[np.ndarray, "m K"]) -> float:
    """R2 as scikit-learn scores it: an output that never changes scores 1 when met exactly, else 0."""
    residual = ((target - predicted) ** 2).sum(axis=0)
    total = ((target - target.mean(axis=0)) ** 2).sum(axis=0)
    safe = np.where(total > 0, total, 1.0)
    return float(np.where(total > 0, 1 - residual / safe, residual == 0).mean())
