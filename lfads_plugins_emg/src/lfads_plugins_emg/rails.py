"""Samples at the rails of the converter, counted in the raw signal: filters and means hide them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Real

SHARE = 1e-3
"""More of a channel's samples at an end of its range than this: the converter cut it."""
FEW = 5
"""So few equal samples are chance."""
PILE = 3
"""At a rail there are this many times as many samples as at the next value that occurs."""


def at_rails(raw: Real[np.ndarray, "B S N"]) -> Float[np.ndarray, " N"]:
    """Share of each channel's samples that are at the upper or lower end of its range, where they pile up there."""
    channels = (raw[..., n].ravel().astype(np.float64) for n in range(raw.shape[-1]))
    return np.array([(_piled(values) + _piled(-values)) / max(values.size, 1) for values in channels])


def _piled(values: Real[np.ndarray, " v"]) -> int:
    top = values == values.max(initial=-np.inf)
    count = int(top.sum())
    below = values[~top]
    if count <= FEW or not below.size:
        return 0
    beside = int((below == below.max()).sum())
    return count if count > PILE * beside and count > SHARE / 2 * values.size else 0


def spoken_rails(shares: Float[np.ndarray, " N"], channels: Sequence[str]) -> str | None:
    """A sentence about channels of which too much lies at the rails."""
    worst = [n for n in np.argsort(-shares).tolist() if shares[n] > SHARE]
    if not worst:
        return None
    shown = ", ".join(f"{channels[n]} ({shares[n]:.1%})" for n in worst[:10]) + (f" and {len(worst) - 10} more" if len(worst) > 10 else "")
    return (
        f"is at the converter's rails in channels {shown} of the samples: what went beyond is lost. "
        "Drop such trials or channels, or lower the gain in the next recording."
    )
