"""The sentence a user gets for a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from lfads_core.plugins.loading import VARIABLE, Installed
from lfads_core.plugins.offers import offered


def explain_missing(noun: str, kinds: Iterable[str] | None, name: str, *, names: Sequence[str], installed: Installed) -> str:
    """Say what is missing, what comes near, what is installed, and who offers it.

    ``names`` are those that are installed for ``kinds``; None stands for every kind, also those that only absent packages declare.
    """
    elsewhere = {other: dist for other, dist in offered(kinds) if other not in names}
    near = difflib.get_close_matches(name, names, n=2) or difflib.get_close_matches(name, elsewhere, n=1, cutoff=0.75)
    parts = [f"no {noun} named {name!r}."]
    if name not in elsewhere and near:
        parts.append(f"Did you mean {' or '.join(map(repr, near))}?")
    parts.append(f"Installed: {', '.join(names) or 'none'}.")
    wanted = name if name in elsewhere else next((other for other in near if other in elsewhere), None)
    if wanted is not None:
        parts.append(who_offers(elsewhere[wanted], installed))
    if installed.faults and name not in elsewhere:
        parts.append(f"Not loaded: {'; '.join(map(str, installed.faults))}.")
    return " ".join(part for part in parts if part)


def who_offers(distribution: str, installed: Installed) -> str:
    """Say that a distribution of this project offers something, and why it is not here all the same."""
    for fault in installed.faults:
        if fault.provider.distribution == distribution:
            return f"{distribution} offers it, but is broken: {fault.reason}"
    if any(provider.distribution == distribution for provider in installed.left_out):
        return f"{distribution} offers it, but {VARIABLE} leaves it out."
    if any(plugin.provider.distribution == distribution for plugin in installed.plugins):
        return f"Another version of {distribution} offers it: pip install --upgrade {distribution}"
    return f"{distribution} offers it: pip install {distribution}"
