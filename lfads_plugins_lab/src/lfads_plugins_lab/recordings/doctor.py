"""What ``lfads doctor`` says about packages that read raw recordings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lfads_core.doctor.finding import Finding, find_package


def packages(_runs: Path) -> Iterator[Finding]:
    """pynwb, which is an extra."""
    yield find_package("pynwb", "nwb", "recordings in NWB")
