"""Whose weights went where: every member a lane, generation by generation, without a crossing."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lfads_plugins_std.figures.colours import BLUE, COLOURS, INK, SOFT
from lfads_plugins_std.figures.figure import dress, new_figure
from lfads_plugins_std.figures.ticks import whole_ticks
from lfads_plugins_tune.figures.paint import BEST, LOST, write_right
from lfads_plugins_tune.figures.story import Story, record_of
from lfads_plugins_tune.search.history import MemberRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FOUNDERS = (BLUE, *COLOURS[2:6], "#8c564b", "#6a3d9a", "#b15928")
"""Colours of first members whose weights live to the end; orange is kept for the way to the best."""

_DEATHS = {"diverged": "x", "failed": "+"}

Node = tuple[int, int]
"""Generation and member."""

Lanes = Mapping[int, float]
"""Height of each member in one generation."""


def draw_lineage(story: Story) -> Figure:
    """Draw each generation's members from left to right; a line goes from the member whose weights were taken to the one that took them.

    Lanes are sorted so that no two lines cross: members stand below each other in the order of their origins. Colours are those of the
    first members whose weights live to the end, grey what has no heirs there; the way to the best member is bold.
    """
    lanes, colours = sorted_lanes(story), _colours(story)
    count = len(story.members)
    figure = new_figure(min(4.2 + 0.55 * len(story.generations), 13.0), 1.3 + 0.19 * max(count, 8), f"{story.name}: whose weights each member took")
    ax = figure.subplots()
    best = {} if story.best is None else story.way_to(story.best)
    for before, after in itertools.pairwise(story.generations):
        for record in after.members:
            if record.parent is None or record.parent not in lanes[before.generation]:
                continue
            is_best = best.get(after.generation) == record.member
            heights = lanes[before.generation][record.parent], lanes[after.generation][record.member]
            colour = BEST if is_best else colours[after.generation, record.member]
            _draw_link(ax, (before.generation, after.generation), heights, colour, bold=is_best, copied=record.parent != record.member)
    for generation in story.generations:
        for record in generation.members:
            place = generation.generation, lanes[generation.generation][record.member]
            is_best = best.get(generation.generation) == record.member
            _draw_member(ax, record, place, BEST if is_best else colours[generation.generation, record.member], bold=is_best)
            if record.parent is None and generation is not story.generations[0]:
                ax.plot(*place, marker="o", mfc="none", mec=INK, ms=6, mew=0.7, zorder=7)
    _label(figure, ax, story, lanes)
    return figure


def sorted_lanes(story: Story) -> dict[int, Lanes]:
    """Heights by generation, from 0 (top) on: sorted by the lane of the origin, a member that goes on before those that copied it."""
    first, *rest = story.generations
    founders, last, rank = founder_of(story), story.generations[-1], {member: i for i, member in enumerate(story.ranked())}
    best_heir: dict[Node, int] = {}
    for record in last.members:
        founder = founders[last.generation, record.member]
        best_heir[founder] = min(rank[record.member], best_heir.get(founder, len(rank)))
    place = {m.member: best_heir.get((first.generation, m.member), len(rank) + rank[m.member]) for m in first.members}
    order = sorted(place, key=lambda member: (place[member], member))
    lanes: dict[int, Lanes] = {first.generation: {member: float(i) for i, member in enumerate(order)}}
    before = lanes[first.generation]
    for generation in rest:
        keys = {}
        for record in generation.members:
            origin = record.member if record.parent is None else record.parent
            keys[record.member] = (before.get(origin, float(len(before))), record.parent is None, record.parent != record.member, record.member)
        order = sorted(keys, key=lambda member: keys[member])
        before = lanes[generation.generation] = {member: float(i) for i, member in enumerate(order)}
    return lanes


def founder_of(story: Story) -> dict[Node, Node]:
    """Where each member's weights come from in the end: the node that was started afresh."""
    found: dict[Node, Node] = {}
    before = -1
    for generation in story.generations:
        for record in generation.members:
            here = generation.generation, record.member
            found[here] = here if record.parent is None else found.get((before, record.parent), here)
        before = generation.generation
    return found


def with_heirs(story: Story) -> set[Node]:
    """The nodes whose weights live on in the last generation."""
    last = story.generations[-1]
    living = {(last.generation, record.member) for record in last.members}
    for after, before in itertools.pairwise(reversed(story.generations)):
        living |= {(before.generation, r.parent) for r in after.members if r.parent is not None and (after.generation, r.member) in living}
    return living


def _colours(story: Story) -> dict[Node, Any]:
    """Each node in the colour of its founder, those with most heirs first; grey once colours run out, and for what has no heirs."""
    founders, living, last = founder_of(story), with_heirs(story), story.generations[-1]
    heirs = Counter(founders[last.generation, record.member] for record in last.members)
    ordered = sorted(heirs, key=lambda founder: (-heirs[founder], founder))
    shades = {founder: _FOUNDERS[i] if i < len(_FOUNDERS) else SOFT for i, founder in enumerate(ordered)}
    return {node: shades[founder] if node in living else LOST for node, founder in founders.items()}


def _draw_link(ax: Axes, x: tuple[int, int], y: tuple[float, float], colour: Any, *, bold: bool, copied: bool) -> None:
    t: Float[np.ndarray, " n"] = np.linspace(0, 1, 25)
    style: Any = (0, (3, 1.2)) if copied and not bold else "-"
    order = 4 if bold else 2 if colour == LOST else 3
    ax.plot(x[0] + (x[1] - x[0]) * t, y[0] + (y[1] - y[0]) * (3 * t**2 - 2 * t**3), color=colour, lw=2.6 if bold else 1.1, ls=style, zorder=order)


def _draw_member(ax: Axes, record: MemberRecord, place: tuple[float, float], colour: Any, *, bold: bool) -> None:
    if record.status in _DEATHS:
        ax.plot(*place, marker=_DEATHS[record.status], color=INK, ms=5.5, mew=1.2, zorder=6)
    else:
        ax.plot(*place, marker="o", color=colour, ms=5.0 if bold else 3.2, mew=0, zorder=5)


def _label(figure: Figure, ax: Axes, story: Story, lanes: Mapping[int, Lanes]) -> None:
    first, last = story.generations[0], story.generations[-1]
    for member, y in lanes[first.generation].items():
        ax.text(first.generation - 0.25, y, f"m{member:02d}", fontsize=6.5, color=INK, va="center", ha="right")
    for member, y in lanes[last.generation].items():
        record = record_of(last, member)
        score = "" if record is None else f"  {story.shown(record):#.4g}" if story.shown(record) is not None else f"  {record.status}"
        write_right(ax, y, f"m{member:02d}{score}", BEST if member == story.best else INK, bold=member == story.best)
    if story.final:
        write_right(ax, -0.75, "last score", INK)  # another than that of a member's best checkpoint, which decides who is best
    dress(ax, "", "generation", "")
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlim(first.generation - 0.2, last.generation + 0.2)
    ax.set_ylim(max(map(len, lanes.values())) - 0.3, -0.7)
    whole_ticks(ax.xaxis)
    handles = [
        ax.plot([], [], color=BEST, lw=2.6, label="way to the best checkpoint")[0],
        ax.plot([], [], color=SOFT, lw=1.1, label="goes on")[0],
        ax.plot([], [], color=SOFT, lw=1.1, ls=(0, (3, 1.2)), label="copied")[0],
        ax.plot([], [], color=LOST, lw=1.1, label="no heirs at the end")[0],
    ]
    statuses = {record.status for generation in story.generations for record in generation.members}
    for status, marker in _DEATHS.items():
        if status in statuses:
            handles += ax.plot([], [], color=INK, marker=marker, lw=0, ms=5.5, label=status)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7.5, frameon=False, labelcolor=INK)
