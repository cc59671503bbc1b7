"""What went wrong in a training, each in a sentence with what to try: for the terminal, ``run.json``, the page on a run and trackers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from lfads_core.config.fields import known
from lfads_core.config.schema import RunConfig
from lfads_core.data.hdf5 import opened_outputs
from lfads_core.data.order import CHANNEL_ORDER
from lfads_core.data.session import Session
from lfads_core.runs import Run
from lfads_core.track.fitlog import read_fitlog
from lfads_core.train.prune import first_judged

AT_PRIOR = 0.02
"""Least share of a latent's variance that must come from the data. A posterior at its prior has none: its mean is the same in every trial."""

AT_PRIOR_THROUGHOUT = 0.1
"""The same for the bin of a trial that moves most: an input that comes once, such as a push, is at its prior in nearly all bins."""

WORSE = 0.1
"""So much of what the validation cost had gained may be lost again after the best epoch."""

BEYOND = 2
"""An expected value so many times as large as the largest of a recording is none that can be believed."""

LATE = 0.5
"""Share of the epochs after the best one from which on a lost gain is worth a word."""


def findings(run: Run, config: RunConfig, scores: Mapping[str, float]) -> dict[str, str]:
    """Sentences by a short name of each, from a run's log, scores and outputs; none if nothing is known to be wrong.

    Raises:
        RunError: the log of the run is damaged.
        DataError: an output file is.
    """
    column = f"valid/{config.validation.judge}_smooth"
    log = read_fitlog(run.fitlog) if run.fitlog.is_file() else {}
    found = {**_of_course(config, np.asarray(log.get(column, ()))), **_of_scores(scores)}
    for path in run.outputs:
        with opened_outputs(path) as file:
            split = "valid" if "valid_ic_mean" in file else "train"
            posteriors = {key: file[f"{split}_{key}"][...] for key in ("ic_mean", "ic_std", "co_means", "co_stds")}
        found = {**_of_latents(posteriors, config), **found}
    return found


def of_expected(session: Session, expected: Mapping[str, Float[np.ndarray, "B T N"]]) -> str:
    """From a session's expected values by split, which no mean of such data can be where they are far beyond all of them; empty if none is."""
    largest = max(float(np.nanmax(np.abs(split.recon), initial=0.0)) for split in session.splits.values())
    peaks = {split: float(np.abs(values).max(initial=0.0)) for split, values in expected.items()}
    bound = BEYOND * largest
    if not largest or max(peaks.values(), default=0.0) <= bound:
        return ""
    count = sum(int((np.abs(values) > bound).sum()) for values in expected.values())
    total = sum(map(np.size, expected.values()))
    split = max(peaks, key=peaks.__getitem__)
    trial, bin_, place = np.unravel_index(int(np.abs(expected[split]).argmax()), expected[split].shape)
    order = session.arrays.get(CHANNEL_ORDER, range(expected[split].shape[-1]))
    return (
        f"{session.name}: {count} of {total} expected values are more than {BEYOND} times as large as any value of the "
        f"recording: at most {expected[split][trial, bin_, place]:.4g}, in bin {bin_} of channel {order[place]} in {split} trial {trial}, where the "
        f"recording has at most {largest:.4g}. A single posterior sample can do that, or a model that is far from right. Look at other seeds, or at "
        "posterior means (lfads infer RUN --means), before these values are used."
    )


def of_alignment(followed: str, within: Mapping[str, float], left: Mapping[str, float]) -> dict[str, str]:
    """From the distance that is left between an aligned session and those it follows, which is far if these differ less among themselves."""
    far = {name: distance for name, distance in left.items() if distance > within[name]}
    if not far:
        return {}
    told = " and ".join(f"{distance:.3g} for {name}, where {within[name]:.3g} is that of as many of its own trials" for name, distance in far.items())
    text = (
        f"the latents are not where those of {followed} are: a distance of {told}. Do not trust a decoder of old days with them. Try more trials or "
        "--set train.epochs=..., and look whether the task was the same; if it helps nothing, train a new model."
    )
    return {"not_aligned": text}


def _of_course(config: RunConfig, costs: Float[np.ndarray, " epochs"]) -> dict[str, str]:
    """From the smoothed validation cost of each epoch."""
    epochs, judged_from = len(costs), first_judged(config, None)
    if not epochs:
        return {}
    if epochs <= judged_from:
        third = epochs // 3
        text = (
            f"the training ended after {epochs} epochs, and epoch {judged_from + 1} is the first in which the KL and L2 terms count in full, so no "
            f"epoch could be judged the best, and the last one is used. Give it more time, or shorten the ramps: "
            f"--set regularisation.kl_ramp.increase_epochs={third} --set regularisation.l2_ramp.increase_epochs={third}."
        )
        return {"ramps_unfinished": text}
    best = judged_from + int(np.argmin(costs[judged_from:]))
    lost, gained = costs[-1] - costs[best], costs[0] - costs[best]
    if gained <= 0:
        text = (
            f"no epoch that counts was better on validation trials than the first one ({costs[0]:.4g}, best {costs[best]:.4g}): nothing was learnt "
            "that holds for other trials. Try a smaller optim.lr or model, and look whether training and validation trials are alike."
        )
        return {"never_better": text}
    if lost > WORSE * gained and epochs - 1 - best >= LATE * epochs:
        text = (
            f"the validation cost has been getting worse since epoch {best + 1} of {epochs} ({costs[best]:.4g}, in the end {costs[-1]:.4g}): the "
            "model learns its training trials by heart. The weights of the best epoch are used. Try a larger model.dropout or "
            "regularisation.l2_generator, a smaller model.generator.hidden, or more trials."
        )
        return {"validation_worse": text}
    return {}


def _of_scores(scores: Mapping[str, float]) -> dict[str, str]:
    """From the final scores of validation trials: the first of these that there is."""
    bits = "bits per spike"
    for name, what, called in (("co_bps", "held-out channels", bits), ("bps", "validation trials", bits), ("r2", "validation trials", "R²")):
        value = scores.get(f"valid/{name}")
        if value is not None:
            text = (
                f"the model predicts {what} no better than each channel's mean does ({called} {value:.3f}). Try a longer training, a smaller "
                "optim.lr, or wider bins; if channels share nothing, no model of shared dynamics can do better."
            )
            return {"no_better_than_means": text} if value <= 0 else {}
    return {}


def _of_latents(posteriors: Mapping[str, np.ndarray], config: RunConfig) -> dict[str, str]:
    """From the posteriors of a session's validation trials."""
    priced = config.regularisation
    scales = {"ic": known(priced.kl_ic, "regularisation.kl_ic"), "inputs": known(priced.kl_inputs, "regularisation.kl_inputs")}
    found = {}
    for name, what, (mean, std), otherwise in (
        ("ic", "initial conditions", ("ic_mean", "ic_std"), "the generator starts every trial alike"),
        ("inputs", "inferred inputs", ("co_means", "co_stds"), "model.controller=null is faster and says the same"),
    ):
        means, stds = posteriors[mean], posteriors[std]
        if means.shape[0] < 2 or not stds.any() or not scales[name]:
            continue
        share = float(informed(means, stds).max())
        if share < AT_PRIOR and (means.ndim == 2 or informed_once(means, stds).max() < AT_PRIOR_THROUGHOUT):
            found[f"{name}_at_prior"] = (
                f"the {what} stayed at their prior: at most {share:.1%} of their variance comes from the data, so the model does without them. "
                f"If it should not, make them cheaper: --set regularisation.kl_{name}={scales[name] / 10:.1g}; if it may, {otherwise}."
            )
    return found


def informed(means: Float[np.ndarray, "*B L"], stds: Float[np.ndarray, "*B L"]) -> Float[np.ndarray, " L"]:
    """Share of each latent's variance that comes from the data: ``var(μ) / (var(μ) + mean(σ²))`` over trials and bins.

    Latents whose posterior means do not vary are the inactive units of Burda et al. (2016).
    """
    over = tuple(range(means.ndim - 1))
    return _share(means.astype(np.float64).var(axis=over), np.square(stds, dtype=np.float64).mean(axis=over))


def informed_once(means: Float[np.ndarray, "B T L"], stds: Float[np.ndarray, "B T L"]) -> Float[np.ndarray, " L"]:
    """The share d² / (d² + σ²) in the bin of a trial where it is largest, d = μ - mean of μ over trials; the median over trials."""
    moved = np.square(means - means.mean(axis=0), dtype=np.float64)
    return np.asarray(np.median(_share(moved, np.square(stds, dtype=np.float64)).max(axis=1), axis=0))


def _share(explained: np.ndarray, left: np.ndarray) -> np.ndarray:
    return np.asarray(explained / np.maximum(explained + left, np.finfo(np.float64).tiny))
