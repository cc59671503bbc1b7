"""Behaviour as recorded, and as decoded from the inferred rates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from lfads_core.components.page import Block, PictureBlock, TextBlock
from lfads_core.infer.loading import LoadedRun
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.evaluate.run import MODEL
from lfads_plugins_lab.report.facts import ReportFacts, gather
from lfads_plugins_lab.report.words import each_session, nothing, shown_split, spoken_split, times_of
from lfads_plugins_std.figures import draw_decoding
from lfads_plugins_std.figures.of_session import dimensions_of
from lfads_plugins_std.figures.units import spread_out
from lfads_plugins_std.metrics.behaviour import flatten_known, lag_pair
from lfads_plugins_std.metrics.ridge import fit_ridge_cv

KEYS = ("behavior", "behaviour")
MOST_TRIALS, MOST_DIMENSIONS = 6, 3


def decoding(loaded: LoadedRun) -> Iterator[Block]:
    """Several trials in a row, for each dimension."""
    facts = gather(loaded)
    yield from each_session(facts, partial(_decoding, facts))


def _decoding(facts: ReportFacts, session: Recorded) -> Iterator[Block]:
    splits, split = session.session.splits, shown_split(session)
    wanted, there = _known(splits[split].extras), _known(splits["train"].extras) if "train" in splits else None
    if wanted is None or there is None or split == "train":
        yield nothing("The file has no behaviour of training and validation trials (an array such as train_behavior of trials, bins, dimensions).")
        return
    scores = facts.found(session).get("scores", {}).get(split, {}).get(MODEL, {})
    lag_ms = scores.get("behaviour_lag_ms") or 0.0
    edge = ", the first or last of those that were tried: the best may lie beyond" if scores.get("behaviour_lag_at_edge") else ""
    lag = round(lag_ms / session.session.bin_ms) if session.session.bin_ms else 0
    fit = fit_ridge_cv(*flatten_known(*lag_pair(splits["train"].extras["output_params"], there, lag)))
    rates, target = lag_pair(splits[split].extras["output_params"], wanted, lag)
    trials = spread_out(len(rates), MOST_TRIALS)
    guess = fit(np.asarray(rates[trials], dtype=np.float64).reshape(-1, rates.shape[2])).reshape(len(trials), rates.shape[1], -1)
    titles, labels = [], []
    known = dimensions_of(session.session)
    for k in range(min(MOST_DIMENSIONS, wanted.shape[2])):
        name, unit = known[k] if len(known) == wanted.shape[2] else (f"Dimension {k}", "")
        score = scores.get(f"behaviour_r2_{k}")
        titles.append(name if score is None else f"{name}, R² {score:.3f} over all {spoken_split(split)} trials, {_spoken_lag(lag_ms)}")
        unit = unit or "unit of the file"
        labels.append(f"{name} ({unit})" if len(known) == wanted.shape[2] else f"behaviour\n({unit})")
    yield TextBlock(
        text=f"Ridge regression from the rates of all channels, fitted to training trials; behaviour {_spoken_lag(lag_ms)}, "
        f"a lag chosen on training trials{edge}."
    )
    step, unit = session.session.bin_ms or 1.0, times_of(session).unit
    draw = partial(draw_decoding, target[trials], guess, titles, labels, step, unit)
    yield PictureBlock(image=draw, caption=f"Behaviour, recorded and decoded, {session.name}")


def _spoken_lag(lag_ms: float) -> str:
    return f"{abs(lag_ms):g} ms {'after' if lag_ms > 0 else 'before'} the rates" if lag_ms else "at the same time as the rates"


def _known(extras: object) -> np.ndarray | None:
    if not isinstance(extras, dict):
        return None
    return next((extras[key] for key in KEYS if key in extras and extras[key].ndim == 3), None)
