"""What a plugin hands over: frozen, checked records that are cheap to import.

A record names a component, says in one line what it is, gives the attrs class that holds its settings, and a
``build`` function. Torch is imported inside ``build``, never by the module that declares the record.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from attrs import field, frozen
from attrs import validators as v

from lfads_core.errors import PluginError
from lfads_core.plugins.citations import citation_key

if TYPE_CHECKING:  # names in annotations, for readers and type checkers: nothing of these is imported
    import numpy as np

    from lfads_core.components import (
        AbstractAugmentation,
        AbstractPrior,
        AbstractReadin,
        AbstractReadout,
        AbstractReconstruction,
        SessionInfo,
    )
    from lfads_core.components.evaluation import Evaluation
    from lfads_core.components.page import Block
    from lfads_core.config.schema import RunConfig
    from lfads_core.data.checks import Problem
    from lfads_core.data.session import Session
    from lfads_core.doctor.finding import Finding
    from lfads_core.infer.loading import LoadedRun
    from lfads_core.runs import Run
    from lfads_core.track.tracker import Tracker

_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*(\.\w+)*")
_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@frozen
class Imported:
    """What ``"module:name"`` names, imported when it is first called, so that declaring it costs nothing."""

    path: str

    def load(self) -> Any:
        """The thing itself.

        Raises:
            PluginError: there is no such module, or nothing of that name in it.
        """
        module, _, names = self.path.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for name in names.split("."):
                found = getattr(found, name)
        except (ImportError, AttributeError) as err:
            raise PluginError(f"{self.path!r}: must be 'module:name' of something that can be imported, got {type(err).__name__}: {err}") from err
        return found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self.load()(*args, **kwargs)


def _imported(value: Callable[..., Any] | str) -> Callable[..., Any]:
    """Converter of fields that take a callable, or ``"module:name"`` of one; what is neither is left to the validator."""
    return Imported(value) if isinstance(value, str) and _PATH.fullmatch(value) else value  # type: ignore[return-value]


def _imported_or_none(value: Callable[..., Any] | str | None) -> Callable[..., Any] | None:
    return None if value is None else _imported(value)


def _strings(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


def _is_function(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not callable(value):
        raise ValueError(f"'{attribute.name}' must be a function, or 'module:name' of one, got {value!r}")


def _is_slug(_instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not _SLUG.fullmatch(value):
        raise ValueError(f"'{attribute.name}' must be lower-case words joined by '-', such as 'my-prior', got {value!r}")


def _is_identifier(_instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", value):
        raise ValueError(f"'{attribute.name}' must be a lower-case word that Python takes for a name, such as 'my_group', got {value!r}")


def _is_command(_instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not 1 <= len(value.split(" ")) <= 2 or not all(map(_SLUG.fullmatch, value.split(" "))):
        raise ValueError(f"'{attribute.name}' must be one lower-case word joined by '-', or two with a space, such as 'data make', got {value!r}")


def _is_attrs_class(_instance: object, attribute: attrs.Attribute[type], value: type) -> None:
    if not (isinstance(value, type) and attrs.has(value)):
        raise ValueError(f"'{attribute.name}' must be an attrs class that holds the component's settings, got {value!r}")


def _is_new_type(_instance: object, attribute: attrs.Attribute[type], value: Any) -> None:
    if not isinstance(value, type) or value in {bool, int, float, str, Path, list, tuple, dict, type(None), object}:
        raise ValueError(f"'{attribute.name}' must be a class that settings do not know by themselves, got {value!r}")


def _name() -> Any:
    return field(validator=_is_slug)


def _summary() -> Any:
    return field(validator=v.and_(v.instance_of(str), v.min_len(1)))


def _settings() -> Any:
    return field(validator=_is_attrs_class)


def _are_citations(_instance: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for cite in value:
        try:
            citation_key(cite)
        except ValueError as err:
            raise ValueError(f"'{attribute.name}': {err}") from err


def _cites() -> Any:
    """BibTeX keys of core's ``citations.bib``, or whole entries (``"@article{doe2025, ...}"``), mixed as needed."""
    return field(default=(), converter=tuple, validator=v.and_(v.deep_iterable(v.instance_of(str)), _are_citations))


@frozen(kw_only=True)
class NoSettings:
    """For components that have nothing to set."""


@frozen(kw_only=True)
class Spec:
    """What every record has: a name, and one line that says what it is.

    A kind of plugin is a subclass of this and one hook spec that returns ``Iterable`` of it (:mod:`lfads_core.plugins.hookspecs`, or a
    module that a plugin gives in ``lfads_hooks``); nothing else names it.
    """

    kind: ClassVar[str]  # the noun for it, in lists and messages
    pickable: ClassVar[bool] = False  # whether `--plugin NAME` looks through this kind
    name: str = _name()
    summary: str = _summary()

    def usage(self) -> str:
        """How a user uses it, as a command or a comment; what is chosen in settings (:class:`ComponentSpec`) is shown as YAML instead."""
        return "# nothing to do: used by itself wherever it applies"


@frozen(kw_only=True)
class ComponentSpec(Spec):
    """What the parts of a model have: settings of their own, a function that builds them, and whom to cite."""

    pickable: ClassVar[bool] = True
    config: type = _settings()
    cites: tuple[str, ...] = _cites()


@frozen(kw_only=True)
class PriorSpec(ComponentSpec):
    """One entry of ``lfads_priors``: a prior over initial conditions or inferred inputs."""

    kind: ClassVar[str] = "prior"
    build: Callable[[Any, int], AbstractPrior] = field(converter=_imported, validator=_is_function)  # (settings, dimensions)


@frozen(kw_only=True)
class ReconstructionSpec(ComponentSpec):
    """One entry of ``lfads_reconstructions``: how factors become a distribution over the data.

    ``inspect(session)`` says what only this reconstruction knows to be wrong with data, beyond its ``support``. Its texts
    begin with the key of the array, such as ``'train_recon_data'``; the file is named for it. It must not change the session.
    """

    kind: ClassVar[str] = "reconstruction"
    build: Callable[[Any, int], AbstractReconstruction] = field(converter=_imported, validator=_is_function)  # (settings, channels)
    inspect: Callable[[Session], Iterable[Problem]] | None = field(default=None, converter=_imported_or_none, validator=v.optional(_is_function))


@frozen(kw_only=True)
class AugmentationSpec(ComponentSpec):
    """One entry of ``lfads_augmentations``: a change to batches, and what it does to the loss."""

    kind: ClassVar[str] = "augmentation"
    build: Callable[[Any], AbstractAugmentation] = field(converter=_imported, validator=_is_function)  # (settings)


@frozen(kw_only=True)
class ReadinSpec(ComponentSpec):
    """One entry of ``lfads_readins``: how a session's channels reach the shared encoders."""

    kind: ClassVar[str] = "readin"
    build: Callable[[Any, SessionInfo], AbstractReadin] = field(converter=_imported, validator=_is_function)  # (settings, session)


@frozen(kw_only=True)
class ReadoutSpec(ComponentSpec):
    """One entry of ``lfads_readouts``: how factors reach a session's channels."""

    kind: ClassVar[str] = "readout"
    build: Callable[[Any, SessionInfo], AbstractReadout] = field(converter=_imported, validator=_is_function)  # (settings, session)


@frozen(kw_only=True)
class RecipeSpec(Spec):
    """One entry of ``lfads_recipes``: a named bundle of settings, picked with ``--plugin NAME``.

    ``settings`` is nested like a config file; the user's own file and ``--set`` win over it.
    """

    kind: ClassVar[str] = "recipe"
    pickable: ClassVar[bool] = True
    settings: Mapping[str, Any] = field(validator=v.instance_of(Mapping))
    cites: tuple[str, ...] = _cites()


@frozen(kw_only=True)
class SyntheticSpec(Spec):
    """One entry of ``lfads_synthetics``: data whose rates are known.

    ``generate(settings, rng)`` returns the arrays of one HDF5 file, keys as in the data layout, and may hold
    ``bin_ms`` (a float) among them; or, for several sessions, such arrays for each session by its name.
    """

    kind: ClassVar[str] = "synthetic"
    config: type = _settings()
    generate: Callable[[Any, np.random.Generator], Mapping[str, Any]] = field(converter=_imported, validator=_is_function)
    cites: tuple[str, ...] = _cites()

    def usage(self) -> str:
        """The command that makes it."""
        return f"lfads synth {self.name}"


@frozen(kw_only=True)
class DataReaderSpec(Spec):
    """One entry of ``lfads_data_readers``: a file format other than the HDF5 layout.

    ``matches(path)`` says quickly, without reading the file, whether this reader takes it.
    """

    kind: ClassVar[str] = "reader"
    matches: Callable[[Path], bool] = field(converter=_imported, validator=_is_function)
    read: Callable[[Path], Session] = field(converter=_imported, validator=_is_function)


@frozen(kw_only=True)
class MetricSpec(Spec):
    """One entry of ``lfads_metrics``: numbers computed from predictions and data, by name.

    ``compute`` gets one split of one session and returns its numbers, or nothing where they make no sense.
    """

    kind: ClassVar[str] = "metric"
    compute: Callable[[Evaluation], Mapping[str, float]] = field(converter=_imported, validator=_is_function)
    cites: tuple[str, ...] = _cites()


@frozen(kw_only=True)
class ReportSpec(Spec):
    """One entry of ``lfads_reports``: figures drawn from a finished run; ``render`` returns the files it wrote."""

    kind: ClassVar[str] = "report"
    render: Callable[[Run, Path], Iterable[Path]] = field(converter=_imported, validator=_is_function)


@frozen(kw_only=True)
class ReportSectionSpec(Spec):
    """One entry of ``lfads_report_sections``: a section of the page that ``lfads report`` makes of a run.

    ``draw(loaded)`` gives its blocks (:mod:`lfads_core.components.page`) in order; nothing leaves the section out. Sections stand in the
    order of ``place``; those of the page itself are at 10, 20, ... 100.
    """

    kind: ClassVar[str] = "report section"
    title: str = field(validator=v.and_(v.instance_of(str), v.min_len(1)))
    draw: Callable[[LoadedRun], Iterable[Block]] = field(converter=_imported, validator=_is_function)
    place: int = field(default=85, validator=v.instance_of(int))


@frozen(kw_only=True)
class ExporterSpec(Spec):
    """One entry of ``lfads_exporters``: a trained run, written in another form.

    ``write(loaded, path)`` writes to ``path``, or where the exporter's files belong if that is None, and returns what it wrote.
    """

    kind: ClassVar[str] = "exporter"
    write: Callable[[LoadedRun, Path | None], Iterable[Path]] = field(converter=_imported, validator=_is_function)


@frozen(kw_only=True)
class TrackerSpec(Spec):
    """One entry of ``lfads_trackers``: a place where runs are recorded while they train.

    ``open(run, config, first_epoch)`` returns a :class:`~lfads_core.track.tracker.Tracker`, or None if the settings do not want it.
    ``first_epoch`` is above 0 for a run that goes on. What it raises, now or later, is one warning; the training goes on.
    """

    kind: ClassVar[str] = "tracker"
    open: Callable[[Run, RunConfig, int], Tracker | None] = field(converter=_imported, validator=_is_function)


@frozen(kw_only=True)
class RecurrenceSpec(Spec):
    """One entry of ``lfads_recurrences``: a backend of the loops over time, chosen by ``train.recurrence``.

    ``gru`` and ``controlled`` have the signatures of :mod:`lfads_core.recurrence.reference`; ``last`` and ``driven``, those of
    :mod:`lfads_core.recurrence.composed` without their first argument, are put together from ``gru`` where they are not given.
    ``obstacle(device, asked=...)`` says in one clause why it cannot run on a device here, or None; ``asked`` says that the user named it, so
    that something may be done about it. ``fastest_on`` names the device types (``cpu``, ``cuda``) on which ``auto`` takes it.
    """

    kind: ClassVar[str] = "recurrence"
    gru: Callable[..., Any] = field(converter=_imported, validator=_is_function)
    controlled: Callable[..., Any] = field(converter=_imported, validator=_is_function)
    last: Callable[..., Any] | None = field(default=None, converter=_imported_or_none, validator=v.optional(_is_function))
    driven: Callable[..., Any] | None = field(default=None, converter=_imported_or_none, validator=v.optional(_is_function))
    obstacle: Callable[..., str | None] | None = field(default=None, converter=_imported_or_none, validator=v.optional(_is_function))
    fastest_on: tuple[str, ...] = field(default=(), converter=_strings, validator=v.deep_iterable(v.instance_of(str)))

    def usage(self) -> str:
        """The setting that chooses it."""
        return f"lfads run DATA --set train.recurrence={self.name}"


@frozen(kw_only=True)
class SettingsSpec(Spec):
    """One entry of ``lfads_settings``: a group of settings at the top of the file, under its name.

    ``optional`` groups are null unless somebody writes them. ``changes_results`` is False for what only says where a run is computed or
    recorded: such a group may change when a run is resumed, and two runs that differ in it alone are the same.
    """

    kind: ClassVar[str] = "settings"
    name: str = field(validator=_is_identifier)
    config: type = _settings()
    optional: bool = field(default=False, validator=v.instance_of(bool))
    changes_results: bool = field(default=True, validator=v.instance_of(bool))

    def usage(self) -> str:
        """The command that explains them."""
        return f"lfads config explain {self.name}"


@frozen(kw_only=True)
class SettingTypeSpec(Spec):
    """One entry of ``lfads_setting_types``: a class of values that settings may have beside numbers, texts and their like.

    ``structure(value)`` makes an instance of ``cls`` from plain data, as it stands in a settings file, and raises ValueError with what must
    hold; ``unstructure(instance)`` gives plain data (null, true, finite numbers, text, lists, mappings by text) that ``structure`` reads back to
    an equal instance. ``phrase`` says in messages what a value must be, such as ``a duration such as '5 ms'``.
    """

    kind: ClassVar[str] = "setting type"
    cls: type = field(validator=_is_new_type)
    structure: Callable[[Any], Any] = field(converter=_imported, validator=_is_function)
    unstructure: Callable[[Any], Any] = field(converter=_imported, validator=_is_function)
    phrase: str = _summary()

    def usage(self) -> str:
        """What a plugin's author writes."""
        return f"# in a plugin's settings: a field of type {self.cls.__name__}"


@frozen(kw_only=True)
class CommandSpec(Spec):
    """One entry of ``lfads_commands``: ``lfads NAME``; a name of two words, ``data make``, is a command of the group ``data``.

    ``command`` is a click command, or ``"module:name"`` of one, which is imported when it is invoked.
    """

    kind: ClassVar[str] = "command"
    name: str = field(validator=_is_command)
    command: Any = field(converter=_imported)

    def usage(self) -> str:
        """The command."""
        return f"lfads {self.name} --help"


@frozen(kw_only=True)
class DoctorCheckSpec(Spec):
    """One entry of ``lfads_doctor_checks``: ``check(runs)`` gets the folder of runs and yields what it found, as findings."""

    kind: ClassVar[str] = "doctor check"
    check: Callable[[Path], Iterable[Finding]] = field(converter=_imported, validator=_is_function)

    def usage(self) -> str:
        """The command that runs it."""
        return "lfads doctor"
