"""What lfads-plugins-emg offers. Importing this module loads no torch: it is loaded when something is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.specs import AugmentationSpec, NoSettings, RecipeSpec, ReconstructionSpec
from lfads_plugins_emg.settings import TemporalShiftConfig

if TYPE_CHECKING:
    from lfads_core.components import AbstractAugmentation, AbstractReconstruction


@hookimpl
def lfads_reconstructions() -> Iterator[ReconstructionSpec]:
    """Gamma."""
    yield ReconstructionSpec(
        name="gamma", summary="Positive values, such as EMG envelopes", config=NoSettings, build=_gamma, cites=("wimalasena2022",)
    )


@hookimpl
def lfads_augmentations() -> Iterator[AugmentationSpec]:
    """Temporal shift."""
    yield AugmentationSpec(
        name="temporal-shift",
        summary="Move each channel of each trial in time, against shared artefacts",
        config=TemporalShiftConfig,
        build=_temporal_shift,
        cites=("wimalasena2022",),
    )


@hookimpl
def lfads_recipes() -> Iterator[RecipeSpec]:
    """Settings for muscle recordings."""
    yield RecipeSpec(
        name="emg",
        summary="EMG envelopes: gamma, temporal shift, coordinated dropout",
        settings={
            "components": {
                "reconstruction": "gamma",
                "train_augmentations": ["temporal-shift", "coordinated-dropout"],
            }
        },
        cites=("wimalasena2022",),
    )


def _gamma(_settings: NoSettings, _channels: int) -> AbstractReconstruction:
    from lfads_plugins_emg.gamma import Gamma

    return Gamma()


def _temporal_shift(settings: TemporalShiftConfig) -> AbstractAugmentation:
    from lfads_plugins_emg.shift import TemporalShift

    return TemporalShift(settings)
