"""Per-value reconstruction losses to one number."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor


def reduce_reconstruction(loss: Float[Tensor, "B T N"], how: Literal["mean", "sum"]) -> Float[Tensor, ""]:
    """Mean over trials, bins and channels; or sum over bins and channels, then mean over trials."""
    return loss.mean() if how == "mean" else loss.sum(dim=(-1, -2)).mean()
