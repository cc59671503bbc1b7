"""What a plugin hands over: frozen, checked records that are cheap to import.

A record names a component, says in one line what it is, gives the attrs class that holds its settings, and a
``build`` function. Torch is imported inside ``build``, never by the module that declares the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from attrs import field, frozen
from attrs import validators as v

from lfads_core.plugins.around import (
    CommandSpec,
    DoctorCheckSpec,
    ExporterSpec,
    FunctionSpec,
    RecordingSpec,
    RecurrenceSpec,
    ReportSectionSpec,
    SettingsSpec,
    SettingTypeSpec,
    TrackerSpec,
)
from lfads_core.plugins.record import (
    ComponentSpec,
    Imported,
    NoSettings,
    Spec,
    citations,
    imported,
    imported_or_none,
    is_function,
    is_settings_class,
    settings_class,
)

if TYPE_CHECKING:  # names in annotations, for readers and type checkers: nothing of these is imported
    import numpy as np

    from lfads_core.components import (
        AbstractAlignment,
        AbstractAugmentation,
        AbstractEncoder,
        AbstractGenerator,
        AbstractLatent,
        AbstractLoss,
        AbstractPrior,
        AbstractReadin,
        AbstractReadout,
        AbstractReconstruction,
        EncoderInfo,
        GeneratorInfo,
        LatentInfo,
        LossInfo,
        SessionInfo,
    )
    from lfads_core.components.evaluation import Evaluation
    from lfads_core.data.checks import Problem
    from lfads_core.data.session import Session
    from lfads_core.runs import Run

__all__ = [
    "AlignmentSpec",
    "AugmentationSpec",
    "CommandSpec",
    "ComponentSpec",
    "DataReaderSpec",
    "DoctorCheckSpec",
    "EncoderSpec",
    "ExporterSpec",
    "FunctionSpec",
    "GeneratorSpec",
    "Imported",
    "LatentSpec",
    "LossSpec",
    "MetricSpec",
    "NoSettings",
    "PriorSpec",
    "ReadinSpec",
    "ReadoutSpec",
    "RecipeSpec",
    "ReconstructionSpec",
    "RecordingSpec",
    "RecurrenceSpec",
    "ReportSectionSpec",
    "ReportSpec",
    "SettingTypeSpec",
    "SettingsSpec",
    "Spec",
    "SyntheticSpec",
    "TrackerSpec",
    "imported",
    "imported_or_none",
    "is_function",
]


@frozen(kw_only=True)
class PriorSpec(ComponentSpec):
    """One entry of ``lfads_priors``: a prior over initial conditions or inferred inputs."""

    kind: ClassVar[str] = "prior"
    contract: ClassVar[str] = "lfads_core.components:AbstractPrior"
    build: Callable[[Any, int], AbstractPrior] = field(converter=imported, validator=is_function)  # (settings, dimensions)


@frozen(kw_only=True)
class ReconstructionSpec(ComponentSpec):
    """One entry of ``lfads_reconstructions``: how factors become a distribution over the data.

    ``inspect(session)`` says what only this reconstruction knows to be wrong with data, beyond its ``support``. Its texts
    begin with the key of the array, such as ``'train_recon_data'``; the file is named for it. It must not change the session.
    """

    kind: ClassVar[str] = "reconstruction"
    contract: ClassVar[str] = "lfads_core.components:AbstractReconstruction"
    build: Callable[[Any, int], AbstractReconstruction] = field(converter=imported, validator=is_function)  # (settings, channels)
    inspect: Callable[[Session], Iterable[Problem]] | None = field(default=None, converter=imported_or_none, validator=v.optional(is_function))


@frozen(kw_only=True)
class AugmentationSpec(ComponentSpec):
    """One entry of ``lfads_augmentations``: a change to batches, and what it does to the loss."""

    kind: ClassVar[str] = "augmentation"
    contract: ClassVar[str] = "lfads_core.components:AbstractAugmentation"
    build: Callable[[Any], AbstractAugmentation] = field(converter=imported, validator=is_function)  # (settings)


@frozen(kw_only=True)
class ReadinSpec(ComponentSpec):
    """One entry of ``lfads_readins``: how a session's channels reach the shared encoders."""

    kind: ClassVar[str] = "readin"
    contract: ClassVar[str] = "lfads_core.components:AbstractReadin"
    build: Callable[[Any, SessionInfo], AbstractReadin] = field(converter=imported, validator=is_function)  # (settings, session)


@frozen(kw_only=True)
class ReadoutSpec(ComponentSpec):
    """One entry of ``lfads_readouts``: how factors reach a session's channels."""

    kind: ClassVar[str] = "readout"
    contract: ClassVar[str] = "lfads_core.components:AbstractReadout"
    build: Callable[[Any, SessionInfo], AbstractReadout] = field(converter=imported, validator=is_function)  # (settings, session)


@frozen(kw_only=True)
class EncoderSpec(ComponentSpec):
    """One entry of ``lfads_encoders``: how a trial is read, for the initial condition and for what the controller hears.

    ``causal`` says that it can be built to read forwards alone (``model.controller.causal``), so that models with it can stream.
    """

    kind: ClassVar[str] = "encoder"
    contract: ClassVar[str] = "lfads_core.components:AbstractEncoder"
    build: Callable[[Any, EncoderInfo], AbstractEncoder] = field(converter=imported, validator=is_function)  # (settings, what it is built for)
    causal: bool = field(default=False, validator=v.instance_of(bool))


@frozen(kw_only=True)
class GeneratorSpec(ComponentSpec):
    """One entry of ``lfads_generators``: the dynamics of the latent state."""

    kind: ClassVar[str] = "generator"
    contract: ClassVar[str] = "lfads_core.components:AbstractGenerator"
    build: Callable[[Any, GeneratorInfo], AbstractGenerator] = field(converter=imported, validator=is_function)  # (settings, what it is built for)


def _with_settings_of(base: str, *names: str) -> Callable[[object, attrs.Attribute[type], type], None]:
    """Validator of a class of settings that must have those of a class in :mod:`lfads_core.config.losses`."""

    def check(_instance: object, attribute: attrs.Attribute[type], value: type) -> None:
        known = {f.name for f in attrs.fields(value)}
        if missing := [name for name in names if name not in known]:
            raise ValueError(
                f"'{attribute.name}' must have the settings {', '.join(missing)}, as subclasses of lfads_core.config.losses.{base} have, "
                f"got {value.__qualname__} with {', '.join(sorted(known)) or 'none'}"
            )

    return check


@frozen(kw_only=True)
class LossSpec(ComponentSpec):
    """One entry of ``lfads_losses``: further terms of the loss.

    Its settings are a subclass of :class:`lfads_core.config.losses.LossConfig`, which says how much the terms count and from when.
    """

    kind: ClassVar[str] = "loss"
    contract: ClassVar[str] = "lfads_core.components:AbstractLoss"
    config: type = field(validator=v.and_(is_settings_class, _with_settings_of("LossConfig", "scale", "start_epoch", "increase_epochs")))
    build: Callable[[Any, LossInfo], AbstractLoss] = field(converter=imported, validator=is_function)  # (settings, what it is built for)


@frozen(kw_only=True)
class AlignmentSpec(ComponentSpec):
    """One entry of ``lfads_alignments``: how an adaptation follows a recording that drifts, without labels.

    Its settings are a subclass of :class:`lfads_core.config.losses.AlignmentConfig`. ``steps`` are the optimiser steps it takes where the
    settings say nothing of the length of a training.
    """

    kind: ClassVar[str] = "alignment"
    contract: ClassVar[str] = "lfads_core.components:AbstractAlignment"
    config: type = field(validator=v.and_(is_settings_class, _with_settings_of("AlignmentConfig", "scale", "start_epoch", "increase_epochs")))
    build: Callable[[Any, LossInfo], AbstractAlignment] = field(converter=imported, validator=is_function)  # (settings, what it is built for)
    steps: int = field(default=75, validator=v.and_(v.instance_of(int), v.ge(1)))

    def usage(self) -> str:
        """The command that uses it."""
        return f"lfads adapt RUN NEW_DAY --align {self.name}"


@frozen(kw_only=True)
class LatentSpec(ComponentSpec):
    """One entry of ``lfads_latents``: something more that is inferred about a trial or each of its bins.

    Its settings are a subclass of :class:`lfads_core.config.losses.LatentConfig`, which has the scale of its divergence.
    """

    kind: ClassVar[str] = "latent"
    contract: ClassVar[str] = "lfads_core.components:AbstractLatent"
    config: type = field(validator=v.and_(is_settings_class, _with_settings_of("LatentConfig", "kl")))
    build: Callable[[Any, LatentInfo], AbstractLatent] = field(converter=imported, validator=is_function)  # (settings, what it is built for)


@frozen(kw_only=True)
class RecipeSpec(Spec):
    """One entry of ``lfads_recipes``: a named bundle of settings, picked with ``--plugin NAME``.

    ``settings`` is nested like a config file; the user's own file and ``--set`` win over it.
    """

    kind: ClassVar[str] = "recipe"
    pickable: ClassVar[bool] = True
    settings: Mapping[str, Any] = field(validator=v.instance_of(Mapping))
    cites: tuple[str, ...] = citations()


@frozen(kw_only=True)
class SyntheticSpec(Spec):
    """One entry of ``lfads_synthetics``: data whose rates are known.

    ``generate(settings, rng)`` returns the arrays of one HDF5 file, keys as in the data layout, and may hold
    ``bin_ms`` (a float) among them; or, for several sessions, such arrays for each session by its name.
    """

    kind: ClassVar[str] = "synthetic"
    config: type = settings_class()
    generate: Callable[[Any, np.random.Generator], Mapping[str, Any]] = field(converter=imported, validator=is_function)
    cites: tuple[str, ...] = citations()

    def usage(self) -> str:
        """The command that makes it."""
        return f"lfads synth {self.name}"


@frozen(kw_only=True)
class DataReaderSpec(Spec):
    """One entry of ``lfads_data_readers``: a file format other than the HDF5 layout.

    ``matches(path)`` says quickly, without reading the file, whether this reader takes it.
    """

    kind: ClassVar[str] = "reader"
    all_are_used: ClassVar[bool] = True
    matches: Callable[[Path], bool] = field(converter=imported, validator=is_function)
    read: Callable[[Path], Session] = field(converter=imported, validator=is_function)


@frozen(kw_only=True)
class MetricSpec(Spec):
    """One entry of ``lfads_metrics``: numbers computed from predictions and data, by name.

    ``compute`` gets one split of one session and returns its numbers, or nothing where they make no sense.
    """

    kind: ClassVar[str] = "metric"
    all_are_used: ClassVar[bool] = True
    compute: Callable[[Evaluation], Mapping[str, float]] = field(converter=imported, validator=is_function)
    cites: tuple[str, ...] = citations()


@frozen(kw_only=True)
class ReportSpec(Spec):
    """One entry of ``lfads_reports``: figures drawn from a finished run; ``render`` returns the files it wrote."""

    kind: ClassVar[str] = "report"
    all_are_used: ClassVar[bool] = True
    render: Callable[[Run, Path], Iterable[Path]] = field(converter=imported, validator=is_function)
