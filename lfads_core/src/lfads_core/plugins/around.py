"""Records of what stands around the model: recordings, pages, exports, trackers, loops, settings, commands, checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from attrs import field, frozen
from attrs import validators as v

from lfads_core.plugins.record import SLUG, Spec, imported, imported_or_none, is_function, is_settings_class, strings

if TYPE_CHECKING:  # names in annotations, for readers and type checkers: nothing of these is imported
    from lfads_core.components.page import Block
    from lfads_core.config.schema import RunConfig
    from lfads_core.doctor.finding import Finding
    from lfads_core.infer.loading import LoadedRun
    from lfads_core.runs import Run
    from lfads_core.track.tracker import Tracker


def _is_identifier(_instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", value):
        raise ValueError(f"'{attribute.name}' must be a lower-case word that Python takes for a name, such as 'my_group', got {value!r}")


def _is_new_type(_instance: object, attribute: attrs.Attribute[type], value: Any) -> None:
    if not isinstance(value, type) or value in {bool, int, float, str, Path, list, tuple, dict, type(None), object}:
        raise ValueError(f"'{attribute.name}' must be a class that settings do not know by themselves, got {value!r}")


def _has_defaults(_instance: object, attribute: attrs.Attribute[type], value: type) -> None:
    try:
        value()
    except Exception as err:
        raise ValueError(
            f"'{attribute.name}' must have a default for each setting that its rule accepts, but {value.__name__}() fails: {err}"
        ) from err


def _is_command(_instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not 1 <= len(value.split(" ")) <= 2 or not all(map(SLUG.fullmatch, value.split(" "))):
        raise ValueError(f"'{attribute.name}' must be one lower-case word joined by '-', or two with a space, such as 'data make', got {value!r}")


@frozen(kw_only=True)
class RecordingSpec(Spec):
    """One entry of ``lfads_recordings``: a format of raw recordings that ``lfads data make`` reads.

    ``matches(path)`` says quickly, without reading it, whether a file or folder is of this format. ``read(path, options)`` returns the arrays by
    the names that an .npz archive would give them (spike times, units, trials, signals, ``bin_ms``: the page on raw recordings), or a recording of
    lfads-plugins-lab; ``options`` are its ``SourceOptions``. What it raises is told in one sentence. ``suggest(path)`` gives the command that makes
    such a file into one for training, with the options that it is likely to need; who trains on a raw file is told it.
    """

    kind: ClassVar[str] = "recording format"
    all_are_used: ClassVar[bool] = True
    matches: Callable[[Path], bool] = field(converter=imported, validator=is_function)
    read: Callable[[Path, Any], Any] = field(converter=imported, validator=is_function)
    suggest: Callable[[Path], str] | None = field(default=None, converter=imported_or_none, validator=v.optional(is_function))

    def usage(self) -> str:
        """The command that reads it."""
        return "lfads data make RECORDING -o FILE.h5"


@frozen(kw_only=True)
class ReportSectionSpec(Spec):
    """One entry of ``lfads_report_sections``: a section of the page that ``lfads report`` makes of a run.

    ``draw(loaded)`` gives its blocks (:mod:`lfads_core.components.page`) in order; nothing leaves the section out. Sections stand in the
    order of ``place``; those of the page itself are at 10, 20, ... 100.
    """

    kind: ClassVar[str] = "report section"
    all_are_used: ClassVar[bool] = True
    title: str = field(validator=v.and_(v.instance_of(str), v.min_len(1)))
    draw: Callable[[LoadedRun], Iterable[Block]] = field(converter=imported, validator=is_function)
    place: int = field(default=85, validator=v.instance_of(int))


@frozen(kw_only=True)
class ExporterSpec(Spec):
    """One entry of ``lfads_exporters``: a trained run, written in another form.

    ``write(loaded, path)`` writes to ``path``, or where the exporter's files belong if that is None, and returns what it wrote.
    """

    kind: ClassVar[str] = "exporter"
    write: Callable[[LoadedRun, Path | None], Iterable[Path]] = field(converter=imported, validator=is_function)

    def usage(self) -> str:
        """The command that writes it."""
        return f"lfads export RUN --to {self.name} PATH"


@frozen(kw_only=True)
class TrackerSpec(Spec):
    """One entry of ``lfads_trackers``: a place where runs are recorded while they train.

    ``open(run, config, first_epoch)`` returns a :class:`~lfads_core.track.tracker.Tracker`, or None if the settings do not want it.
    ``first_epoch`` is above 0 for a run that goes on. What it raises, now or later, is one warning; the training goes on. It is opened for each
    member of a search too, in the process that drives the search, unless ``members`` is False: then it hears of searches in another way.
    """

    kind: ClassVar[str] = "tracker"
    all_are_used: ClassVar[bool] = True
    open: Callable[[Run, RunConfig, int], Tracker | None] = field(converter=imported, validator=is_function)
    members: bool = field(default=True, validator=v.instance_of(bool))


@frozen(kw_only=True)
class RecurrenceSpec(Spec):
    """One entry of ``lfads_recurrences``: a backend of the loops over time, chosen by ``train.recurrence``.

    ``gru`` and ``controlled`` have the signatures of :mod:`lfads_core.recurrence.reference`; ``last`` and ``driven``, those of
    :mod:`lfads_core.recurrence.composed` without their first argument, are put together from ``gru`` where they are not given.
    ``obstacle(device, asked=...)`` says in one clause why it cannot run on a device here, or None; ``asked`` says that the user named it, or
    that a training begins, so that something may be done about it. ``fastest_on`` names the device types (``cpu``, ``cuda``) on which ``auto``
    takes it.
    """

    kind: ClassVar[str] = "recurrence"
    gru: Callable[..., Any] = field(converter=imported, validator=is_function)
    controlled: Callable[..., Any] = field(converter=imported, validator=is_function)
    last: Callable[..., Any] | None = field(default=None, converter=imported_or_none, validator=v.optional(is_function))
    driven: Callable[..., Any] | None = field(default=None, converter=imported_or_none, validator=v.optional(is_function))
    obstacle: Callable[..., str | None] | None = field(default=None, converter=imported_or_none, validator=v.optional(is_function))
    fastest_on: tuple[str, ...] = field(default=(), converter=strings, validator=v.deep_iterable(v.instance_of(str)))

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
    all_are_used: ClassVar[bool] = True
    name: str = field(validator=_is_identifier)
    config: type = field(validator=[is_settings_class, _has_defaults])
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
    structure: Callable[[Any], Any] = field(converter=imported, validator=is_function)
    unstructure: Callable[[Any], Any] = field(converter=imported, validator=is_function)
    phrase: str = field(validator=v.and_(v.instance_of(str), v.min_len(1)))

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
    command: Any = field(converter=imported)

    def usage(self) -> str:
        """The command."""
        return f"lfads {self.name} --help"


@frozen(kw_only=True)
class DoctorCheckSpec(Spec):
    """One entry of ``lfads_doctor_checks``: ``check(runs)`` gets the folder of runs and yields what it found, as findings."""

    kind: ClassVar[str] = "doctor check"
    all_are_used: ClassVar[bool] = True
    check: Callable[[Path], Iterable[Finding]] = field(converter=imported, validator=is_function)

    def usage(self) -> str:
        """The command that runs it."""
        return "lfads doctor"


@frozen(kw_only=True)
class FunctionSpec(Spec):
    """One entry of ``lfads_functions``: a function behind a name of the Python front door.

    ``run-NAME`` is a method of every run that ``lf.run`` and ``lf.load`` give: ``run.NAME(...)`` calls it with the run first. Those of core's own
    methods (``run-evaluate`` behind ``run.evaluate()``) and ``recording-NAME`` behind ``lf.Recording.NAME(...)`` come from packages of this project.
    """

    kind: ClassVar[str] = "function"
    call: Callable[..., Any] = field(converter=imported, validator=is_function)

    def usage(self) -> str:
        """What a user writes."""
        owner, _, name = self.name.partition("-")
        return f"{'lf' if not name else owner}.{(name or owner).replace('-', '_')}(...)  # in Python"
