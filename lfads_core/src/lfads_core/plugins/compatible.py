"""Whether a plugin was made for this version of core: what its distribution requires, against what is installed."""

from __future__ import annotations

from typing import Any

from lfads_core import __version__

_CORE = "lfads-core"


def incompatibility(dist: Any) -> str | None:
    """Say in a sentence why a distribution, of ``importlib.metadata`` or its backport, is not for this core; None if it is, or does not say.

    Pre-releases of core count as the versions they are, because somebody installed them on purpose.
    """
    try:
        requires = dist.requires or ()
    except Exception:  # noqa: BLE001 - no metadata: the standard library finds nothing then, its backport raises
        return None
    mine = [line for line in requires if line.lower().replace("_", "-").startswith(_CORE)]
    if not mine:
        return None
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    for line in mine:
        try:
            requirement = Requirement(line)
        except InvalidRequirement as err:
            return f"what it requires must be readable, got {line!r} ({' '.join(str(err).split())}). Mend its pyproject.toml"
        if canonicalize_name(requirement.name) != _CORE or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        if not requirement.specifier.contains(__version__, prereleases=True):
            needed = f"{_CORE}{requirement.specifier}"
            return f'needs {needed}, got {__version__}. Install versions that fit: pip install --upgrade {dist.metadata["Name"]} "{needed}"'
    return None
