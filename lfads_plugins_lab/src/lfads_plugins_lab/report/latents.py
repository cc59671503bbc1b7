"""Factors in space, initial conditions, inferred inputs."""

from __future__ import annotations

import json
from html import escape

import numpy as np

from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.report.events import events_of
from lfads_plugins_lab.report.facts import Facts
from lfads_plugins_lab.report.svg import Axes, Dots, Line, chart
from lfads_plugins_lab.report.words import colour, grid, groups_of, heading, none, para, shown_split, times_of
from lfads_plugins_std.figures.factors import principal_components
from lfads_plugins_std.figures.units import spread_out

MOST_PATHS = 90
MOST_POINTS = 60


def factors(facts: Facts) -> str:
    """Trajectories that can be turned."""
    several = len(facts.sessions) > 1
    return "".join(heading(session, several) + _space(session) for session in facts.sessions)


def _space(session: Recorded) -> str:
    split = shown_split(session)
    paths, shares = principal_components(session.session.splits[split].extras["factors"])
    scale = np.abs(paths).max()
    paths = paths / scale if scale > 0 else paths
    grouped = groups_of(session, split)
    index, labels = (np.zeros(len(paths), dtype=int), ["all trials"]) if grouped is None else grouped
    bins = spread_out(paths.shape[1], MOST_POINTS)
    drawn = []
    for k in range(len(labels)):
        rows = np.flatnonzero(index == k)
        if grouped is not None and len(rows):
            drawn.append({"group": k, "average": True, "trial": -1, "points": paths[rows].mean(axis=0)[bins].round(3).tolist()})
        few = rows[spread_out(len(rows), max(1, MOST_PATHS // len(labels)))]
        drawn += [{"group": k, "average": False, "trial": int(row), "points": paths[row][bins].round(3).tolist()} for row in few]
    time = times_of(session)
    data = {
        "groups": [{"label": label, "colour": colour(k, len(labels))} for k, label in enumerate(labels)],
        "paths": drawn,
        "times": time.middles[bins].round(1).tolist(),
        "unit": time.unit,
        "hint": "Drag or use the arrow keys to turn, + and - to zoom; point at a line to see what it is.",
    }
    text = (
        f"The first three principal components of the factors ({shares[0]:.0%}, {shares[1]:.0%} and {shares[2]:.0%} of their "
        f"variance), {split} trials. "
        f"{'Thick: average of a condition. ' if grouped is not None else ''}A dot marks the start."
    )
    chips = "".join(
        f'<button type="button" class="chip" data-group="{k}" aria-pressed="true"><span class="key" '
        f'style="--ink:{colour(k, len(labels))}"></span>{escape(label)}</button>'
        for k, label in enumerate(labels)
    )
    content = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    return (
        f'{para(text)}<figure class="space"><script type="application/json">{content}</script>'
        '<canvas tabindex="0" role="img" aria-label="Factor trajectories in three principal components, '
        f'{escape(session.name, quote=True)}"></canvas>'
        '<div class="tools"><button type="button" data-zoom="1.25" aria-label="Zoom in">+</button><button type="button" '
        'data-zoom="0.8" aria-label="Zoom out">−</button>'
        f'<output aria-live="polite"></output></div><div class="tools">{chips}</div></figure>'
    )


def initial_conditions(facts: Facts) -> str:
    """Posterior means of the initial condition."""
    several, parts = (
        len(facts.sessions) > 1,
        [
            para(
                "Each dot is a trial: the mean of the posterior over its initial condition. Conditions that separate here are told "
                "apart before the trial begins."
            )
        ],
    )
    for session in facts.sessions:
        split = shown_split(session)
        means = session.session.splits[split].extras["ic_mean"]
        scores, shares = principal_components(means[:, None])
        grouped = groups_of(session, split)
        index, labels = (np.zeros(len(means), dtype=int), [""]) if grouped is None else grouped
        figures = []
        for a, b in ((0, 1), (0, 2)):
            dots = [
                Dots(x=scores[index == k, 0, a], y=scores[index == k, 0, b], colour=colour(k, len(labels)), label=label)
                for k, label in enumerate(labels)
            ]
            figures.append(
                chart(
                    Axes(
                        title=f"Initial conditions, components {a + 1} and {b + 1}",
                        x=f"component {a + 1} ({shares[a]:.0%})",
                        y=f"component {b + 1} ({shares[b]:.0%})",
                        height=300,
                    ),
                    dots,
                )
            )
        parts.append(heading(session, several) + grid(figures))
    return "".join(parts)


def inputs(facts: Facts) -> str:
    """Averages of the inferred inputs over the trial, and around events."""
    if facts.loaded.config.model.controller is None:
        return none("The model infers no inputs: it has no controller (model.controller is null).")
    several = len(facts.sessions) > 1
    text = (
        "What drives the dynamics from outside, as far as the model can tell: average over trials of each condition. Where "
        "it stays near zero the dynamics do without. Sign and scale are arbitrary."
    )
    return para(text) + "".join(heading(session, several) + _inputs(session) for session in facts.sessions)


def _inputs(session: Recorded) -> str:
    split = shown_split(session)
    extras = session.session.splits[split].extras
    means = np.asarray(extras["co_means"], dtype=np.float64)
    grouped = groups_of(session, split)
    index, labels = (np.zeros(len(means), dtype=int), [""]) if grouped is None else grouped
    time = times_of(session)
    figures = []
    for k in range(min(means.shape[2], 6)):
        lines = [
            Line(x=time.middles, y=means[index == c, :, k].mean(axis=0), colour=colour(c, len(labels)), label=label if k == 0 else "")
            for c, label in enumerate(labels)
            if (index == c).any()
        ]
        figures.append(chart(Axes(title=f"Input {k + 1}", x=time.label, y="input (arbitrary unit)", upright=time.event), lines))
    events = events_of(session, split, time.end - time.begin)
    for name, moments in events.items():
        lags, around = _around(np.abs(means).mean(axis=2), moments, session.session.bin_ms or 1.0)
        figures.append(
            chart(
                Axes(title=f"Size of inputs around {name}", x=f"time from {name} ({time.unit})", y="mean |input| (arbitrary unit)", upright=0.0),
                [Line(x=lags, y=around, width=2.2)],
            )
        )
    said = "" if events else none("No events: the file has no per-trial times within the trials, such as train_go_ms (trials).")
    return grid(figures) + said


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
