"""What ``lfads doctor`` says about figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lfads_core.doctor.finding import Finding, find_package


def packages(_runs: Path) -> Iterator[Finding]:
    """matplotlib, which is an extra."""
    yield find_package("matplotlib", "plot", "figures")
