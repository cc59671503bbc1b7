"""Non-negative deconvolution of calcium traces: the online active set method (OASIS).

    minimise  ½ |y - c|² + penalty Σ s    with  s_t = c_t - decay c_{t-1} >= 0,  s_0 = c_0 >= 0

where decay = exp(-frame / tau). Source: Friedrich, Zhou & Paninski 2017 (doi:10.1371/journal.pcbi.1005423), algorithm 2, written from the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from lfads_core.errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class Deconvolved:
    """What a trace is made of."""

    calcium: Float[np.ndarray, "*B T"]  # denoised trace c
    events: Float[np.ndarray, "*B T"]  # jumps s of it, as large as the indicator's response; the first is c itself


def deconvolve(traces: Float[np.ndarray, "*B T"], decay: float, *, penalty: float = 0.0, smallest: float = 0.0) -> Deconvolved:
    """Split fluorescence (baseline 0) into events and their exponential decay.

    ``penalty`` is the price of a unit of event. Events below ``smallest`` are not made (the paper's hard threshold, a good guess and
    no longer the exact minimum); 0 gives the exact minimum.

    Raises:
        DataError: a decay outside 0 to 1, or traces with values that are not finite.
    """
    if not 0 <= decay < 1:
        raise DataError(f"deconvolution: the decay per frame must be >= 0 and < 1, got {decay!r}. It is exp(-frame / tau).")
    if not np.isfinite(traces).all():
        raise DataError("deconvolution: traces must be finite, got NaN or infinite values. Cut the trace where frames are missing.")
    flat = np.asarray(traces, dtype=np.float64).reshape(-1, traces.shape[-1])
    calcium = np.stack([_one(trace, decay, penalty, smallest) for trace in flat]) if len(flat) else flat
    events = np.diff(calcium, axis=-1, prepend=0.0)
    events[:, 1:] += (1 - decay) * calcium[:, :-1]
    # Within a pool the jump is 0 but for rounding.
    events[events < 1e-9 * max(1.0, float(np.abs(flat).max(initial=0.0)))] = 0.0
    return Deconvolved(calcium=calcium.reshape(traces.shape), events=events.reshape(traces.shape))


def _one(trace: Float[np.ndarray, " T"], decay: float, penalty: float, smallest: float) -> Float[np.ndarray, " T"]:
    """The denoised trace: pools of frames that decay together, merged backwards while a jump between two would be too small."""
    target = trace - penalty * (1 - decay)
    target[-1:] = trace[-1:] - penalty
    values: list[float] = []  # of a pool's first frame
    weights: list[float] = []  # sum of decay^2k over its frames
    lengths: list[int] = []
    for y in target.tolist():
        value, weight, length = y, 1.0, 1
        while values and value < values[-1] * decay ** lengths[-1] + smallest:
            factor = decay ** lengths[-1]
            total = weights[-1] + factor * factor * weight
            value = (weights[-1] * values[-1] + factor * weight * value) / total
            weight, length = total, length + lengths[-1]
            del values[-1], weights[-1], lengths[-1]
        if not values:
            value = max(value, 0.0)
        values.append(value)
        weights.append(weight)
        lengths.append(length)
    return np.concatenate([value * decay ** np.arange(length) for value, length in zip(values, lengths, strict=True)]) if values else trace
