"""``python -m lfads_core.recurrence.compiled.check LIBRARY``: does a freshly compiled library compute what the reference computes?"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from lfads_core.recurrence.compiled.controlled import controlled_by
from lfads_core.recurrence.compiled.gru import gru_by
from lfads_core.recurrence.compiled.library import opened
from lfads_core.recurrence.selfcheck import TOLERANCE, difference


def main() -> None:
    """Compare in both types; a difference is told in one line."""
    library = opened(Path(sys.argv[1]))
    for dtype, tolerance in TOLERANCE.items():
        worst = difference(functools.partial(gru_by, library), functools.partial(controlled_by, library), dtype)
        if not worst <= tolerance:
            sys.exit(f"{dtype}: differs from the reference by {worst:.1e}, at most {tolerance:.0e} is rounding")


if __name__ == "__main__":
    main()
