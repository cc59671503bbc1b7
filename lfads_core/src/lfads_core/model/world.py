"""What all of a process shares and no component may change: torch's defaults, and the folder one is in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def world() -> dict[str, Any]:
    """How it is now."""
    return {
        "torch.get_default_dtype": torch.get_default_dtype(),
        "torch.is_grad_enabled": torch.is_grad_enabled(),
        "torch.get_num_threads": torch.get_num_threads(),
        "torch.are_deterministic_algorithms_enabled": torch.are_deterministic_algorithms_enabled(),
        "the current folder": str(Path.cwd()),
    }


def put_back(was: Mapping[str, Any]) -> None:
    """Make it so again."""
    torch.set_default_dtype(was["torch.get_default_dtype"])
    torch.set_grad_enabled(was["torch.is_grad_enabled"])
    torch.set_num_threads(was["torch.get_num_threads"])
    torch.use_deterministic_algorithms(was["torch.are_deterministic_algorithms_enabled"])
    os.chdir(was["the current folder"])
