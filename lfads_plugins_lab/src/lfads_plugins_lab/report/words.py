"""Pieces of HTML that sections share."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_std.alignment.condition_names import names_of
from lfads_plugins_std.figures.units import TimeAxis, time_of
from lfads_plugins_std.metrics.conditions import labels_of

COLOURS = 8
"""Colours of the page's palette, told apart by colour-blind readers; further conditions get steps round the colour wheel."""

MOST_GROUPS = 16
"""Conditions that are shown, evenly spread."""


def colour(index: int, of: int) -> str:
    """Colour of one of so many things."""
    return f"var(--c{index})" if of <= COLOURS else f"hsl({360 * index / of:.0f} 62% {52 + 10 * (index % 2)}%)"


def para(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{f' class={kind!r}' if kind else ''}>{escape(text)}</p>"


def none(text: str) -> str:
    """The one line of a section that has nothing to show."""
    return f'<p class="none">{escape(text)}</p>'


def grid(figures: Sequence[str]) -> str:
    """Figures side by side where there is room."""
    return f'<div class="grid">{"".join(figures)}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: Sequence[int] = (), ours: int | None = None, label: str = "Table") -> str:
    """A table that scrolls by itself where it is too wide; the first cell of a row is its heading. ``words`` are columns of text."""

    def cell(text: str, i: int) -> str:
        if i == 0:
            return f'<th scope="row">{escape(text)}</th>'
        kind = " ".join(name for name, wanted in (("words", i in words), ("ours", i == ours)) if wanted)
        return f"<td{f' class={kind!r}' if kind else ''}>{escape(text)}</td>"

    heads = "".join(f'<th scope="col"{" style=text-align:left" if i in words else ""}>{escape(text)}</th>' for i, text in enumerate(head))
    body = "".join(f"<tr>{''.join(cell(text, i) for i, text in enumerate(row))}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label, quote=True)}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def heading(session: Recorded, several: bool) -> str:
    """Name of a session, where there are several."""
    return f"<h3>{escape(session.name)}</h3>" if several else ""


def shown_split(session: Recorded) -> str:
    """The split that trials are shown of: validation, or what there is."""
    return "valid" if "valid" in session.splits else session.splits[-1]


def groups_of(session: Recorded, split: str) -> tuple[np.ndarray, list[str]] | None:
    """Each trial's condition as an index (-1: not shown), and the labels of those shown; None without conditions."""
    of = session.session
    extras = of.splits[split].extras
    labels = labels_of(extras)
    if labels is None or len(np.unique(labels)) > len(labels) / 1.5:
        return None
    names = names_of(labels, extras, of.arrays)
    every = np.unique(labels)
    kept = every[np.unique(np.linspace(0, len(every) - 1, min(len(every), MOST_GROUPS)).round().astype(int))]
    index = np.full(len(labels), -1)
    for i, label in enumerate(kept):
        index[labels == label] = i
    what = str(of.attributes.get("condition_columns", "condition"))
    prefix = "condition" if names is None or "," in what else what
    return index, [f"{prefix} {_spoken(label) if names is None else names[label]}" for label in kept.tolist()]


def times_of(session: Recorded) -> TimeAxis:
    """The bins' times, from the event that trials are aligned to if the file names it."""
    return time_of(session.session, next(iter(session.session.splits.values())).recon.shape[1])


def rate_scale(session: Recorded) -> tuple[float, str]:
    """Factor on values per bin, and the unit that comes out."""
    if not session.is_rate:
        return 1.0, "units of the data"
    return (1.0, "events/bin") if session.session.bin_ms is None else (1000.0 / session.session.bin_ms, "events/s")


def _spoken(label: object) -> str:
    return label.decode() if isinstance(label, bytes) else f"{label:g}" if isinstance(label, float) else str(label)
