"""Ticks whose numbers are few and read at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from lfads_plugins_std.figures.door import part

_MOST = 5


def few_ticks(axis: Any) -> None:
    """At most five numbers on a linear axis, small and large ones with a common power of ten."""
    form = part("ticker").ScalarFormatter()
    form.set_powerlimits((-2, 4))
    axis.set_major_formatter(form)
    axis.set_major_locator(part("ticker").MaxNLocator(_MOST))


def whole_ticks(axis: Any) -> None:
    """Whole numbers only, for epochs and generations."""
    axis.set_major_locator(part("ticker").MaxNLocator(7, steps=(1, 2, 5, 10), integer=True))


def rate_ticks(axis: Any, low: float, high: float) -> None:
    """Two to five plain numbers, such as 0.001, 0.002, 0.005, for positive values that may span decades; one for a single value.

    Values within a factor of three have a linear axis, others a logarithmic one.
    """
    ticker = part("ticker")
    if high < 3 * low:
        ticks = np.array([low]) if high == low else np.asarray(ticker.MaxNLocator(_MOST - 1, steps=(1, 2, 5, 10)).tick_values(low, high))
        axis.set_view_interval(low - 0.05 * max(high - low, 4 * low), high + 0.05 * max(high - low, 4 * low), ignore=True)
    else:
        ticks = log_numbers(low, high)
        axis.axes.set_yscale("log") if axis.axis_name == "y" else axis.axes.set_xscale("log")
        axis.set_view_interval(low * 0.9, high * 1.1, ignore=True)
    axis.set_major_locator(ticker.FixedLocator(ticks.tolist()))
    axis.set_major_formatter(ticker.FixedFormatter([f"{tick:.6g}" for tick in ticks]))
    axis.set_minor_locator(ticker.NullLocator())


def log_numbers(low: float, high: float) -> Float[np.ndarray, " n"]:
    """Round numbers within the range, of every decade 1, 2 and 5, or 1 and 3, or 1, or 1 of every second, third... decade: at most five."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    finest = [np.ravel(10.0 ** decades[:, None] * np.array(steps)) for steps in ((1, 2, 5), (1, 3), (1,))]
    coarser = [10.0 ** decades[::every] for every in range(2, len(decades) + 1)]
    inside = [ticks[(ticks >= low * (1 - 1e-9)) & (ticks <= high * (1 + 1e-9))] for ticks in (*finest, *coarser)]
    found: np.ndarray = next(ticks for ticks in inside if len(ticks) <= _MOST)
    return found
