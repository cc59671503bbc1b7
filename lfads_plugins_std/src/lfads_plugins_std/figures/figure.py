"""The one door to matplotlib: figures without pyplot or any other global state, one look for all, saved in one step."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hls_to_rgb
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Real

from lfads_core.errors import LfadsError
from lfads_core.files import replacing
from lfads_core.wording import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#222222"
SOFT = "#8a8a8a"
BLUE = "#0072b2"
ORANGE = "#d55e00"
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", SOFT, "#000000")
"""Okabe and Ito's colours, told apart by colour-blind readers too; the order is ours, and grey stands for their pale yellow."""

HEAT = "cividis"
"""Colour map of rates: even in lightness, the same to colour-blind readers."""

MISSING = "#f6d3c0"
"""Where nothing was observed."""

DPI = 130
_SMALL, _NORMAL, _LARGE = 7.5, 8.5, 11.0
_LEGEND: dict[str, Any] = {"fontsize": _SMALL, "frameon": False, "handlelength": 1.6, "labelcolor": INK}


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Make an empty figure, in inches, that fits its parts together by itself.

    Raises:
        LfadsError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as err:
        raise LfadsError('plots: matplotlib must be installed, got none. Run: pip install "lfads-core[plot]"') from err
    figure = Figure(figsize=(width, height), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.06), facecolor="white")
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


def colours_of(count: int) -> list[Any]:
    """As many colours: the eight that are told apart by all, or steps round the colour wheel, by turns dark and light."""
    return list(COLOURS[:count]) if count <= len(COLOURS) else [hls_to_rgb(i / count, 0.52 + 0.1 * (i % 2), 0.62) for i in range(count)]


def mark_event(ax: Axes, time: float | None) -> None:
    """A thin upright line where the event of trials is, if it is within them."""
    if time is not None:
        ax.axvline(time, color=SOFT, lw=0.6, zorder=0)


def legend(ax: Axes, *, above: bool = False, **placement: Any) -> None:
    """Name the lines, without a frame; ``above`` puts the names beside the title, clear of the lines."""
    if above:
        placement = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": 4, "columnspacing": 1.2, **placement}
    _plain(ax.legend(**_LEGEND, borderaxespad=0.2, **placement))


def key_of(figure: Figure, labels: Sequence[str], colours: Sequence[Any]) -> None:
    """Name groups below all axes, if they have names."""
    from matplotlib.lines import Line2D

    if any(labels):
        lines = [Line2D([], [], color=colour, lw=2) for colour in colours]
        _plain(figure.legend(lines, labels, **_LEGEND, loc="outside lower left", ncols=min(len(labels), 6)))


def _plain(named: Any) -> None:
    for text in named.get_texts():
        text.set_parse_math(False)


def shades(values: Real[np.ndarray, " n"]) -> Float[np.ndarray, "n 4"]:
    """Colours of the heat map from dark to light, by rank."""
    from matplotlib import colormaps

    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    colours: np.ndarray = colormaps[HEAT](ranks / max(1, len(values) - 1))
    return colours


def colour_map(name: str | None = HEAT) -> Any:
    """Return a colour map in which NaN has a colour of its own; None is ink on whatever lies below."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    found = LinearSegmentedColormap.from_list("ink", [(0, 0, 0, 0), (0, 0, 0, 1)]) if name is None else colormaps[name]
    return found.with_extremes(bad=MISSING)


def note(ax: Axes, text: str) -> None:
    """Write a line of small text into the upper left corner."""
    ax.text(0.03, 0.97, text, transform=ax.transAxes, fontsize=_SMALL, color=INK, va="top", ha="left", parse_math=False)


def colour_bar(figure: Figure, image: Any, axes: Any, label: str) -> None:
    """Explain the colours of an image."""
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=30, pad=0.01)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=_SMALL, colors=INK, length=2.5, width=0.6)
    bar.set_label(label, fontsize=_SMALL, color=INK, parse_math=False)


def as_png(figure: Figure) -> bytes:
    """A PNG of 256 colours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image  # comes with matplotlib

    _make_printable(figure)
    canvas, content = FigureCanvasAgg(figure), BytesIO()
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(content, format="png", optimize=True, dpi=(DPI, DPI))
    return content.getvalue()


def as_svg(figure: Figure, salt: str) -> str:
    """An SVG on nothing whose words are text; the same figure and salt give the same file, and its ids differ from those of another salt."""
    from matplotlib import rc_context

    _make_printable(figure)
    content, layout = BytesIO(), figure.get_layout_engine()
    if layout is not None:  # once: saving would draw everything for it, and draw again
        layout.execute(figure)
        figure.set_layout_engine(None)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(content, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return content.getvalue().decode()


def _make_printable(figure: Figure) -> None:
    """Names from a file may hold what no font has and no SVG may."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if (shown := printable(text.get_text())) != text.get_text():
            text.set_text(shown)


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG in one step: the file appears whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(as_png(figure))
    return path


def colour_scale(low: float, high: float, lightest: float = 1.0, *, backwards: bool = False) -> Any:
    """Colours for values from ``low`` to ``high``, dark to light, or ``backwards``; ``lightest`` below 1 leaves out what is hard to see on white."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    shades = colormaps[HEAT](np.linspace(0.0, lightest, 256))
    return ScalarMappable(Normalize(low, high), ListedColormap(shades[::-1] if backwards else shades))


def few_ticks(axis: Any) -> None:
    """At most five numbers on a linear axis, small and large ones with a common power of ten."""
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    form = ScalarFormatter()
    form.set_powerlimits((-2, 4))
    axis.set_major_formatter(form)
    axis.set_major_locator(MaxNLocator(5))


def whole_ticks(axis: Any) -> None:
    """Whole numbers only, for epochs and generations."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10), integer=True))


def inline(figure: Figure) -> Figure:
    """The same figure, which a notebook shows where it stands last in a cell, also while nothing there has loaded pyplot."""
    figure._repr_png_ = partial(as_png, figure)  # type: ignore[attr-defined]  # as IPython asks any object
    return figure
