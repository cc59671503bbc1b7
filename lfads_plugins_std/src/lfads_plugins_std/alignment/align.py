"""Alignment of sessions with neurons of their own by the conditions they share.

    A_s[k, t] = mean over session s's trials of condition k of the smoothed data            (K, T, N_s)
    X_s = A_s - m_s,   m_s = mean of A_s over conditions and bins                            rows (k, t), so (KT, N_s)
    [X_1 ... X_S] ≈ Z V',   Z = the D principal components with the largest variance         (KT, D), shared by all sessions
    R_s = argmin_R |X_s R - Z|² + α |R|²                                                     (N_s, D)

R_s and m_s are ``readin_weight`` and ``readout_bias``: the read-in is (x - m) R, the read-out m + pinv(R)' f. With one session and
α = 0, R is that session's principal axes. Source: Pandarinath et al. 2018 (doi:10.1038/s41592-018-0109-9), multisession LFADS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from lfads_core.errors import DataError
from lfads_core.wording import first_few
from lfads_plugins_std.metrics.ridge import fit_ridge, fit_ridge_path

ALPHAS: tuple[float, ...] = (0.0, *(float(a) for a in np.logspace(-4, 2, 13)))
"""Ridge penalties tried, as shares of the mean variance of a channel times the number of rows; 0 is least squares."""

RANK_TOLERANCE = 1e-5
"""Components smaller than this share of the largest are rounding: recordings are read in single precision."""

Averages = Mapping[str, Float[np.ndarray, "T N"]]
"""Mean over trials by condition."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """What all sessions are aligned to."""

    conditions: tuple[str, ...]
    components: Float[np.ndarray, "K T D"]  # Z, unscaled, by falling variance
    variances: Float[np.ndarray, " C"]  # of every component, the D first of them kept

    @property
    def kept(self) -> float:
        """Share of the averages' variance that the kept components hold."""
        total = float(self.variances.sum())
        return float(self.variances[: self.components.shape[2]].sum()) / total if total > 0 else float("nan")


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """One session's way into the shared components, and how good it is."""

    weight: Float[np.ndarray, "N D"]  # R
    bias: Float[np.ndarray, " N"]  # m
    alpha: float  # penalty, in the units of ALPHAS
    explained: float  # R2 of the shared components, all components together
    explained_new: float  # the same for conditions left out of the fit; NaN with fewer than two
    rebuilt: float  # share of the session's own averages' variance in m + pinv(R)' R' (x - m)
    projected: Float[np.ndarray, "K T D"]  # X R


def condition_averages(data: Real[np.ndarray, "B T N"], labels: Sequence[str], where: str) -> dict[str, Float[np.ndarray, "T N"]]:
    """Average the observed values of each condition's trials.

    Raises:
        DataError: a channel is never observed in a bin of a condition.
    """
    found = {}
    for condition in sorted(set(labels)):
        trials = data[[label == condition for label in labels]]
        seen = (~np.isnan(trials)).sum(axis=0)
        if not seen.all():
            bins, channels = np.nonzero(seen == 0)
            raise DataError(
                f"{where}: every channel must be observed in every bin of condition {condition}, got none of bin {bins[0]}, channel {channels[0]}. "
                "Smooth more, or leave that channel out."
            )
        found[condition] = np.nansum(trials, axis=0) / seen
    return found


def common_conditions(sessions: Mapping[str, Averages], *, drop: bool) -> list[str]:
    """Return the conditions that every session has; ``drop`` leaves out those that one lacks.

    Raises:
        DataError: a session lacks a condition that another has, and they are not to be dropped; or there is no common one.
    """
    everywhere = set.intersection(*(set(averages) for averages in sessions.values()))
    for name, averages in sessions.items():
        lacking = sorted(set().union(*sessions.values()) - set(averages))
        if lacking and not drop:
            raise DataError(
                f"{name}: must have training trials of every condition that the other sessions have, got none of {first_few(lacking, 5)}. "
                "Use --common to align by the conditions that all sessions share."
            )
    if not everywhere:
        raise DataError(f"{', '.join(sessions)}: must share at least one condition, got none. Check --conditions.")
    return sorted(everywhere)


def shared_components(sessions: Mapping[str, Averages], conditions: Sequence[str], size: int | None, share: float) -> Shared:
    """Principal components of all sessions' averages side by side; ``size`` None takes as many as hold ``share`` of the variance.

    Signs are such that each component's largest loading is positive.

    Raises:
        DataError: there are fewer components than asked for.
    """
    rows = np.concatenate([centred(averages, conditions)[0] for averages in sessions.values()], axis=1)
    left, singular, right = np.linalg.svd(rows, full_matrices=False)
    variances = singular**2 / len(rows)
    rank = int((singular > RANK_TOLERANCE * singular[0]).sum())
    if rank == 0:
        raise DataError(f"{', '.join(sessions)}: condition averages must change over bins or conditions, got constant ones. Check the data.")
    count = size or min(rank, 1 + int(np.searchsorted(np.cumsum(variances) / variances.sum(), share - 1e-12)))
    if count > rank:
        raise DataError(f"--components: must be at most {rank}, the rank of the condition averages, got {count}. Ask for fewer.")
    signs = np.sign(right[np.arange(count), np.abs(right[:count]).argmax(axis=1)])
    components = (left[:, :count] * singular[:count] * signs).reshape(len(conditions), -1, count)
    return Shared(conditions=tuple(conditions), components=components, variances=variances)


def align_session(averages: Averages, shared: Shared, alphas: Sequence[float] = (0.0,), folds: int = 5) -> Alignment:
    """Fit a session's averages to the shared components; of several ``alphas`` the best on left-out conditions is taken.

    Conditions are left out whole, in ``folds`` groups, because neighbouring bins of one condition resemble one another. The
    ``alphas`` are shares of a channel's mean sum of squares, so that they mean the same for every session.
    """
    x, bias = centred(averages, shared.conditions)
    conditions, bins, size = shared.components.shape
    z = shared.components.reshape(-1, size)
    unit = float((x**2).sum()) / x.shape[1] or 1.0
    floor = 1e-10  # a channel that never fires makes the normal equations singular
    penalties = [max(alpha, floor) * unit for alpha in alphas]
    errors, total = np.zeros(len(alphas)), 0.0
    groups = np.array_split(np.arange(conditions), min(folds, conditions)) if conditions > 1 else []
    for group in groups:
        out = np.repeat(np.isin(np.arange(conditions), group), bins)
        total += float(((z[out] - z[~out].mean(axis=0)) ** 2).sum())
        for i, fit in enumerate(fit_ridge_path(x[~out], z[~out], penalties)):
            errors[i] += float(((fit(x[out]) - z[out]) ** 2).sum())
    best = int(np.argmin(errors))
    weight = fit_ridge(x, z, penalties[best]).weights
    projected = x @ weight
    rebuilt = projected @ np.linalg.pinv(weight)
    return Alignment(
        weight=weight,
        bias=bias,
        alpha=float(alphas[best]),
        explained=1 - float(((projected - z) ** 2).sum() / (z**2).sum()),
        explained_new=1 - float(errors[best]) / total if total > 0 else float("nan"),
        rebuilt=1 - float(((rebuilt - x) ** 2).sum() / (x**2).sum()) if x.any() else float("nan"),
        projected=projected.reshape(conditions, bins, size),
    )


def centred(averages: Averages, conditions: Sequence[str]) -> tuple[Float[np.ndarray, "KT N"], Float[np.ndarray, " N"]]:
    """Conditions one below the other, without their mean, and that mean (X, m)."""
    rows = np.concatenate([averages[condition] for condition in conditions])
    mean = rows.mean(axis=0)
    return rows - mean, mean
