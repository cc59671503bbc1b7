"""Factor analysis of smoothed data (scikit-learn), and what it says of channels that were not seen."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

FACTORS = (2, 4, 8, 12, 20, 32)
"""Numbers of factors that are tried."""

MOST_ROWS = 4000
"""Bins that a fit takes, evenly spaced; neighbours resemble one another."""

LEAST_NOISE = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class FactorAnalysis:
    """x = mean + W z + noise, z standard normal, noise of variance psi for each channel."""

    mean: Float[np.ndarray, " N"]
    loadings: Float[np.ndarray, "N K"]
    noise: Float[np.ndarray, " N"]
    seen: int  # first channels, from which factors are inferred

    @property
    def factors(self) -> int:
        """K."""
        return int(self.loadings.shape[1])

    def predict(self, seen: Float[np.ndarray, "B T Ne"]) -> Float[np.ndarray, "B T N"]:
        """Mean + W E[z | seen channels], E[z | x] = (1 + W' psi^-1 W)^-1 W' psi^-1 (x - mean) with the rows of the seen channels."""
        loadings, noise = self.loadings[: self.seen], self.noise[: self.seen]
        weighted = loadings / noise[:, None]
        inverse = np.linalg.inv(np.eye(self.factors) + loadings.T @ weighted)
        latent = (seen - self.mean[: self.seen]) @ weighted @ inverse
        prediction: np.ndarray = self.mean + latent @ self.loadings.T
        return prediction


def missing() -> str:
    """Why it cannot be done here; empty if it can."""
    return "" if importlib.util.find_spec("sklearn") else 'scikit-learn is not installed: pip install "lfads-core[evaluate]"'


def fit_factors(data: Float[np.ndarray, "B T N"], seen: int) -> FactorAnalysis:
    """Fit to smoothed training data; the number of factors is the one that predicts a fifth of the trials best, left out of the fit.

    With held-out channels these are what is predicted there, else all channels.
    """
    trials = np.arange(len(data)) % 5 == 4
    targets = np.s_[..., seen:] if data.shape[2] > seen else np.s_[...]
    best = min(FACTORS)
    if trials.any():
        errors = {}
        for factors in FACTORS:
            if factors < min(seen, len(data) * data.shape[1]):
                model = _fit(data[~trials], seen, factors)
                errors[factors] = float(((model.predict(data[trials][..., :seen]) - data[trials])[targets] ** 2).sum())
        best = min(errors, key=lambda key: errors[key]) if errors else 1
    return _fit(data, seen, best)


def _fit(data: np.ndarray, seen: int, factors: int) -> FactorAnalysis:
    from sklearn.decomposition import FactorAnalysis as Sklearn
    from sklearn.exceptions import ConvergenceWarning

    rows = data.reshape(-1, data.shape[-1])
    rows = rows[:: max(1, len(rows) // MOST_ROWS)]
    scale = rows.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what comes out is scored as it is
        model = Sklearn(n_components=factors, max_iter=200, tol=1e-2, random_state=0).fit(rows / scale)
    return FactorAnalysis(
        mean=model.mean_ * scale,
        loadings=model.components_.T * scale[:, None],
        noise=np.maximum(model.noise_variance_, LEAST_NOISE) * scale**2,
        seen=seen,
    )
