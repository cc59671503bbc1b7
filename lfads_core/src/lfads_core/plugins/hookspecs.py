"""The doors a plugin can come through, but for parts of the model and for notifications. Their names and types are the contract."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

import pluggy

from lfads_core.plugins.specs import (
    CommandSpec,
    DataReaderSpec,
    DoctorCheckSpec,
    ExporterSpec,
    FunctionSpec,
    MetricSpec,
    RecipeSpec,
    RecordingSpec,
    RecurrenceSpec,
    ReportSectionSpec,
    ReportSpec,
    SettingsSpec,
    SettingTypeSpec,
    SyntheticSpec,
    TrackerSpec,
)

PROJECT = "lfads"
"""pluggy's project name, and the entry-point group of every plugin package."""

DECLARES = "lfads_hooks"
"""The hook through which a plugin declares hooks of its own."""

hookimpl = pluggy.HookimplMarker(PROJECT)
_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec
def lfads_recipes() -> Iterable[RecipeSpec]:
    """Offer named bundles of settings for ``--plugin NAME``.

    Example::

        @hookimpl
        def lfads_recipes():
            yield RecipeSpec(name="binned-lfp", summary="Gaussian LFP power", settings={"components": {"reconstruction": "gaussian"}})
    """
    yield from ()


@_hookspec
def lfads_synthetics() -> Iterable[SyntheticSpec]:
    """Offer generators of data with known rates for ``lfads synth NAME``.

    Example::

        @hookimpl
        def lfads_synthetics():
            yield SyntheticSpec(name="ring", summary="A ring attractor", config=RingConfig, generate=generate_ring)
    """
    yield from ()


@_hookspec
def lfads_data_readers() -> Iterable[DataReaderSpec]:
    """Offer readers of files that are not in the HDF5 layout.

    Example::

        @hookimpl
        def lfads_data_readers():
            yield DataReaderSpec(name="npz", summary="NumPy archives", matches=lambda p: p.suffix == ".npz", read=read_npz)
    """
    yield from ()


@_hookspec
def lfads_metrics() -> Iterable[MetricSpec]:
    """Offer numbers that say how good a run is; they are logged during training and after it.

    Example::

        @hookimpl
        def lfads_metrics():
            yield MetricSpec(name="mean-rate", summary="Mean predicted rate", compute=lambda e: {"mean_rate": float(e.means.mean())})
    """
    yield from ()


@_hookspec
def lfads_reports() -> Iterable[ReportSpec]:
    """Offer figures or pages drawn once a run has finished.

    Example::

        @hookimpl
        def lfads_reports():
            yield ReportSpec(name="spectra", summary="Power spectra of the rates", render=draw_spectra)
    """
    yield from ()


@_hookspec
def lfads_recordings() -> Iterable[RecordingSpec]:
    """Offer formats of raw recordings for `lfads data make`.

    Example::

        @hookimpl
        def lfads_recordings():
            yield RecordingSpec(name="axona", summary="Axona tetrodes", matches=lambda p: p.suffix == ".set", read="lab_axona:read")
    """
    yield from ()


@_hookspec
def lfads_report_sections() -> Iterable[ReportSectionSpec]:
    """Offer sections of a run's page, which `lfads report` draws.

    Example::

        @hookimpl
        def lfads_report_sections():
            yield ReportSectionSpec(name="jpca", summary="Rotations", title="jPCA", draw="lab_jpca.page:section")
    """
    yield from ()


@_hookspec
def lfads_exporters() -> Iterable[ExporterSpec]:
    """Offer ways to write a trained run in another form.

    Example::

        @hookimpl
        def lfads_exporters():
            yield ExporterSpec(name="npz", summary="Rates and factors as .npz", write="lab_npz:write")
    """
    yield from ()


@_hookspec
def lfads_trackers() -> Iterable[TrackerSpec]:
    """Offer places where runs are recorded while they train.

    Example::

        @hookimpl
        def lfads_trackers():
            yield TrackerSpec(name="wandb", summary="Weights & Biases", open="lab_wandb:open_tracker")
    """
    yield from ()


@_hookspec
def lfads_recurrences() -> Iterable[RecurrenceSpec]:
    """Offer backends of the loops over time, for `train.recurrence`.

    Example::

        @hookimpl
        def lfads_recurrences():
            yield RecurrenceSpec(name="jit", summary="numba", gru="lab_jit:gru", controlled="lab_jit:controlled")
    """
    yield from ()


@_hookspec
def lfads_settings() -> Iterable[SettingsSpec]:
    """Offer groups of settings beside those of core, such as `track` and `search`.

    Example::

        @hookimpl
        def lfads_settings():
            yield SettingsSpec(name="wandb", summary="Weights & Biases", config=WandbConfig, changes_results=False)
    """
    yield from ()


@_hookspec
def lfads_setting_types() -> Iterable[SettingTypeSpec]:
    """Offer types of one's own for settings: a quantity with its unit, an Enum, an array.

    Example::

        @hookimpl
        def lfads_setting_types():
            yield SettingTypeSpec(
                name="window", summary="Shape of a window", cls=Window, phrase="hann or boxcar", structure=Window, unstructure=lambda w: w.value
            )
    """
    yield from ()


@_hookspec
def lfads_commands() -> Iterable[CommandSpec]:
    """Offer commands for `lfads`; a name of two words is a command of a group, such as `data make`.

    Example::

        @hookimpl
        def lfads_commands():
            yield CommandSpec(name="jpca", summary="Find rotations in the factors.", command="lab_jpca.cli:command")
    """
    yield from ()


@_hookspec
def lfads_doctor_checks() -> Iterable[DoctorCheckSpec]:
    """Offer checks of the machine and the installation for `lfads doctor`.

    Example::

        @hookimpl
        def lfads_doctor_checks():
            yield DoctorCheckSpec(name="licence-server", summary="Whether it answers", check="lab_licence:look")
    """
    yield from ()


@_hookspec
def lfads_functions() -> Iterable[FunctionSpec]:
    """Offer methods of runs in Python, `run.jpca()` for a function of the name `run-jpca`.

    Example::

        @hookimpl
        def lfads_functions():
            yield FunctionSpec(name="run-jpca", summary="Find rotations in the factors", call="lab_jpca:jpca")
    """
    yield from ()


@_hookspec
def lfads_hooks() -> Iterable[ModuleType]:
    """Declare hooks of one's own: modules of functions marked with ``pluggy.HookspecMarker("lfads")``.

    One that returns ``Iterable`` of a :class:`~lfads_core.plugins.specs.Spec` makes a new kind of plugin, which the registry finds as any other.

    Example::

        @hookimpl
        def lfads_hooks():
            from lab_rotations import hookspecs
            yield hookspecs
    """
    yield from ()
