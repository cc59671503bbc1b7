"""Amounts of memory as people write them."""

from __future__ import annotations

import re

from lfads_core.errors import ConfigError

_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", re.IGNORECASE)


def parse_size(text: str, option: str) -> int:
    """``4GB``, ``500 MB`` or ``1.5GiB`` in bytes.

    Raises:
        ConfigError: it is no amount, or none at all.
    """
    found = _FORM.fullmatch(text.strip())
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None or (size := round(float(found[1]) * unit)) < 1:
        raise ConfigError(f"{option}: must be an amount of memory such as 4GB or 500MB, got {text!r}")
    return size
