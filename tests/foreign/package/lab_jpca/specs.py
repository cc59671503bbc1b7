"""The record of lab-jpca's own hook."""

from typing import ClassVar

from attrs import frozen

from lfads_core.plugins import Spec


@frozen(kw_only=True)
class RotationSpec(Spec):
    """One entry of ``lfads_rotations``: a way to find rotations."""

    kind: ClassVar[str] = "rotation"
    planes: int

    def usage(self):
        """The command."""
        return f"lfads jpca RUN --way {self.name}"
