"""Figures without pyplot or any other global state, and one look for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lfads_plugins_std.figures.colours import INK, PAPER, SOFT
from lfads_plugins_std.figures.door import part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Key = Mapping[str, Mapping[str, Any]]
"""What a legend names: each label's line, as keywords of matplotlib's ``Line2D``."""

DPI = 130
_SMALL, _NORMAL, _LARGE = 7.5, 8.5, 11.0
_LEGEND: dict[str, Any] = {"fontsize": _SMALL, "frameon": False, "handlelength": 1.6, "labelcolor": INK}
_LETTERS = 14
"""Of a legend, to an inch."""


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Make an empty figure, in inches, that fits its parts together by itself.

    Raises:
        LfadsError: matplotlib is not installed.
    """
    layout = part("layout_engine").ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.06)
    figure: Figure = part("figure").Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    if title:
        figure.suptitle(title, fontsize=_LARGE, color=INK, x=0.01, ha="left")
    return figure


def dress(ax: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Give axes the common look: small type, no box, labels with units."""
    ax.set_title(title, fontsize=_NORMAL, color=INK, loc="left", parse_math=False)  # names of channels may hold a $
    ax.set_xlabel(x, fontsize=_SMALL, color=INK, parse_math=False)
    ax.set_ylabel(y, fontsize=_SMALL, color=INK, parse_math=False)
    ax.tick_params(which="both", labelsize=_SMALL, colors=INK, length=2.5, width=0.6)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set(fontsize=6.5, color=INK)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_linewidth(0.6)


EVENT: Mapping[str, Any] = {"color": SOFT, "lw": 0.8}
"""The line where the event of trials is."""


def mark_event(ax: Axes, time: float | None, **line: Any) -> None:
    """A thin upright line where the event of trials is, if it is within them; below what is drawn, unless ``line`` says otherwise."""
    if time is not None:
        ax.axvline(time, **{**EVENT, "zorder": 0, **line})


def legend(ax: Axes, *, above: bool = False, **placement: Any) -> None:
    """Name the lines, without a frame; ``above`` puts the names beside the title, clear of the lines."""
    if above:
        placement = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": 4, "columnspacing": 1.2, **placement}
    _plain(ax.legend(**_LEGEND, borderaxespad=0.2, **placement))


def key_of(figure: Figure, key: Key) -> None:
    """Name lines below all axes, as many side by side as there is room for; labels that are empty have no name."""
    named = {label: line for label, line in key.items() if label}
    if named:
        longest = max(map(len, named)) + 6  # with its line
        columns = max(1, int(_LETTERS * figure.get_figwidth()) // longest)
        lines = [part("lines").Line2D([], [], **line) for line in named.values()]
        _plain(figure.legend(lines, list(named), **_LEGEND, loc="outside lower left", ncols=min(len(named), columns)))


def _plain(named: Any) -> None:
    for text in named.get_texts():
        text.set_parse_math(False)


def note(ax: Axes, text: str) -> None:
    """Write a line of small text into the upper left corner, over whatever is there."""
    behind = {"facecolor": PAPER, "alpha": 0.8, "lw": 0, "pad": 1}
    ax.text(0.03, 0.97, text, transform=ax.transAxes, fontsize=_SMALL, color=INK, va="top", ha="left", parse_math=False, bbox=behind)


def colour_bar(figure: Figure, image: Any, axes: Any, label: str) -> None:
    """Explain the colours of an image."""
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=30, pad=0.03)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=_SMALL, colors=INK, length=2.5, width=0.6)
    bar.set_label(label, fontsize=_SMALL, color=INK, parse_math=False)
