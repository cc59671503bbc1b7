"""What lfads-plugins-calcium offers. Importing this module loads no torch: it is loaded when something is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.specs import AugmentationSpec, NoSettings, RecipeSpec, ReconstructionSpec
from lfads_plugins_calcium.settings import ZIGConfig

if TYPE_CHECKING:
    from lfads_core.components import AbstractAugmentation, AbstractReconstruction


@hookimpl
def lfads_reconstructions() -> Iterator[ReconstructionSpec]:
    """Zero-inflated gamma."""
    yield ReconstructionSpec(
        name="zero-inflated-gamma",
        summary="Deconvolved calcium events: often none, else gamma-distributed",
        config=ZIGConfig,
        build=_zig,
        cites=("wei2020", "zhu2022"),
    )


@hookimpl
def lfads_augmentations() -> Iterator[AugmentationSpec]:
    """Selective backpropagation through time."""
    yield AugmentationSpec(name="sbtt", summary="Learn from observed values only", config=NoSettings, build=_sbtt, cites=("zhu2022",))


@hookimpl
def lfads_recipes() -> Iterator[RecipeSpec]:
    """Settings for calcium imaging."""
    yield RecipeSpec(
        name="zig",
        summary="Deconvolved calcium events, missing bins allowed: zero-inflated gamma, SBTT, coordinated dropout",
        settings={
            "components": {
                "reconstruction": "zero-inflated-gamma",
                "train_augmentations": ["sbtt", "coordinated-dropout"],
                "infer_augmentations": ["sbtt"],
                "loss_order": ["coordinated-dropout", "sbtt"],
            }
        },
        cites=("wei2020", "zhu2022"),
    )


def _zig(settings: ZIGConfig, channels: int) -> AbstractReconstruction:
    from lfads_plugins_calcium.zig import ZeroInflatedGamma

    return ZeroInflatedGamma(settings, channels)


def _sbtt(_settings: NoSettings) -> AbstractAugmentation:
    from lfads_plugins_calcium.sbtt import SelectiveBackprop

    return SelectiveBackprop()
