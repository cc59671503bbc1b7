"""Blocks of sections that other packages bring, as HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from itertools import groupby
from typing import Any

from lfads_core.components.page import Block, ChartBlock, Curve, PictureBlock, TableBlock, TextBlock
from lfads_plugins_lab.report.svg import Axes, Line, chart
from lfads_plugins_lab.report.words import grid, none, para, table


def markup(blocks: Iterable[Block]) -> str:
    """The blocks in order; charts that follow one another stand side by side. Empty if there are none."""
    parts: list[str] = []
    for kind, group in groupby(blocks, type):
        same: list[Any] = list(group)
        parts += [grid([_chart(block) for block in same])] if kind is ChartBlock else [_one(block) for block in same]
    return "".join(parts)


def _one(block: Block) -> str:
    if isinstance(block, TextBlock):
        return none(block.text) if block.role == "nothing" else para(block.text, "soft" if block.role == "note" else "")
    if isinstance(block, TableBlock):
        return table(block.head, block.rows, words=block.words, label=block.label)
    if isinstance(block, PictureBlock):
        kind = "png" if block.image.startswith(b"\x89PNG") else "svg+xml"
        source = f"data:image/{kind};base64,{base64.b64encode(block.image).decode()}"
        return f'<figure><figcaption>{escape(block.caption)}</figcaption><img src="{source}" alt="{escape(block.caption, quote=True)}"></figure>'
    raise TypeError(f"a section must consist of blocks of lfads_core.components.page, got {block!r}")


def _chart(block: ChartBlock) -> str:
    return chart(Axes(title=block.title, x=block.x, y=block.y, log=block.log), [_line(curve) for curve in block.curves])


def _line(curve: Curve) -> Line:
    if curve.strong:
        return Line(x=curve.x, y=curve.y, label=curve.label, width=2.6)
    return Line(x=curve.x, y=curve.y, label=curve.label, colour="var(--c6)", width=1, opacity=0.5)
