"""Figures as files and as bytes: PNG for the screen, SVG and PDF for papers, whose words stay words."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lfads_core.config.fields import FIGURE_FORMATS
from lfads_core.errors import ConfigError
from lfads_core.files import replacing
from lfads_core.wording import printable
from lfads_plugins_std.figures.door import part
from lfads_plugins_std.figures.figure import DPI

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NO_METADATA: dict[str, tuple[str, ...]] = {"svg": ("Creator", "Date", "Format", "Type"), "pdf": ("Creator", "Producer", "CreationDate")}
"""What matplotlib would say of the time and of itself: the same figure gives the same file."""


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure in one step, in the format that the file's ending says: the file appears whole or not at all.

    Raises:
        ConfigError: there is no such format.
    """
    path = Path(path)
    form = path.suffix.lower().removeprefix(".")
    if form not in FIGURE_FORMATS:
        raise ConfigError(f"{path}: a figure's file must end in one of {', '.join(f'.{known}' for known in FIGURE_FORMATS)}, got {path.suffix!r}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = as_png(figure) if form == "png" else as_svg(figure, path.stem).encode() if form == "svg" else as_pdf(figure)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def as_png(figure: Figure) -> bytes:
    """A PNG of 256 colours."""
    from PIL import Image  # comes with matplotlib

    _make_printable(figure)
    canvas, content = part("backends.backend_agg").FigureCanvasAgg(figure), BytesIO()
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(content, format="png", optimize=True, dpi=(DPI, DPI))
    return content.getvalue()


def as_svg(figure: Figure, salt: str) -> str:
    """An SVG on nothing whose words are text; the same figure and salt give the same file, and its ids differ from those of another salt."""
    return _drawn(figure, "svg", {"svg.fonttype": "none", "svg.hashsalt": salt}).decode()


def as_pdf(figure: Figure) -> bytes:
    """A PDF on nothing whose words are text, in fonts that journals take (TrueType)."""
    return _drawn(figure, "pdf", {"pdf.fonttype": 42})


def _drawn(figure: Figure, form: str, how: dict[str, Any]) -> bytes:
    _make_printable(figure)
    content, layout = BytesIO(), figure.get_layout_engine()
    if layout is not None:  # once: saving would draw everything for it, and draw again
        layout.execute(figure)
        figure.set_layout_engine(None)
    with part().rc_context(how):
        figure.savefig(content, format=form, transparent=True, metadata=dict.fromkeys(_NO_METADATA[form]))
    return content.getvalue()


def _make_printable(figure: Figure) -> None:
    """Names from a file may hold what no font has and no SVG may."""
    for text in figure.findobj(part("text").Text):
        if (shown := printable(text.get_text())) != text.get_text():
            text.set_text(shown)


def inline(figure: Figure) -> Figure:
    """The same figure, which a notebook shows where it stands last in a cell, also while nothing there has loaded pyplot."""
    figure._repr_png_ = partial(as_png, figure)  # type: ignore[attr-defined]  # as IPython asks any object
    return figure
