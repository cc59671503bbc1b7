"""What lfads-plugins-emg offers. Importing this module loads no torch: it is loaded when something is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.specs import AugmentationSpec, NoSettings, RecipeSpec, ReconstructionSpec, SyntheticSpec
from lfads_plugins_emg.settings import RandomGainConfig, TemporalShiftConfig
from lfads_plugins_emg.synthetic_settings import EMGConfig

if TYPE_CHECKING:
    import numpy as np

    from lfads_core.components import AbstractAugmentation, AbstractReconstruction
    from lfads_core.data.checks import Problem
    from lfads_core.data.session import Session


@hookimpl
def lfads_reconstructions() -> Iterator[ReconstructionSpec]:
    """Gamma."""
    yield ReconstructionSpec(
        name="gamma",
        summary="Positive values, such as EMG envelopes",
        config=NoSettings,
        build=_gamma,
        inspect=_inspect,
        cites=("wimalasena2022",),
    )


@hookimpl
def lfads_augmentations() -> Iterator[AugmentationSpec]:
    """Temporal shift and random gains."""
    yield AugmentationSpec(
        name="temporal-shift",
        summary="Move each channel of each trial in time, against shared artefacts",
        config=TemporalShiftConfig,
        build=_temporal_shift,
        cites=("wimalasena2022",),
    )
    yield AugmentationSpec(
        name="random-gain",
        summary="Make each trial, and each of its channels, larger or smaller",
        config=RandomGainConfig,
        build=_random_gain,
        cites=("um2017",),
    )


@hookimpl
def lfads_recipes() -> Iterator[RecipeSpec]:
    """Settings for muscle recordings.

    A handful of muscles has few factors, and bins of a few milliseconds make long trials, whose cost per step hardly depends on their number:
    a smaller network than for spikes takes more steps in the same time. Random gains are not in the published settings.
    """
    yield RecipeSpec(
        name="emg",
        summary="EMG envelopes: gamma, temporal shift, random gains, coordinated dropout, a small network",
        settings={
            "model": {
                "encoder": {"hidden": 64},
                "controller": {"encoder_hidden": 32, "hidden": 32, "inputs": 3},
                "generator": {"hidden": 64, "ic_size": 32, "factors": 8},
                "dropout": 0.1,
            },
            "components": {
                "reconstruction": "gamma",
                "train_augmentations": ["temporal-shift", "coordinated-dropout", "random-gain"],
            },
        },
        cites=("wimalasena2022", "um2017"),
    )


@hookimpl
def lfads_synthetics() -> Iterator[SyntheticSpec]:
    """Envelopes with shared artefacts."""
    yield SyntheticSpec(name="emg", summary="EMG envelopes of known activations, with artefacts that channels share", config=EMGConfig, generate=_emg)


def _gamma(_settings: NoSettings, _channels: int) -> AbstractReconstruction:
    from lfads_plugins_emg.gamma import Gamma

    return Gamma()


def _temporal_shift(settings: TemporalShiftConfig) -> AbstractAugmentation:
    from lfads_plugins_emg.shift import TemporalShift

    return TemporalShift(settings)


def _random_gain(settings: RandomGainConfig) -> AbstractAugmentation:
    from lfads_plugins_emg.gain import RandomGain

    return RandomGain(settings)


def _inspect(session: Session) -> Iterable[Problem]:
    from lfads_plugins_emg.checks import inspect_envelopes

    return inspect_envelopes(session)


def _emg(settings: EMGConfig, rng: np.random.Generator) -> Mapping[str, np.ndarray | float | str]:
    from lfads_plugins_emg.synthetic import generate_emg

    return generate_emg(settings, rng)
