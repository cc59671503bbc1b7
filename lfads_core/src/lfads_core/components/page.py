"""What a section of a run's page consists of: plain data, so that a section draws the same in light, in dark and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class TextBlock:
    """A paragraph; ``nothing`` says why there is nothing to show, ``note`` stands back."""

    text: str
    role: Literal["text", "note", "nothing"] = "text"


@dataclass(frozen=True, kw_only=True)
class TableBlock:
    """A table; the first cell of a row is its heading, ``words`` are columns of text rather than numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    label: str
    words: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """One line of a chart; NaN interrupts it. The one the chart is about is ``strong``, others stay in the background."""

    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]
    strong: bool = True
    label: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChartBlock:
    """Curves over common axes; charts that follow one another stand side by side where there is room."""

    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    log: bool = False  # y


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureBlock:
    """A drawing of one's own: the bytes of a PNG or of an SVG file, and what it shows in words."""

    image: bytes
    caption: str


Block = TextBlock | TableBlock | ChartBlock | PictureBlock
""":class:`lfads_core.plugins.specs.ReportSectionSpec` gives these."""
