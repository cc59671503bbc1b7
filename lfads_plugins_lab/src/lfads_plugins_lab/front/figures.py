"""Figures of a run, one at a time or all as files, drawn by the same functions as its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfads_core.errors import RunError
from lfads_core.front.trained import TrainedRun
from lfads_plugins_lab.evaluate.recorded import Recorded, recorded_sessions
from lfads_plugins_lab.report.files import save_figures
from lfads_plugins_lab.report.trials import averages_of
from lfads_plugins_lab.report.words import scale_of, shown_split, times_of
from lfads_plugins_std.figures import draw_factors, draw_inputs
from lfads_plugins_std.figures.conditions import all_together
from lfads_plugins_std.figures.files import inline
from lfads_plugins_std.figures.of_session import groups_of
from lfads_plugins_std.reports import curves_of, trials_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(run: TrainedRun, kind: str, *, split: str | None = None, **options: Any) -> Figure:
    """One figure.

    Raises:
        RunError: there is no such split, or nothing to draw.
    """
    if kind == "training":
        return inline(curves_of(run.run))
    (session,) = recorded_sessions(run, [run.session])
    split = shown_split(session) if split is None else split
    if split not in session.splits:
        raise RunError(f"{run.path}: must hold the split {split!r} of {session.name}, got {', '.join(session.splits)}. Name one of these.")
    draw: Mapping[str, Callable[..., Figure]] = {"trials": _trials, "factors": _factors, "psth": _psth, "inputs": _inputs}
    return inline(draw[kind](run, session, split, **options))


def save_all(run: TrainedRun, folder: Path | None, form: str) -> list[Path]:
    """Write every figure of the run's page as a file of its own."""
    return save_figures(run, folder, form)


def _trials(_run: TrainedRun, session: Recorded, split: str, *, most: int) -> Figure:
    return trials_of(session.session, split, scale_of(session), times_of(session), counts=session.support == "counts", most=most)


def _factors(_run: TrainedRun, session: Recorded, split: str) -> Figure:
    return draw_factors(session.session.splits[split].extras["factors"], groups_of(session.session, split), time=times_of(session))


def _psth(_run: TrainedRun, session: Recorded, split: str) -> Figure:
    groups = groups_of(session.session, split) or all_together(session.session.splits[split].trials, "all trials")
    return averages_of(session, split, groups)()


def _inputs(run: TrainedRun, session: Recorded, split: str) -> Figure:
    if run.config.model.controller is None:
        raise RunError(f"{run.path}: the model must infer inputs to draw them, got none (model.controller is null). Train one with a controller.")
    extras = session.session.splits[split].extras
    return draw_inputs(extras["co_means"], extras["co_stds"], groups=groups_of(session.session, split), time=times_of(session))
