"""Array helpers that work for real and for complex numbers.

The oracle takes its gradients by complex steps: a weight is moved by ``1e-30 i`` and the imaginary part of the result, divided by ``1e-30``,
is the derivative, exact to rounding. So every operation here must be analytic in its argument; where LFADS uses a comparison (clip, floor)
the comparison looks at the real part only.

Axes: any array may carry extra axes in front (one entry per moved weight). The axes with a meaning are counted from the end.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # float64, or complex128 while differentiating; whole numbers in a few given arrays


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + np.exp(-x))


def clip(x: Array, limit: float) -> Array:
    """Limit the real part to [-limit, limit]; a clipped entry passes no derivative."""
    return np.where(x.real > limit, limit, np.where(x.real < -limit, -limit, x))


def floor(x: Array, lowest: float) -> Array:
    """Largest of ``x`` and ``lowest``; a floored entry passes no derivative."""
    return np.where(x.real < lowest, lowest, x)


def floor_value_only(x: Array, lowest: float) -> Array:
    """Largest of ``x`` and ``lowest``, but the derivative is that of ``x`` everywhere."""
    return np.where(x.real < lowest, x - x.real + lowest, x)


def only_derivative_where(x: Array, mask: Array) -> Array:
    """The value of ``x``, with the derivative multiplied by ``mask``."""
    return x.real + 1j * (x.imag * mask) if np.iscomplexobj(x) else x


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """``x @ weight.T + bias`` for x (..., B, I), weight (..., O, I), bias (..., O)."""
    y = x @ np.swapaxes(weight, -1, -2)
    return y if bias is None else y + bias[..., None, :]


def concat(parts: list[Array], axis: int) -> Array:
    """Concatenate along ``axis`` (negative), repeating extra axes in front where a part lacks them."""
    rank = max(p.ndim for p in parts)
    full = [p.reshape((1,) * (rank - p.ndim) + p.shape) for p in parts]
    front = np.broadcast_shapes(*(tuple(1 if i == rank + axis else n for i, n in enumerate(p.shape)) for p in full))
    return np.concatenate([np.broadcast_to(p, (*front[: rank + axis], p.shape[axis], *front[rank + axis + 1 :])) for p in full], axis)


def stack_bins(bins: list[Array]) -> Array:
    """Turn T arrays (..., B, C) into one (..., B, T, C)."""
    return np.stack(np.broadcast_arrays(*bins), axis=-2)
