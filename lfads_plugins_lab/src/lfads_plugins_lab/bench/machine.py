"""Where a number was measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from lfads_core import __version__


def machine(device: str) -> dict[str, object]:
    """Names of processor, graphics card and versions."""
    return {
        "device": device,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "lfads_core": __version__,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def cpu_name() -> str:
    """The processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
