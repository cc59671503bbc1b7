"""Behaviour as recorded, and as decoded from the inferred rates."""

from __future__ import annotations

import numpy as np

from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.report.facts import Facts
from lfads_plugins_lab.report.svg import Axes, Line, chart
from lfads_plugins_lab.report.words import grid, heading, none, para, shown_split, times_of
from lfads_plugins_std.alignment.condition_names import texts
from lfads_plugins_std.figures.units import spread_out
from lfads_plugins_std.metrics.behaviour import flatten_known, lag_pair
from lfads_plugins_std.metrics.ridge import fit_ridge_cv

KEYS = ("behavior", "behaviour")
MOST_TRIALS, MOST_DIMENSIONS = 6, 3


def decoding(facts: Facts) -> str:
    """Several trials in a row, for each dimension."""
    several = len(facts.sessions) > 1
    return "".join(heading(session, several) + _decoding(facts, session) for session in facts.sessions)


def _decoding(facts: Facts, session: Recorded) -> str:
    splits, split = session.session.splits, shown_split(session)
    wanted, there = _known(splits[split].extras), _known(splits["train"].extras) if "train" in splits else None
    if wanted is None or there is None or split == "train":
        return none("The file has no behaviour of training and validation trials (an array such as train_behavior of trials, bins, dimensions).")
    scores = facts.found(session).get("scores", {}).get(split, {}).get("LFADS", {})
    lag_ms = scores.get("behaviour_lag_ms") or 0.0
    lag = round(lag_ms / session.session.bin_ms) if session.session.bin_ms else 0
    fit = fit_ridge_cv(*flatten_known(*lag_pair(splits["train"].extras["output_params"], there, lag)))
    rates, target = lag_pair(splits[split].extras["output_params"], wanted, lag)
    trials = spread_out(len(rates), MOST_TRIALS)
    guess = fit(np.asarray(rates[trials], dtype=np.float64).reshape(-1, rates.shape[2])).reshape(len(trials), rates.shape[1], -1)
    unit, step = times_of(session).unit, session.session.bin_ms or 1.0
    names, units = _dimensions(session, wanted.shape[2])
    figures = []
    for k in range(min(wanted.shape[2], MOST_DIMENSIONS)):
        x = np.concatenate([np.append(np.arange(rates.shape[1]), np.nan) + i * (rates.shape[1] + 6) for i in range(len(trials))]) * step
        lines = [
            Line(x=x, y=_broken(target[trials, :, k]), label="recorded", colour="var(--c6)", width=2.4),
            Line(x=x, y=_broken(guess[..., k]), label="decoded", colour="var(--c1)"),
        ]
        score = scores.get(f"behaviour_r2_{k}")
        shown = "" if score is None else f", R² {score:.3f} over all {split} trials"
        figures.append(
            chart(
                Axes(
                    title=f"{names[k]}{shown}",
                    x=f"{len(trials)} trials side by side ({unit})",
                    y=f"{'behaviour' if names[k].startswith('Dimension') else names[k]} ({units[k]})",
                ),
                lines,
            )
        )
    text = (
        f"Ridge regression from the rates of all channels, fitted to training trials; behaviour {lag_ms:g} ms after the "
        "rates, a lag chosen on training trials."
    )
    return para(text) + grid(figures)


def _dimensions(session: Recorded, many: int) -> tuple[list[str], list[str]]:
    """Name and unit of each dimension, as `lfads data make` writes them, or its number."""
    names, units = (texts(session.session.arrays.get(key, np.zeros(0))) for key in ("behavior_dimensions", "behavior_dimension_units"))
    if len(names) != many:
        names = [f"Dimension {k}" for k in range(many)]
    return names, [unit or "unit of the file" for unit in units] if len(units) == many else ["unit of the file"] * many


def _broken(values: np.ndarray) -> np.ndarray:
    """Trials one after the other with a gap between."""
    gap = np.full((len(values), 1), np.nan)
    return np.concatenate([values.astype(np.float64), gap], axis=1).ravel()


def _known(extras: object) -> np.ndarray | None:
    if not isinstance(extras, dict):
        return None
    return next((extras[key] for key in KEYS if key in extras and extras[key].ndim == 3), None)
