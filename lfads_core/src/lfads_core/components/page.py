"""What a section of a run's page consists of: plain data, so that a section draws the same in light, in dark and on paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float


@runtime_checkable
class Drawing(Protocol):
    """A figure of matplotlib, which core does not import."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """Write it."""


@dataclass(frozen=True, kw_only=True)
class TextBlock:
    """A paragraph; ``nothing`` says why there is nothing to show, ``note`` stands back, ``code`` keeps its lines."""

    text: str
    role: Literal["text", "note", "nothing", "heading", "code"] = "text"


@dataclass(frozen=True, kw_only=True)
class TableBlock:
    """A table; the first cell of a row is its heading, ``words`` are columns of text rather than numbers, ``strong`` is the one it is about."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    label: str
    words: Sequence[int] = ()
    strong: int | None = None


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
    """A drawing of one's own, and what it shows in words.

    The bytes of a PNG or of an SVG file; or what gives a figure of matplotlib. This is called when the page is made, and drawn in the
    page's colours; where it fails, for instance without matplotlib, one sentence stands in its place.
    """

    image: bytes | Callable[[], Drawing]
    caption: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Path3D:
    """One trajectory, of a trial or (None) an average."""

    points: Float[np.ndarray, "T 3"]  # within -1..1
    group: int
    trial: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SpaceBlock:
    """Trajectories in space that a reader turns with the mouse or the keys, a colour for each group."""

    groups: Sequence[str]
    paths: Sequence[Path3D]
    times: Float[np.ndarray, " T"]
    unit: str  # of the times
    label: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ChoiceBlock:
    """Blocks of which one option's are shown at a time; a reader chooses the option in a list."""

    label: str
    what: str  # the options are, in a word
    options: Sequence[tuple[str, Sequence[Block]]]


Block = TextBlock | TableBlock | ChartBlock | PictureBlock | SpaceBlock | ChoiceBlock
""":class:`lfads_core.plugins.specs.ReportSectionSpec` gives these."""
