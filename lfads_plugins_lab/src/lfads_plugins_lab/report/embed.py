"""Drawings inside a page: figures as SVG in the page's colours, files as they are."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Callable
from html import escape
from typing import Any

from lfads_core.components.page import Drawing
from lfads_core.wording import one_line
from lfads_plugins_std.figures.colours import COLOURS, INK, PAPER, SCALE
from lfads_plugins_std.figures.files import as_png, as_svg

log = logging.getLogger(__name__)

MOST_CHARACTERS = 400_000
"""Of an inline SVG; what is larger is a PNG."""

_CHANGES = [
    (r"^.*?(?=<svg )", ""),  # what comes before it in a file
    (r' (width|height)="[\d.]+pt"| xmlns(:xlink)?="[^"]*"| version="1.1"|<style.*?</style>|<defs>\s*</defs>|<metadata.*?</metadata>', ""),
    (r'<(\w+) id="[A-Za-z0-9.]+_\d+"', r"<\1"),  # names of parts, the same in every figure
    (r' id="raster"', ' class="raster"'),
    (r"xlink:href", "href"),
    (r"('[^']*', )+", ""),  # fonts: the page has its own
    (r"(?<=[\d.]{3})(\.\d\d)\d+", r"\1"),
    (r"\s*\n\s*", " "),
    (r"> <", "><"),
    (rf"{INK}\b", "currentColor"),
    (rf"{PAPER}\b", "var(--panel)"),
    *((rf"{colour}\b", f"var(--c{i})") for i, colour in enumerate(COLOURS)),
    *((rf"{colour}\b", f"var(--s{i})") for i, colour in enumerate(SCALE)),
]
"""Patterns of matplotlib's SVG and what the page has in their place: its own colours, which are others in the dark."""


def embedded(image: bytes | Callable[[], Drawing], caption: str) -> str:
    """A drawing with its caption; one sentence if it cannot be drawn."""
    try:
        body = _of_bytes(image, caption) if isinstance(image, bytes) else _of_figure(image(), caption)
    except (Exception, SystemExit) as err:  # noqa: BLE001 - a page without one figure is better than none
        log.warning("report: the figure '%s' could not be drawn (%s)", caption, one_line(err))
        return f'<p class="none">{escape(caption)}: could not be drawn ({escape(one_line(err))})</p>'
    return f"<figure><figcaption>{escape(caption)}</figcaption>{body}</figure>"


def _of_figure(figure: Any, caption: str) -> str:
    text = as_svg(figure, salt=caption)
    if len(text) > MOST_CHARACTERS:
        return _of_bytes(as_png(figure), caption)
    for pattern, instead in _CHANGES:
        text = re.sub(pattern, instead, text, flags=re.DOTALL)
    width = float(text.split('viewBox="0 0 ')[1].split(" ")[0])
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(caption, quote=True)}" style="--width:{width:.0f}px"', 1)


def _of_bytes(content: bytes, caption: str) -> str:
    kind = "png" if content.startswith(b"\x89PNG") else "svg+xml"
    return f'<img src="data:image/{kind};base64,{base64.b64encode(content).decode()}" alt="{escape(caption, quote=True)}">'
