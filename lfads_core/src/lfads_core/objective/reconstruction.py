"""Per-value reconstruction losses to one number."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor


def reduce_reconstruction(loss: Float[Tensor, "B T N"], how: Literal["mean", "sum"]) -> Float[Tensor, ""]:
    """Mean over trials, bins and channels; or sum over bins and channels, then mean over trials."""
    values = loss.numel() if how == "mean" else loss.shape[0]
    return loss.sum() / values  # whose gradient is one number; that of a mean would be written out value by value
