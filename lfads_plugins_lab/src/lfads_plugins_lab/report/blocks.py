"""Blocks of sections as HTML."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from html import escape
from itertools import groupby
from typing import Any

import numpy as np

from lfads_core.components.page import Block, ChartBlock, ChoiceBlock, PictureBlock, SpaceBlock, TableBlock, TextBlock
from lfads_plugins_lab.report.embed import embedded
from lfads_plugins_std.figures.chart import draw_chart
from lfads_plugins_std.figures.colours import COLOURS, SCALE, colours_of


def markup(blocks: Iterable[Block]) -> str:
    """The blocks in order; charts that follow one another stand side by side. Empty if there are none."""
    parts: list[str] = []
    for kind, group in groupby(blocks, type):
        if kind not in _MARKUP:
            raise TypeError(f"a section must consist of blocks of lfads_core.components.page, got a {kind.__name__}")
        same = "".join(map(_MARKUP[kind], group))
        parts.append(f'<div class="grid">{same}</div>' if kind is ChartBlock else same)
    return "".join(parts)


def para(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{f' class={kind!r}' if kind else ''}>{escape(text)}</p>"


def _text(block: TextBlock) -> str:
    if block.role in {"heading", "code"}:
        return f"<h3>{escape(block.text)}</h3>" if block.role == "heading" else f'<pre tabindex="0">{escape(block.text)}</pre>'
    return para(block.text, {"nothing": "none", "note": "soft"}.get(block.role, ""))


def _table(block: TableBlock) -> str:
    """A table that scrolls by itself where it is too wide."""

    def cell(text: str, i: int) -> str:
        if i == 0:
            return f'<th scope="row">{escape(text)}</th>'
        kind = " ".join(name for name, wanted in (("words", i in block.words), ("ours", i == block.strong)) if wanted)
        return f"<td{f' class={kind!r}' if kind else ''}>{escape(text)}</td>"

    heads = "".join(f'<th scope="col"{" style=text-align:left" if i in block.words else ""}>{escape(text)}</th>' for i, text in enumerate(block.head))
    body = "".join(f"<tr>{''.join(cell(text, i) for i, text in enumerate(row))}</tr>" for row in block.rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(block.label, quote=True)}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _chart(block: ChartBlock) -> str:
    return embedded(partial(draw_chart, block), block.title)


def _picture(block: PictureBlock) -> str:
    return embedded(block.image, block.caption)


def _space(block: SpaceBlock) -> str:
    """A canvas, which ``report.js`` draws on."""
    names = {colour: f"var(--{letter}{k})" for letter, palette in (("c", COLOURS), ("s", SCALE)) for k, colour in enumerate(palette)}
    colours = [names.get(colour, colour) for colour in colours_of(len(block.groups))]
    data = {
        "groups": [{"label": label, "colour": colour} for label, colour in zip(block.groups, colours, strict=True)],
        "paths": [
            {"group": path.group, "average": path.trial is None, "trial": path.trial, "points": path.points.round(3).tolist()}
            for path in block.paths
            if np.isfinite(path.points).all()
        ],
        "times": block.times.round(1).tolist(),
        "unit": block.unit,
        "hint": "Drag or use the arrow keys to turn, + and - to zoom; point at a line to see what it is.",
    }
    chips = "".join(
        f'<button type="button" class="chip" data-group="{k}" aria-pressed="true"><span class="key" '
        f'style="--ink:{colours[k]}"></span>{escape(label)}</button>'
        for k, label in enumerate(block.groups)
    )
    content = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")  # "<!--<script" alone would swallow the rest of the page
    return (
        f'<figure class="space"><script type="application/json">{content}</script>'
        f'<canvas tabindex="0" role="img" aria-label="{escape(block.label, quote=True)}"></canvas>'
        '<div class="tools"><button type="button" data-zoom="1.25" aria-label="Zoom in">+</button><button type="button" '
        'data-zoom="0.8" aria-label="Zoom out">−</button>'
        f'<output aria-live="polite"></output></div><div class="tools">{chips}</div></figure>'
    )


def _choice(block: ChoiceBlock) -> str:
    """A list, and the blocks of each option; ``report.js`` shows those of one."""
    options = "".join(f'<option value="{i}">{escape(name)}</option>' for i, (name, _) in enumerate(block.options))
    panels = "".join(f'<div data-value="{i}">{markup(inside)}</div>' for i, (_, inside) in enumerate(block.options))
    select = f'<select aria-label="{escape(block.label, quote=True)}">{options}</select>'
    return f'<div class="choice"><div class="tools"><label>{escape(block.what)} {select}</label></div>{panels}</div>'


_MARKUP: dict[type, Callable[[Any], str]] = {
    TextBlock: _text,
    TableBlock: _table,
    ChartBlock: _chart,
    PictureBlock: _picture,
    SpaceBlock: _space,
    ChoiceBlock: _choice,
}
