"""What all of a process shares and no component may change: torch's defaults, and the folder one is in."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_OF_TORCH: Mapping[str, tuple[str, str]] = {
    "torch.get_default_dtype": ("get_default_dtype", "set_default_dtype"),
    "torch.is_grad_enabled": ("is_grad_enabled", "set_grad_enabled"),
    "torch.get_num_threads": ("get_num_threads", "set_num_threads"),
    "torch.are_deterministic_algorithms_enabled": ("are_deterministic_algorithms_enabled", "use_deterministic_algorithms"),
}
_FOLDER = "the current folder"


def world() -> dict[str, Any]:
    """How it is now; of torch nothing before it is loaded, which nothing here does."""
    torch = sys.modules.get("torch")
    of_torch = {} if torch is None else {name: getattr(torch, get)() for name, (get, _) in _OF_TORCH.items()}
    return {**of_torch, _FOLDER: _folder()}


def _folder() -> str | None:
    """None once it is gone."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


def put_back(was: Mapping[str, Any]) -> str:
    """Make it so again, and say what had changed, by names joined by commas. Where torch was loaded since, it is as torch begins."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and "torch.is_grad_enabled" not in was:
        fresh = {"torch.get_default_dtype": torch.float32, "torch.is_grad_enabled": True, "torch.are_deterministic_algorithms_enabled": False}
        was = {**fresh, **was}
    now = world()
    changed = [name for name, value in was.items() if now.get(name) != value and value is not None]
    for name in changed:
        again: Callable[[Any], Any] = os.chdir if name == _FOLDER else getattr(torch, _OF_TORCH[name][1])
        again(was[name])
    return ", ".join(changed)
