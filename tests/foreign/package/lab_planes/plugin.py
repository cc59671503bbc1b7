"""What lab-planes offers, through the hook of lab-jpca."""

from lab_jpca.specs import RotationSpec

from lfads_core.plugins import hookimpl


@hookimpl
def lfads_rotations():
    yield RotationSpec(name="fourier", summary="Planes of one frequency", planes=3)
