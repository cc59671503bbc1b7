"""Factors in space, initial conditions, inferred inputs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from lfads_core.components.page import Block, Path3D, PictureBlock, SpaceBlock, TextBlock
from lfads_core.infer.loading import LoadedRun
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.report.facts import gather
from lfads_plugins_lab.report.words import each_session, nothing, shown_split, spoken_split, times_of
from lfads_plugins_std.figures import draw_around, draw_factors, draw_initial_conditions, draw_inputs
from lfads_plugins_std.figures.conditions import all_together
from lfads_plugins_std.figures.factors import principal_components
from lfads_plugins_std.figures.of_session import events_of, groups_of
from lfads_plugins_std.figures.units import spread_out

MOST_PATHS = 90
MOST_POINTS = 60


def factors(loaded: LoadedRun) -> Iterator[Block]:
    """Trajectories that can be turned, and the same still and over time."""
    yield from each_session(gather(loaded), _factors)


def _factors(session: Recorded) -> Iterator[Block]:
    split, time = shown_split(session), times_of(session)
    values = session.session.splits[split].extras["factors"]
    paths, shares = principal_components(values)
    scale = np.abs(paths).max()
    bins = spread_out(paths.shape[1], MOST_POINTS)
    paths = (paths / scale if scale > 0 else paths)[:, bins]
    conditions = groups_of(session.session, split)
    groups = conditions or all_together(len(paths), "all trials")
    drawn = []
    for k, rows in enumerate(groups.rows):
        if conditions is not None and len(rows):
            drawn.append(Path3D(points=paths[rows].mean(axis=0), group=k))
        few = rows[spread_out(len(rows), max(1, MOST_PATHS // len(groups.labels)))]
        drawn += [Path3D(points=paths[row], group=k, trial=int(row)) for row in few]
    yield TextBlock(
        text=f"The first three principal components of the factors ({shares[0]:.0%}, {shares[1]:.0%} and {shares[2]:.0%} of their "
        f"variance), {spoken_split(split)} trials. {'Thick: average of a condition. ' if conditions is not None else ''}A dot marks the start."
    )
    label = f"Factor trajectories in three principal components, {session.name}"
    yield SpaceBlock(groups=groups.labels, paths=drawn, times=time.middles[bins], unit=time.unit, label=label)
    yield PictureBlock(image=partial(draw_factors, values, conditions, time=time), caption=f"The same, still and over time, {session.name}")


def initial_conditions(loaded: LoadedRun) -> Iterator[Block]:
    """Posterior means of the initial condition."""
    yield TextBlock(
        text="Each dot is a trial: the mean of the posterior over its initial condition. Conditions that separate here are told "
        "apart before the trial begins."
    )
    yield from each_session(gather(loaded), _initial_conditions)


def _initial_conditions(session: Recorded) -> Iterator[Block]:
    split = shown_split(session)
    means = session.session.splits[split].extras["ic_mean"]
    groups = groups_of(session.session, split) or all_together(len(means))
    caption = f"Initial conditions of {spoken_split(split)} trials, {session.name}"
    yield PictureBlock(image=partial(draw_initial_conditions, means, groups), caption=caption)


def inputs(loaded: LoadedRun) -> Iterator[Block]:
    """Averages of the inferred inputs over the trial, and around events."""
    if loaded.config.model.controller is None:
        yield nothing("The model infers no inputs: it has no controller (model.controller is null).")
        return
    yield TextBlock(
        text="What drives the dynamics from outside, as far as the model can tell: average over trials of each condition. Where "
        "it stays near zero the dynamics do without. Sign and scale are arbitrary."
    )
    yield from each_session(gather(loaded), _inputs)


def _inputs(session: Recorded) -> Iterator[Block]:
    split, time = shown_split(session), times_of(session)
    extras = session.session.splits[split].extras
    draw = partial(draw_inputs, extras["co_means"], extras["co_stds"], groups=groups_of(session.session, split), time=time)
    yield PictureBlock(image=draw, caption=f"Inferred inputs of {spoken_split(split)} trials, {session.name}")
    size = np.abs(np.asarray(extras["co_means"], dtype=np.float64)).mean(axis=2)
    events = events_of(session.session, split, time)
    around = {name: _around(size, moments - time.begin, session.session.bin_ms or 1.0) for name, moments in events.items()}
    if around:
        yield PictureBlock(image=partial(draw_around, around, time.unit), caption=f"Inputs around events, {session.name}")
    else:
        yield nothing("No events: the file has no per-trial times within the trials, such as train_go_ms (trials).")


def _around(size: np.ndarray, moments: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Average over trials of a quantity (trials, bins) around each trial's own moment, where at least half of the trials reach."""
    bins = size.shape[1]
    lags = np.arange(-bins + 1, bins)
    start = np.floor(np.where(np.isfinite(moments), moments, 0) / width).astype(int)
    at = start[:, None] + lags
    inside = (at >= 0) & (at < bins) & np.isfinite(moments)[:, None]
    values = np.where(inside, np.take_along_axis(size, np.clip(at, 0, bins - 1), axis=1), 0.0)
    count = inside.sum(axis=0)
    kept = count >= len(size) / 2
    return lags[kept] * width, values.sum(axis=0)[kept] / count[kept]
