"""``python -m lfads_plugins_std.compiled.check LIBRARY``: does a freshly compiled library compute what the reference computes?"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from lfads_core.recurrence.choose import Recurrence
from lfads_core.recurrence.selfcheck import TOLERANCE, difference
from lfads_plugins_std.compiled.controlled import controlled
from lfads_plugins_std.compiled.driven import driven
from lfads_plugins_std.compiled.gru import gru, last
from lfads_plugins_std.compiled.library import Library, opened


def loops_of(library: Library) -> Recurrence:
    """The backend whose C code is this library."""
    own = functools.partial
    return Recurrence.of(
        "compiled", own(gru, library=library), own(controlled, library=library), own(last, library=library), own(driven, library=library)
    )


def main() -> None:
    """Compare in both types; a difference is told in one line."""
    library = opened(Path(sys.argv[1]))
    for dtype, tolerance in TOLERANCE.items():
        worst = difference(loops_of(library), dtype)
        if not worst <= tolerance:
            sys.exit(f"{dtype}: differs from the reference by {worst:.1e}, at most {tolerance:.0e} is rounding")


if __name__ == "__main__":
    main()
