"""Predictions of simple methods for the same trials: condition averages, smoothed data with a regression for what was not seen, factor analysis.

No prediction of a value uses that value, and none of a held-out channel or a later bin uses any of them on the trial.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_lab.evaluate.decoding import smoothed_for_behaviour
from lfads_plugins_lab.evaluate.factor_analysis import FactorAnalysis, fit_factors, missing
from lfads_plugins_lab.evaluate.kernels import FLOORS, filled, neighbours, smoother, widths
from lfads_plugins_lab.evaluate.unseen_channels import (
    LEAST,
    POISSON_PENALTIES,
    Smoother,
    Unseen,
    cheapest,
    downhill,
    has_unseen,
    predict_counts,
    predict_unseen,
)
from lfads_plugins_std.metrics.conditions import labels_of
from lfads_plugins_std.metrics.r2 import r2_observed
from lfads_plugins_std.metrics.smooth import smooth
from lfads_plugins_std.metrics.spikes import ZERO_RATE, channel_means


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """Predictions for one split and for the training trials, in the unit of the data per bin; or why there are none."""

    name: str
    means: np.ndarray | None = None  # (B, T, N)
    train_means: np.ndarray | None = None
    decoded: tuple[np.ndarray, np.ndarray] | None = None  # what behaviour is decoded from in their place, of the split and of training trials
    chosen: Mapping[str, float] = field(default_factory=dict)  # what was chosen on training trials
    why_not: str = ""

    def evaluation(self, e: Evaluation) -> Evaluation:
        """The evaluation of the model with these predictions in place of its own."""
        if self.means is None or self.train_means is None or e.train is None:
            raise ValueError("a baseline without predictions cannot be evaluated")
        return replace(e, means=self.means, train=replace(e.train, means=self.train_means))

    def decoding(self, e: Evaluation) -> Evaluation | None:
        """The same with what behaviour is decoded from, of the channels that it has; None where that is the predictions."""
        if self.decoded is None or e.train is None:
            return None
        own, theirs = (replace(of, means=means, data=of.data[..., : means.shape[2]]) for of, means in zip((e, e.train), self.decoded, strict=True))
        return replace(own, train=theirs)


NAMES = ("condition average", "Gaussian smoothing", "Poisson regression", "factor analysis")


def baselines(e: Evaluation) -> list[Baseline]:
    """All of them, fitted to the training trials and applied to the split."""
    if e.train is None:
        return [Baseline(name=name, why_not="no training trials") for name in NAMES]
    if not e.encod_channels:
        why = "the input is of another modality"
        return [condition_average(e, e.train), *(Baseline(name=name, why_not=why) for name in NAMES[1:])]
    smoothing, width = gaussian_smoothing(e, e.train)
    return [condition_average(e, e.train), smoothing, poisson_regression(e, e.train, smoothing, width), factor_analysis(e, e.train, width)]


def condition_average(e: Evaluation, train: Evaluation) -> Baseline:
    """Average of the smoothed training trials of the trial's condition, whose label it must be told; a training trial is left out of its own.

    The width and the share of the channel's mean that is mixed in are those that price the training trials least.
    """
    name = NAMES[0]
    own, labels = labels_of(e.extras), labels_of(train.extras)
    if own is None or labels is None:
        return Baseline(name=name, why_not="the file names no conditions")
    if strange := sorted(set(np.unique(own).tolist()) - set(np.unique(labels).tolist()), key=str):
        return Baseline(name=name, why_not=f"condition {strange[0]!r} has no training trial")
    if min(int((labels == label).sum()) for label in np.unique(labels)) < 2:
        return Baseline(name=name, why_not="a condition has a single training trial")
    means = channel_means(train.data)
    tried = widths(e.bin_ms, train.data.shape[1])
    guesses = ((width, _others_average(filled(smooth(train.data, width), means), labels)) for width in tried)
    width, floor = _cheapest_mixture(guesses, means, train.data, train)
    smoothed = filled(smooth(train.data, width), means)
    averages = {label: smoothed[labels == label].mean(axis=0) for label in np.unique(labels)}
    return Baseline(
        name=name,
        means=mixed(np.stack([averages[label] for label in own]), means, floor),
        train_means=mixed(_others_average(smoothed, labels), means, floor),
        chosen={"width_bins": width, "share_of_mean": floor},
    )


def gaussian_smoothing(e: Evaluation, train: Evaluation) -> tuple[Baseline, float]:
    """Neighbouring bins of the same channel, Gaussian weights; held-out channels and later bins by regression from the smoothed seen ones.

    A bin's own value has no weight, so that nothing is copied. What was not seen has a width of its own, by which it is predicted best on
    training trials left out of the regression; with nothing of the kind it is that of the seen channels. Returns that width in bins too.
    Behaviour is decoded from the seen channels smoothed at a third width, the best for that.
    """
    seen = train.data[:, : e.encod_bins, : e.encod_channels]
    means = channel_means(seen)
    tried = widths(e.bin_ms, e.encod_bins)
    width, floor = _cheapest_mixture(((width, filled(neighbours(seen, width), means)) for width in tried), means, seen, train)
    other = cheapest(tried, train, partial(_unseen, means), price) if has_unseen(e) else width
    unseen = predict_unseen(e, train, smoother(other, means))
    found = []
    for part, (channels, later) in zip((e, train), unseen, strict=True):
        inside = mixed(filled(neighbours(part.data[:, : e.encod_bins, : e.encod_channels], width), means), means, floor)
        found.append(np.concatenate([np.concatenate([inside, channels], axis=2), later], axis=1))
    chosen = {"width_bins": width, "width_bins_unseen": other, "share_of_mean": floor}
    decoded = None
    if (smoothed := smoothed_for_behaviour(e, train)) is not None:
        own, theirs, chosen["width_bins_behaviour"] = smoothed
        decoded = own, theirs
    return Baseline(name=NAMES[1], means=found[0], train_means=found[1], decoded=decoded, chosen=chosen), other


def _unseen(means: Float[np.ndarray, " N"], width: float, e: Evaluation, train: Evaluation) -> Unseen:
    return predict_unseen(e, train, smoother(width, means))[0]


def poisson_regression(e: Evaluation, train: Evaluation, smoothing: Baseline, width: float) -> Baseline:
    """Counts of held-out channels and later bins, log-linear in the smoothed seen channels; what is seen is predicted by smoothing.

    The penalty is the one by which counts of training trials left out of the regression are predicted best.
    """
    name = NAMES[2]
    if e.support != "counts":
        return Baseline(name=name, why_not="the data are no counts")
    if not has_unseen(e) or smoothing.means is None or smoothing.train_means is None:
        return Baseline(name=name, why_not="no held-out channels and no later bins")
    smoothed = smoother(width, channel_means(train.data[:, : e.encod_bins, : e.encod_channels]))
    penalty = cheapest(POISSON_PENALTIES, train, partial(_counts, smoothed), price, downhill)
    found = []
    for means, (channels, later) in zip((smoothing.means, smoothing.train_means), predict_counts(e, train, smoothed, penalty), strict=True):
        inside = np.concatenate([means[:, : e.encod_bins, : e.encod_channels], channels], axis=2)
        found.append(np.concatenate([inside, later], axis=1))
    return Baseline(name=name, means=found[0], train_means=found[1], chosen={"width_bins": width, "penalty": penalty})


def _counts(smoothed: Smoother, penalty: float, e: Evaluation, train: Evaluation) -> Unseen:
    return predict_counts(e, train, smoothed, penalty, 0.5)[0]


def factor_analysis(e: Evaluation, train: Evaluation, width: float) -> Baseline:
    """Factors of the smoothed seen channels, from which all channels are predicted; bins after the last seen one keep its factors.

    A seen channel is predicted from factors of the neighbouring bins alone.
    """
    if why := missing():
        return Baseline(name=NAMES[3], why_not=why)
    means = channel_means(train.data)
    prepared = filled(smooth(train.data[:, : e.encod_bins], width), means)
    model = fit_factors(prepared, e.encod_channels)
    found = [_from_factors(model, part.data[:, : e.encod_bins, : e.encod_channels], width, means, e) for part in (e, train)]
    return Baseline(name=NAMES[3], means=found[0], train_means=found[1], chosen={"factors": float(model.factors), "width_bins": width})


def price(guess: np.ndarray, data: np.ndarray, e: Evaluation) -> float:
    """What widths are compared by: Poisson cost of counts, else 1 - R2."""
    if e.support != "counts":
        return 1 - r2_observed(guess, data)
    seen = ~np.isnan(data)
    rates = np.maximum(guess[seen], ZERO_RATE)
    return float((rates - data[seen] * np.log(rates)).mean())


def mixed(guess: np.ndarray, means: Float[np.ndarray, " N"], share: float) -> Float[np.ndarray, "B T N"]:
    """Predictions with a share of the channel's mean, so that no rate is zero."""
    mixture: np.ndarray = (1 - share) * guess + share * means
    return mixture


def _cheapest_mixture(guesses: Iterable[tuple[float, np.ndarray]], means: np.ndarray, data: np.ndarray, e: Evaluation) -> tuple[float, float]:
    """Of predictions by width: the width, and the share of the channel's mean to mix in, that price the data least."""
    _, width, floor = min((price(mixed(guess, means, floor), data, e), width, floor) for width, guess in guesses for floor in FLOORS)
    return width, floor


def _from_factors(model: FactorAnalysis, seen: np.ndarray, width: float, means: np.ndarray, e: Evaluation) -> np.ndarray:
    """Predictions of all channels in all bins: held-out channels from the smoothed bins themselves, seen ones from their neighbours."""
    own = means[: e.encod_channels]
    guess = model.predict(filled(smooth(seen, width), own))
    later = np.repeat(guess[:, -1:], e.data.shape[1] - e.encod_bins, axis=1)
    guess[..., : e.encod_channels] = model.predict(filled(neighbours(seen, width), own))[..., : e.encod_channels]
    guess = np.concatenate([guess, later], axis=1)
    return guess if e.support == "real" else np.maximum(guess, LEAST * means)


def _others_average(smoothed: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each trial the average of the other trials of its condition."""
    found = np.empty_like(smoothed)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        found[rows] = (smoothed[rows].sum(axis=0) - smoothed[rows]) / (len(rows) - 1)
    return found
