"""What a check of ``lfads doctor`` finds."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from typing import Literal

from attrs import frozen


@frozen(kw_only=True)
class Finding:
    """One line: what was looked at, how it is, and for a ``warn`` or ``fail`` what to do."""

    what: str
    status: Literal["ok", "warn", "fail"]
    text: str
    remedy: str = ""


def find_package(module: str, extra: str, gives: str) -> Finding:
    """Whether a package is there that is asked for on use only, and which extra of ``lfads-core`` brings it."""
    if importlib.util.find_spec(module) is None:
        return Finding(what=module, status="warn", text=f"is not installed: no {gives}", remedy=f'pip install "lfads-core[{extra}]"')
    return Finding(what=module, status="ok", text=f"{version(module)}: {gives}")
