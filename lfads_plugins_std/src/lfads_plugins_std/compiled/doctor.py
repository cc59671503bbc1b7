"""What ``lfads doctor`` says about the compiled loops."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lfads_core.doctor.finding import Finding
from lfads_plugins_std.compiled.obstacle import obstacle


def loops(_runs: Path) -> Iterator[Finding]:
    """Compiler and compiled loops."""
    compiler = next((found for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name and (found := shutil.which(name))), None)
    clause = obstacle("cpu", asked=False)
    if clause is None:
        yield Finding(what="compiled loops", status="ok", text="there and usable")
    elif compiler is None:
        yield Finding(
            what="compiled loops", status="warn", text="not made, and there is no C compiler", remedy="install gcc or clang, then `lfads compile`"
        )
    else:
        yield Finding(what="compiled loops", status="warn", text=f"not used: {clause}", remedy="lfads compile")
