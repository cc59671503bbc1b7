"""The one door to matplotlib, which is an extra: a part of it is imported where it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lfads_core.errors import LfadsError


def part(name: str = "") -> Any:
    """matplotlib, or a module of it such as ``ticker``; pyplot and its global state are never wanted.

    Raises:
        LfadsError: matplotlib is not installed.
    """
    try:
        return import_module(f"matplotlib.{name}".rstrip("."))
    except ImportError as err:
        raise LfadsError('plots: matplotlib must be installed, got none. Run: pip install "lfads-core[plot]"') from err
