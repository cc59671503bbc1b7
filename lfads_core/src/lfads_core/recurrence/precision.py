"""Products outside the loops over time in bfloat16, everything else in float32: ``train.precision``.

A training pass runs under :func:`mixed`; what must not, runs in it under :func:`in_full`: the loops, whose states are sums over all bins,
and what priors do to noise. Every product hands its result on in the type of what it was given, so that bfloat16 is never seen outside.
Backward passes and losses are computed outside of :func:`mixed`: bfloat16 products have bfloat16 products as their gradients, which
end in float32 at each float32 tensor.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

from lfads_core.errors import ConfigError

Precision = Literal["float32", "bf16"]
DEVICES = ("cpu", "cuda")
"""Kinds of device that bf16 is for; torch does not know others' state (``meta``)."""


def mixed(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Products in this precision from here on. Nothing is cached: threads that train members of a population share torch's cache."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)


def in_full(like: Tensor) -> AbstractContextManager[object]:
    """Products in the type of their tensors again, on the device of ``like``."""
    if like.device.type in DEVICES and torch.is_autocast_enabled(like.device.type):
        return torch.autocast(like.device.type, enabled=False)
    return nullcontext()


def check_precision(precision: Precision, device: str) -> None:
    """Make sure that a device computes in this precision.

    Raises:
        ConfigError: it does not.
    """
    if precision == "float32":
        return
    kind = device.partition(":")[0]
    if kind == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError(
            f"train.precision: {precision} must have a GPU of compute capability 8.0 or more, got {torch.cuda.get_device_name(device)}. Use float32."
        )
    if kind not in DEVICES:
        raise ConfigError(f"train.precision: {precision} must have a CPU or a CUDA device, got {device}. Use float32.")
