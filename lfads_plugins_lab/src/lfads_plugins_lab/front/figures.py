"""Figures of a run, one at a time, drawn by the same functions as its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lfads_core.errors import RunError
from lfads_core.front.trained import TrainedRun
from lfads_plugins_lab.evaluate.recorded import Recorded, recorded_sessions
from lfads_plugins_lab.report.trials import averages_of
from lfads_plugins_lab.report.words import groups_of, shown_split, times_of
from lfads_plugins_std.figures import draw_curves, draw_factors, draw_inputs, draw_trials
from lfads_plugins_std.figures.conditions import all_together
from lfads_plugins_std.figures.figure import inline

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(run: TrainedRun, kind: str, *, split: str | None = None, **options: Any) -> Figure:
    """One figure.

    Raises:
        RunError: there is no such split, or nothing to draw.
    """
    if kind == "training":
        return inline(draw_curves({key: np.asarray(column) for key, column in run.columns().items()}))
    (session,) = recorded_sessions(run, [run.session])
    split = shown_split(session) if split is None else split
    if split not in session.splits:
        raise RunError(f"{run.path}: must hold the split {split!r} of {session.name}, got {', '.join(session.splits)}. Name one of these.")
    draw: Mapping[str, Callable[..., Figure]] = {"trials": _trials, "factors": _factors, "psth": _psth, "inputs": _inputs}
    return inline(draw[kind](run, session, split, **options))


def _trials(_run: TrainedRun, session: Recorded, split: str, *, most: int) -> Figure:
    data = session.session.splits[split]
    truth = data.extras.get("truth")
    shown = partial(draw_trials, data.recon, data.extras["output_params"], session.session.bin_ms)
    known = truth if truth is not None and truth.shape == data.recon.shape else None
    return shown(is_rate=session.is_rate, truth=known, most=most, time=times_of(session))


def _factors(_run: TrainedRun, session: Recorded, split: str) -> Figure:
    return draw_factors(session.session.splits[split].extras["factors"], None, groups_of(session, split), time=times_of(session))


def _psth(_run: TrainedRun, session: Recorded, split: str) -> Figure:
    groups = groups_of(session, split) or all_together(session.session.splits[split].trials, "all trials")
    return averages_of(session, split, groups)()


def _inputs(run: TrainedRun, session: Recorded, split: str) -> Figure:
    if run.config.model.controller is None:
        raise RunError(f"{run.path}: the model must infer inputs to draw them, got none (model.controller is null). Train one with a controller.")
    extras = session.session.splits[split].extras
    return draw_inputs(extras["co_means"], extras["co_stds"], groups=groups_of(session, split), time=times_of(session))
