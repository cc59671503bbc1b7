"""Training curves: every column of ``fitlog.csv`` that has something to show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Real

from lfads_plugins_std.figures.colours import BLUE, COLOURS, INK, ORANGE
from lfads_plugins_std.figures.figure import Key, dress, key_of, legend, new_figure, note
from lfads_plugins_std.figures.ticks import few_ticks, rate_ticks, whole_ticks
from lfads_plugins_std.metrics.titles import column_title, sentence, unit_of_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 15
_WIDEST = 38
"""Letters of a panel's title on one line."""

_USUAL = (0.04, 0.96)
"""Between these quantiles lies what a panel must show."""

_FIRST = ("total", "recon", "ic_kl", "input_kl", "l2", "bps", "co_bps", "fp_bps", "r2", "lr", "ramp", "grad")
_RAMPS = "ramps"
_NO_CURVES = ("epoch", "step", "seconds", "time")
_LINES: Key = {
    "training": {"color": BLUE, "lw": 1.2},
    "validation": {"color": ORANGE, "lw": 1.2},
    "validation, smoothed": {"color": INK, "lw": 1.2},
}
_BEST: Mapping[str, Any] = {"color": "#009e73", "lw": 1.0, "ls": (0, (1, 1.5))}
_SPLITS = {"train": "training", "valid": "validation"}

Series = tuple[str, np.ndarray]


def draw_curves(
    table: Mapping[str, Real[np.ndarray, " epochs"]], *, best: int | None = None, cost: str = "nats/value", dimensions: Sequence[str] = ()
) -> Figure:
    """Draw one panel per quantity over the epochs that are done; the log's first epoch, 0, is the first that is done.

    ``table`` holds the columns; ``train/x``, ``valid/x`` and ``valid/x_smooth`` share a panel, and so do all ramps. NaN means not measured in
    that epoch: the points beside it are joined. What was not measured, or was 0 throughout, is left out; beyond 15 panels the rest is only counted.
    ``best`` is the log's epoch whose weights are the best, which is marked; ``cost`` the unit of the reconstruction's cost; ``dimensions`` the
    names of the dimensions of behaviour.
    """
    epochs = np.asarray(table.get("epoch", np.arange(max((len(v) for v in table.values()), default=0)))) + 1
    panels = _panels(table)
    shown = panels[:MOST_PANELS]
    columns = min(3, max(1, len(shown)))
    rows = max(1, math.ceil(len(shown) / columns))
    figure = new_figure(3.1 * columns, 1.9 * rows + 0.6)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, lines) in zip(axes, shown, strict=False):
        _draw_panel(ax, name, epochs, lines)
        heading = fill(sentence(column_title(name, dimensions)), _WIDEST, break_on_hyphens=False)
        dress(ax, heading, "epoch", unit_of_column(name, cost))
        if best is not None:
            ax.axvline(best + 1, zorder=0, **_BEST)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    drawn = {label for _, lines in shown for label, _ in lines}
    key = {label: line for label, line in _LINES.items() if label in drawn}
    marked: Key = {} if best is None else {f"best epoch ({best + 1})": _BEST}
    left = len(panels) - len(shown)
    more: Key = {f"{left} more {'quantity stands' if left == 1 else 'quantities stand'} in fitlog.csv": {"color": "none"}} if left else {}
    key_of(figure, {**key, **marked, **more})
    return figure


def cost_unit(reconstruction: str, reduce: str) -> str:
    """The unit of a reconstruction's cost, by its name in the settings and ``regularisation.reduce``."""
    unit = {"mse": "squared error", "poisson-bps": "negative bits/spike"}.get(reconstruction, "nats")
    return unit if "/" in unit else f"{unit}/{'value' if reduce == 'mean' else 'trial'}"


def _panels(table: Mapping[str, np.ndarray]) -> list[tuple[str, list[Series]]]:
    """Columns that share a panel, the panels in a useful order; each line has the name that a key gives it."""
    panels: dict[str, list[Series]] = {}
    for key, values in table.items():
        split, _, rest = key.partition("/")
        bare = key.rsplit("/", 1)[-1]
        if bare in _NO_CURVES or not np.isfinite(np.asarray(values, dtype=float)).any():
            continue
        if bare.endswith("_ramp") or split == "loss_ramp":
            panels.setdefault(_RAMPS, []).append((column_title(key), values))
        elif bare.endswith("_smooth"):
            panels.setdefault(rest.removesuffix("_smooth"), []).append((f"{_SPLITS[split]}, smoothed", values))
        elif split in _SPLITS:
            panels.setdefault(rest, []).append((_SPLITS[split], values))
        else:
            panels.setdefault(key, []).append(("", values))
    moving = {name: lines for name, lines in panels.items() if name == _RAMPS or any(np.any(values) for _, values in lines)}
    return sorted(moving.items(), key=lambda panel: _rank(panel[0]))


def _rank(name: str) -> int:
    """Place of a panel; single sessions' and dimensions' come last."""
    return len(_FIRST) + 1 if "/" in name else next((i for i, word in enumerate(_FIRST) if name.startswith(word)), len(_FIRST))


def _draw_panel(ax: Axes, name: str, epochs: np.ndarray, lines: list[Series]) -> None:
    everything = []
    for i, (label, raw) in enumerate(lines):
        values = np.asarray(raw, dtype=float)
        known = np.isfinite(values)
        everything.append(values[known])
        style = _LINES.get(label) or {"color": COLOURS[i % len(COLOURS)], "lw": 1.2, "ls": (0, (4, 1 + i)) if i else "-"}
        ax.plot(epochs[known], values[known], **style, marker="." if known.sum() <= 30 else None, ms=3, label=label or None)
    low, high = min(v.min() for v in everything), max(v.max() for v in everything)
    few_ticks(ax.yaxis)
    whole_ticks(ax.xaxis)
    if name == "lr" and low > 0:
        rate_ticks(ax.yaxis, low, high)
    elif name == _RAMPS:
        ax.set_ylim(-0.05, 1.05)
    elif all(len(v) > 20 for v in everything):
        _leave_out_what_flattens(ax, everything)
    if any(label and label not in _LINES for label, _ in lines):
        legend(ax)


def _leave_out_what_flattens(ax: Axes, everything: list[np.ndarray]) -> None:
    """Let the axis fit what is usual after the first tenth: costs fall from far above, and a bad step is far above; the highest is named."""
    late, every = np.concatenate([v[len(v) // 10 :] for v in everything]), np.concatenate(everything)
    low, high = (float(end) for end in np.quantile(late, _USUAL))
    least, most = float(late.min()), float(late.max())
    low, high = (least if least > 2 * low - high else low), (most if most < 2 * high - low else high)
    if high > low and every.max() - every.min() > 4 * (high - low):
        ax.set_ylim(low - 0.05 * (high - low), high + 0.15 * (high - low))
        if most > high:
            note(ax, f"beyond: up to {most:.3g}")
