"""Training curves: every column of ``fitlog.csv`` that has something to show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Real

from lfads_plugins_std.figures.figure import BLUE, COLOURS, INK, ORANGE, dress, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 15
_FIRST = ("total", "recon", "ic_kl", "input_kl", "l2", "bps", "co_bps", "fp_bps", "r2", "lr", "ramp", "grad")
_NO_CURVES = ("epoch", "step", "seconds", "time")
_UNITS = {
    **dict.fromkeys(("bps", "co_bps", "fp_bps"), "bits/spike"),
    **dict.fromkeys(("recon", "heldout", "masked"), "nats/value"),
    **dict.fromkeys(("ic_kl", "input_kl"), "nats/trial"),
}
_SPLIT_COLOURS = {"train": BLUE, "valid": ORANGE, "valid, smoothed": INK}

Series = tuple[str, np.ndarray]


def draw_curves(table: Mapping[str, Real[np.ndarray, " epochs"]]) -> Figure:
    """Draw one panel per quantity over epochs.

    ``table`` holds the columns; ``train/x``, ``valid/x`` and ``valid/x_smooth`` share a panel, and so do all ramps.
    NaN means not measured in that epoch:
    the points beside it are joined. Columns with nothing to show are left out; beyond 15 panels the rest is only counted.
    """
    epochs = np.asarray(table.get("epoch", np.arange(max((len(v) for v in table.values()), default=0))))
    panels = _panels(table)
    shown = panels[:MOST_PANELS]
    columns = min(3, max(1, len(shown)))
    rows = max(1, math.ceil(len(shown) / columns))
    figure = new_figure(3.1 * columns, 1.9 * rows + 0.4)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, lines) in zip(axes, shown, strict=False):
        _draw_panel(ax, name, epochs, lines)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    if len(panels) > len(shown):
        figure.supxlabel(f"{len(panels) - len(shown)} more quantities stand in fitlog.csv", fontsize=7)
    return figure


def _panels(table: Mapping[str, np.ndarray]) -> list[tuple[str, list[Series]]]:
    """Columns that share a panel, the panels in a useful order."""
    panels: dict[str, list[Series]] = {}
    for key, values in table.items():
        split, _, rest = key.partition("/")
        bare = key.rsplit("/", 1)[-1]
        if bare in _NO_CURVES or not np.isfinite(np.asarray(values, dtype=float)).any():
            continue
        if bare.endswith("_ramp"):
            panels.setdefault("ramps", []).append((bare, values))
        elif bare.endswith("_smooth"):
            panels.setdefault(rest.removesuffix("_smooth"), []).append((f"{split}, smoothed", values))
        elif split in _SPLIT_COLOURS:
            panels.setdefault(rest, []).append((split, values))
        else:
            panels.setdefault(key, []).append(("", values))
    return sorted(panels.items(), key=lambda panel: _rank(panel[0]))


def _rank(name: str) -> int:
    """Place of a panel; single sessions' and dimensions' come last."""
    return len(_FIRST) + 1 if "/" in name else next((i for i, word in enumerate(_FIRST) if name.startswith(word)), len(_FIRST))


def _draw_panel(ax: Axes, name: str, epochs: np.ndarray, lines: list[Series]) -> None:
    everything = []
    for i, (label, raw) in enumerate(lines):
        values = np.asarray(raw, dtype=float)
        known = np.isfinite(values)
        everything.append(values[known])
        few = known.sum() <= 30
        colour = _SPLIT_COLOURS.get(label, COLOURS[i % len(COLOURS)])
        ax.plot(epochs[known], values[known], color=colour, lw=1.2, marker="." if few else None, ms=3, label=label or None)
    bare = name.rsplit("/", 1)[-1]
    dress(ax, name, "epoch", _UNITS.get(bare, ""))
    if bare == "lr" and min(v.min() for v in everything) > 0:
        ax.set_yscale("log")
    elif all(len(v) > 20 for v in everything):
        _ignore_the_first_epochs(ax, everything)
    if len(lines) > 1:
        legend(ax)


def _ignore_the_first_epochs(ax: Axes, everything: list[np.ndarray]) -> None:
    """Let the axis fit what follows the first tenth, where costs fall from far above and would flatten the rest."""
    late = np.concatenate([v[len(v) // 10 :] for v in everything])
    every = np.concatenate(everything)
    margin = 0.05 * (late.max() - late.min())
    if margin > 0 and every.max() - every.min() > 4 * (late.max() - late.min()):
        ax.set_ylim(late.min() - margin, late.max() + 3 * margin)
