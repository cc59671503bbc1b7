"""What lfads-plugins-calcium offers. Importing this module loads no torch: it is loaded when something is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.specs import AugmentationSpec, NoSettings, RecipeSpec, ReconstructionSpec, RecordingSpec, SyntheticSpec
from lfads_plugins_calcium.settings import ZIGConfig
from lfads_plugins_calcium.synthetic_settings import CalciumConfig

if TYPE_CHECKING:
    import numpy as np

    from lfads_core.components import AbstractAugmentation, AbstractReconstruction
    from lfads_core.data.checks import Problem
    from lfads_core.data.session import Session

_EVENTS = {
    "reconstruction": "zero-inflated-gamma",
    "train_augmentations": ["sbtt", "coordinated-dropout"],
    "infer_augmentations": ["sbtt"],
    "loss_order": ["coordinated-dropout", "sbtt"],
}
"""Components for deconvolved events, with or without gaps."""


@hookimpl
def lfads_reconstructions() -> Iterator[ReconstructionSpec]:
    """Zero-inflated gamma."""
    yield ReconstructionSpec(
        name="zero-inflated-gamma",
        summary="Deconvolved calcium events: often none, else gamma-distributed",
        config=ZIGConfig,
        build=_zig,
        inspect=_inspect,
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
        settings={"components": _EVENTS},
        cites=("wei2020", "zhu2022", "keshtkaran2019"),
    )
    yield RecipeSpec(
        name="radical",
        summary="Events on a grid finer than frames, NaN where no frame was taken: as zig, with inputs that last as long in ms",
        # A frame is commonly cut into three bins or so: the time constant of inputs starts three times as many bins as elsewhere.
        settings={"components": {**_EVENTS, "input_prior": {"name": "autoregressive", "tau": 30.0}}},
        cites=("zhu2022", "zhu2021", "wei2020", "keshtkaran2019"),
    )


@hookimpl
def lfads_synthetics() -> Iterator[SyntheticSpec]:
    """Two-photon imaging of known rates."""
    yield SyntheticSpec(
        name="calcium",
        summary="Deconvolved events of cells driven by the Lorenz system, imaged row by row",
        config=CalciumConfig,
        generate=_calcium,
        cites=("zhu2022", "friedrich2017"),
    )


@hookimpl
def lfads_recordings() -> Iterator[RecordingSpec]:
    """What programs that find cells leave behind."""
    for name, summary in (
        ("suite2p", "suite2p's plane folders and Fall.mat: events of its cells"),
        ("caiman", "CaImAn's HDF5: events of its components"),
    ):
        where = "lfads_plugins_calcium.files"
        yield RecordingSpec(name=name, summary=summary, matches=f"{where}:is_{name}", read=f"{where}:read_{name}")


def _zig(settings: ZIGConfig, channels: int) -> AbstractReconstruction:
    from lfads_plugins_calcium.zig import ZeroInflatedGamma

    return ZeroInflatedGamma(settings, channels)


def _inspect(session: Session) -> Iterable[Problem]:
    from lfads_plugins_calcium.checks import inspect_events

    return inspect_events(session)


def _sbtt(_settings: NoSettings) -> AbstractAugmentation:
    from lfads_plugins_calcium.sbtt import SelectiveBackprop

    return SelectiveBackprop()


def _calcium(settings: CalciumConfig, rng: np.random.Generator) -> Mapping[str, np.ndarray | float | str]:
    from lfads_plugins_calcium.synthetic import generate_calcium

    return generate_calcium(settings, rng)
