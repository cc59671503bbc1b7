"""Where to compute."""

from __future__ import annotations

import torch

from lfads_core.errors import ConfigError


def choose_device(wanted: str) -> str:
    """The device's name; ``auto`` takes CUDA when there is one, else the CPU (MPS is slower than the CPU for small steps).

    Raises:
        ConfigError: the device asked for is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if not there[wanted]:
        found = ", ".join(name for name, here in there.items() if here)
        raise ConfigError(f"train.device: must be a device of this machine ({found}), got {wanted!r}. Use auto, or install torch for that device.")
    return wanted
