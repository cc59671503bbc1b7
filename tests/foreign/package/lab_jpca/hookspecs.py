"""The hook that lab-jpca declares."""

from collections.abc import Iterable

import pluggy

from lab_jpca.specs import RotationSpec

hookspec = pluggy.HookspecMarker("lfads")


@hookspec
def lfads_rotations() -> Iterable[RotationSpec]:
    """Offer ways to find rotations."""
    yield from ()
