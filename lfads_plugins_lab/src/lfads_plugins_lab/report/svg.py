"""Charts as inline SVG whose ink follows the page's colours, in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 10, 42
"""Size of a chart and of its margins, in its own units, which are near to pixels."""
_DIGIT = 7.5
"""Width of a digit, at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One line; points that are no number interrupt it."""

    x: np.ndarray
    y: np.ndarray
    colour: str = "var(--c0)"
    label: str = ""
    dashed: bool = False
    width: float = 1.6
    opacity: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Dots:
    """Points."""

    x: np.ndarray
    y: np.ndarray
    colour: str = "var(--c0)"
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What stands at the axes; limits are found from the data where they are not given."""

    title: str
    x: str
    y: str
    height: int = HEIGHT
    limits: tuple[float, float] | None = None  # of y
    log: bool = False  # y
    upright: float | None = None  # x of a vertical line


def chart(axes: Axes, parts: Sequence[Line | Dots]) -> str:
    """A figure with its title, and a legend if there are labels."""
    xs, ys = _finite([part.x for part in parts]), _finite([part.y for part in parts])
    if axes.log:
        ys = ys[ys > 0]
    if not xs.size or not ys.size:
        return figure(axes.title, '<p class="none">Nothing was measured.</p>', "")
    x_low, x_high = _padded(*_ends(xs)) if any(isinstance(part, Dots) for part in parts) else _ends(xs)  # no dot on the edge
    y_low, y_high = axes.limits or _padded(*_ends(np.log10(ys) if axes.log else ys))

    def px(values: np.ndarray) -> np.ndarray:
        return np.asarray(LEFT + (values - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT))

    def py(values: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            there = np.log10(values) if axes.log else values
        return np.asarray(axes.height - BOTTOM - (there - y_low) / (y_high - y_low) * (axes.height - TOP - BOTTOM))

    ink: list[str] = []
    box = f'x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{axes.height - TOP - BOTTOM}"'
    view = f'viewBox="{LEFT} {TOP} {WIDTH - LEFT - RIGHT} {axes.height - TOP - BOTTOM}"'
    if axes.upright is not None and x_low <= axes.upright <= x_high:
        at = px(np.array([axes.upright]))[0]
        ink.append(f'<line class="event" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{axes.height - BOTTOM}"/>')
    for part in parts:
        x, y = px(np.asarray(part.x, dtype=np.float64)), py(np.asarray(part.y, dtype=np.float64))
        if isinstance(part, Dots):
            ink += [
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{part.colour}" opacity="0.8"/>' for a, b in zip(x, y, strict=True) if _there(a, b)
            ]
        elif path := _path(x, y):
            dash = ' stroke-dasharray="4 3"' if part.dashed else ""
            ink.append(f'<path d="{path}" fill="none" stroke="{part.colour}" stroke-width="{part.width:g}" opacity="{part.opacity:g}"{dash}/>')
    labelled = list(dict.fromkeys((part.label, part.colour, isinstance(part, Line) and part.dashed) for part in parts if part.label))
    inside = f"<svg {box} {view}>{''.join(ink)}</svg>"  # cuts off what lies beyond the limits
    return figure(axes.title, drawing(axes.title, axes.height, [frame(axes, (x_low, x_high), (y_low, y_high)), inside]), legend(labelled))


def picture(axes: Axes, source: str, extent: tuple[float, float, float, float], *, kind: str = "heat", key: str = "") -> str:
    """An image (data URI) with axes; ``extent`` is both ends of x, then those of y at the bottom and at the top."""
    begin, end, bottom, top = extent
    place = f'x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{axes.height - TOP - BOTTOM}" preserveAspectRatio="none"'
    ink = [f'<image class="{kind}" href="{source}" {place}/>', frame(axes, (begin, end), (bottom, top), grid=False)]
    return figure(axes.title, drawing(axes.title, axes.height, ink), key)


def figure(title: str, body: str, key: str) -> str:
    """Title, drawing, legend."""
    return f"<figure><figcaption>{escape(title)}</figcaption>{body}{key}</figure>"


def drawing(title: str, height: float, ink: Sequence[str]) -> str:
    """An SVG element that is as wide as what it stands in."""
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title, quote=True)}">{"".join(ink)}</svg>'


def legend(entries: Sequence[tuple[str, str, bool]]) -> str:
    """Labels beside a stroke of their colour; empty without entries."""
    items = "".join(
        f'<li><span class="key{" dashed" if dashed else ""}" style="--ink:{colour}"></span>{escape(label)}</li>' for label, colour, dashed in entries
    )
    return f'<ul class="legend">{items}</ul>' if items else ""


def scale_key(low: str, high: str, unit: str) -> str:
    """What the colours of a heat map mean."""
    return f'<p class="scale"><span>{escape(low)}</span><span class="ramp"></span><span>{escape(high)} {escape(unit)}</span></p>'


def frame(axes: Axes, x: tuple[float, float], y: tuple[float, float], *, grid: bool = True) -> str:
    """Ticks, their numbers, and what they count."""
    ink = []
    bottom, right = axes.height - BOTTOM, WIDTH - RIGHT
    for value in decades(*y) if axes.log else ticks(min(y), max(y), 5):
        at = bottom - (value - y[0]) / (y[1] - y[0]) * (bottom - TOP)
        if grid:
            ink.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        shown = 10**value if axes.log else value
        ink.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{spoken(shown)}</text>')
    for value in ticks(*x, 6):
        at = LEFT + (value - x[0]) / (x[1] - x[0]) * (right - LEFT)
        at = min(at, WIDTH - 1 - _DIGIT * len(spoken(value)) / 2)  # numbers stay within the drawing
        ink.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{spoken(value)}</text>')
    ink.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    ink.append(f'<text class="label" x="{(LEFT + right) / 2:.0f}" y="{axes.height - 6}" text-anchor="middle">{escape(axes.x)}</text>')
    middle = (TOP + bottom) / 2
    ink.append(f'<text class="label" transform="rotate(-90 11 {middle:.0f})" x="11" y="{middle:.0f}" text-anchor="middle">{escape(axes.y)}</text>')
    return "".join(ink)


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most ``most`` round numbers between two ends."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    base = 10 ** math.floor(math.log10(raw))
    step = next((m * base for m in (1, 2, 5, 10) if m * base >= raw), 10 * base)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Logarithms of round numbers between two logarithms: powers of ten; where there are few, 2 and 5 times these too, or evenly spaced ones."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    many = high - low > 3
    every = [math.log10(m) + k for k in powers for m in ((1,) if many else (1, 2, 5))]
    inside = [value for value in every if low - 1e-9 <= value <= high + 1e-9]
    if len(inside) < 2:
        return [math.log10(value) for value in ticks(10**low, 10**high, 4) if value > 0]
    return inside[:: max(1, len(inside) // 6)]


def spoken(value: float) -> str:
    """A number as short as it can be read."""
    if value == 0 or abs(value) < 1e-12:
        return "0"
    return (
        f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
        if abs(value) < 1e-3 or abs(value) >= 1e5
        else f"{value:.3g}"
        if abs(value) < 1000
        else f"{value:.5g}"
    )


def _finite(arrays: Sequence[np.ndarray]) -> np.ndarray:
    every: np.ndarray = np.concatenate([np.zeros(0), *(np.asarray(a, dtype=np.float64).ravel() for a in arrays)])
    found: np.ndarray = every[np.isfinite(every)]
    return found


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _padded(low: float, high: float) -> tuple[float, float]:
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _there(a: float, b: float) -> bool:
    return math.isfinite(a) and math.isfinite(b)


def _path(x: np.ndarray, y: np.ndarray) -> str:
    parts, fresh = [], True
    for a, b in zip(x, y, strict=True):
        if not _there(a, b):
            fresh = True
            continue
        parts.append(f"{'M' if fresh else 'L'}{a:.1f} {b:.1f}")
        fresh = False
    return "".join(parts)
