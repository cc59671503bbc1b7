"""The colours of all figures: told apart by colour-blind readers too."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Real

from lfads_plugins_std.figures.door import part

INK = "#222222"
PAPER = "#fefefe"
"""The ground that words stand on; pages have a colour of their own in its place, as in that of the ink."""
SOFT = "#6e6e6e"
BLUE = "#0072b2"
ORANGE = "#d55e00"
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", SOFT, "#000000")
"""Okabe and Ito's colours; the order is ours, and grey stands for their pale yellow."""

SCALE = (
    "#440154", "#471365", "#482475", "#463480", "#414487", "#3b528b", "#355f8d", "#2f6c8e",
    "#2a788e", "#25848e", "#21918c", "#1e9c89", "#22a884", "#2fb47c", "#44bf70", "#5ec962",
)  # fmt: skip
"""For more than eight groups: steps of the colour map viridis, from dark to light, so that neighbours are told apart by their order."""

HEAT = "cividis"
"""Colour map of rates: even in lightness, the same to colour-blind readers."""

MISSING = "#f6d3c0"
"""Where nothing was observed."""


def colours_of(count: int) -> list[str]:
    """As many colours: the eight that are told apart by all, else steps from dark to light."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    if count <= len(SCALE):
        return [SCALE[k] for k in np.linspace(0, len(SCALE) - 1, count).round().astype(int)]
    steps, known = np.linspace(0, len(SCALE) - 1, count), np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in SCALE])
    parts = [np.interp(steps, np.arange(len(SCALE)), known[:, i]).round().astype(int) for i in range(3)]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in zip(*parts, strict=True)]


def shades(values: Real[np.ndarray, " n"]) -> Float[np.ndarray, "n 4"]:
    """Colours of the heat map from dark to light, by rank."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    colours: np.ndarray = part().colormaps[HEAT](ranks / max(1, len(values) - 1))
    return colours


def colour_map(name: str | None = HEAT) -> Any:
    """Return a colour map in which NaN has a colour of its own; None is ink on whatever lies below."""
    ink = [(0, 0, 0, 0), (0, 0, 0, 1)]
    found = part("colors").LinearSegmentedColormap.from_list("ink", ink) if name is None else part().colormaps[name]
    return found.with_extremes(bad=MISSING)


def colour_scale(low: float, high: float, lightest: float = 1.0, *, backwards: bool = False) -> Any:
    """Colours for values from ``low`` to ``high``, dark to light, or ``backwards``; ``lightest`` below 1 leaves out what is hard to see on white."""
    colors, steps = part("colors"), part().colormaps[HEAT](np.linspace(0.0, lightest, 256))
    return part("cm").ScalarMappable(colors.Normalize(low, high), colors.ListedColormap(steps[::-1] if backwards else steps))
