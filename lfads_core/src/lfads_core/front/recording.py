"""A recording as an object: made from arrays, spike times, raw files or pynapple's objects, looked at, checked and saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from lfads_core.data.checks import Problem
from lfads_core.data.layout import session_from_arrays
from lfads_core.data.memory import room_for_data
from lfads_core.data.read import read_sessions
from lfads_core.data.session import Session
from lfads_core.data.summary import SessionSummary
from lfads_core.data.write import write_session
from lfads_core.errors import ConfigError, DataError
from lfads_core.front.brought import as_count, as_names, as_one, as_overrides, as_path, brought
from lfads_core.front.options import ArrayOptions, CutOptions, FileOptions
from lfads_core.front.tables import look_at, shown_problems, shown_sessions, wishes_of
from lfads_core.front.words import said_in_python
from lfads_core.plugins import SyntheticSpec, load_registry
from lfads_core.runs import free_folder
from lfads_core.screen import as_html, as_text

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One session: trials of equal bins in splits, and what rides along with them. It never changes; it is shown as a table in a notebook."""

    session: Session
    notes: tuple[Problem, ...] = ()  # what there was to say when it was made

    @classmethod
    @said_in_python
    def from_arrays(
        cls,
        counts: np.ndarray,
        *,
        bin_ms: float | None = None,
        conditions: Sequence[Any] | np.ndarray | None = None,
        behaviour: np.ndarray | None = None,
        channel_names: Sequence[str] | None = None,
        split: Sequence[str] | np.ndarray | None = None,
        trials: Any = None,
        **options: Unpack[ArrayOptions],
    ) -> Recording:
        """Make a recording of values in bins, (trials, bins, channels); NaN and what is masked is not observed.

        ``conditions`` are labels of the trials, numbers or words; ``behaviour`` (trials, bins, dimensions) is decoded as a score; ``split`` says
        train, valid or test for each trial (without it every fifth is for validation, at random within conditions; trials that are only to be
        inferred are all ``test``); ``trials`` has further columns by name, such as ``start_s``, when each began on the session's clock.

        Raises:
            DataError: arrays that do not fit together.
        """
        made: Recording = brought("recording-from-arrays")(
            counts, bin_ms=bin_ms, conditions=conditions, behaviour=behaviour, channel_names=channel_names, split=split, trials=trials, **options
        )
        return made

    @classmethod
    @said_in_python
    def from_spikes(
        cls,
        times: Mapping[Any, Any] | np.ndarray,
        units: np.ndarray | None = None,
        trials: Any = None,
        *,
        series: Mapping[str, tuple[Any, Any]] | None = None,
        **options: Unpack[CutOptions],
    ) -> Recording:
        """Make a recording of spike times in seconds: by unit, or in one array beside that of each one's unit.

        ``trials`` is a table (a pandas DataFrame or arrays by name) with ``start`` and ``stop``, and columns for events and conditions; without
        ``stop`` the end is ``after`` the event. ``series`` are signals by name, each the times of its samples in seconds and their values,
        (samples,) or (samples, dimensions); ``behaviour="hand"`` decodes one as a score.

        Raises:
            DataError: times, trials and signals that do not fit together.
        """
        made: Recording = brought("recording-from-spikes")(times, units, trials, series=series, **options)
        return made

    @classmethod
    @said_in_python
    def from_nwb(cls, path: str | Path, **options: Unpack[FileOptions]) -> Recording:
        """Make a recording of the units and trials of an NWB file.

        Raises:
            DataError: pynwb is missing, or the file lacks what it takes.
        """
        made: Recording = brought("recording-from-raw")(path, **options)
        return made

    @classmethod
    @said_in_python
    def from_mat(cls, path: str | Path, **options: Unpack[FileOptions]) -> Recording:
        """Make a recording of a MAT-file of any version: binned arrays, spike times, or structures of trials.

        Raises:
            DataError: the file lacks what it takes.
        """
        made: Recording = brought("recording-from-raw")(path, **options)
        return made

    @classmethod
    @said_in_python
    def from_pynapple(cls, units: Any, trials: Any = None, *, series: Mapping[str, Any] | None = None, **options: Unpack[CutOptions]) -> Recording:
        """Make a recording of a ``TsGroup``, an ``IntervalSet`` of trials (its metadata are columns), and ``Tsd`` or ``TsdFrame`` by name.

        Raises:
            DataError: an object is of another kind.
        """
        made: Recording = brought("recording-from-pynapple")(units, trials, series=series, **options)
        return made

    @classmethod
    @said_in_python
    def from_file(cls, path: str | Path) -> Recording:
        """Open a file of the layout (``lfads data make``, ``lfads synth``, or your own); one larger than memory stays on disk.

        Raises:
            DataError: it cannot be read; a raw recording is told how to be made into one.
        """
        sessions = read_sessions([as_path("path", path)], load_registry(), required=(), room=room_for_data())
        if len(sessions) > 1:
            raise DataError(f"{path}: must be one file, got {len(sessions)}. Give them to lf.run as they are, or open them one by one.")
        return cls(session=sessions[0])

    @classmethod
    @said_in_python
    def of(cls, name: str, arrays: Mapping[str, Any], attributes: Mapping[str, Any], notes: Sequence[Problem] = ()) -> Recording:
        """Make a recording of arrays under the keys of a file, ``train_encod_data`` and so on.

        Raises:
            DataError: a key is missing, or they do not fit together.
        """
        return cls(session=session_from_arrays(name, arrays, attributes, required=()), notes=tuple(notes))

    @property
    def name(self) -> str:
        """The session's name."""
        return self.session.name

    @property
    def bin_ms(self) -> float | None:
        """Width of a bin in ms, if it is known."""
        return self.session.bin_ms

    @cached_property
    def summary(self) -> SessionSummary:
        """Sizes and values, in numbers."""
        return look_at(self.session, wishes_of((), load_registry()), load_registry())[0]

    @property
    def problems(self) -> list[Problem]:
        """What ``lfads data check`` says, and what there was to say when it was made."""
        return [*self.notes, *self.check()]

    @property
    def data(self) -> xr.DataArray:
        """Values to reconstruct, (trial, time, unit), labelled, in the recording's own order of trials and channels."""
        labelled: xr.DataArray = brought("recording-data")(self)
        return labelled

    def check(self, plugin: str | Sequence[str] = (), settings: Mapping[str, Any] | None = None) -> list[Problem]:
        """What is wrong with it, the worst first; for a model with this recipe or component and these settings if they are given.

        Raises:
            ConfigError: settings that do not do.
        """
        registry = load_registry()
        wishes = wishes_of(as_names("plugin", plugin), registry, as_overrides(settings), said="settings")
        return look_at(self.session, wishes, registry)[1]

    @said_in_python
    def save(self, path: str | Path, *, overwrite: bool = False) -> Recording:
        """Write it as a file of the layout, which commands and ``from_file`` read; returns the recording in that file.

        Raises:
            DataError: the file is there already, or cannot be written.
        """
        path, overwrite = as_path("path", path), as_one("overwrite", bool, overwrite)
        if self.session.stored:
            raise DataError(f"{self.session.path}: is a file already, too large for memory. Copy it instead.")
        write_session(self.session, path, {}, overwrite=overwrite)
        saved = Recording.from_file(path)
        return Recording(session=saved.session, notes=self.notes)

    def _parts(self) -> list[Any]:
        return [*shown_sessions([self.summary]), *shown_problems(self.problems)]

    def __repr__(self) -> str:
        """One line."""
        first = next(iter(self.summary.splits.values())).recon
        trials = ", ".join(f"{split.trials} {name}" for name, split in self.summary.splits.items())
        width = "" if self.bin_ms is None else f" of {self.bin_ms:g} ms"
        return f"<Recording {self.name!r}: {trials} trials, {first.shape[1]} bins{width}, {first.shape[2]} channels>"

    def __str__(self) -> str:
        """What ``lfads data check`` prints."""
        return as_text(self._parts())

    def _repr_html_(self) -> str:
        return as_html(self._parts())


def synthetic(name: str, *, seed: int = 0, **settings: Any) -> Recording:
    """Make data whose true rates are known, as ``lfads synth NAME`` does; ``lfads plugins show NAME`` lists a generator's settings.

    Raises:
        PluginError: no generator has this name.
        ConfigError: a setting is wrong, or they ask for several sessions.
    """
    from lfads_core.config.groups import types_of
    from lfads_core.synth.settings import synthetic_settings
    from lfads_core.synth.write import generate

    seed = as_count("seed", seed, 0)
    registry = load_registry()
    spec = registry.get(SyntheticSpec, name)
    chosen = synthetic_settings(spec, as_overrides(settings), registry, said="synthetic")
    made = registry.blame(SyntheticSpec, spec.name, lambda: generate(spec, chosen, seed, types_of(registry)))
    if len(made.sessions) > 1:
        raise ConfigError(
            f"synthetic: must make one recording, got {len(made.sessions)} sessions. Write them with `lfads synth {name} -o FOLDER`, and open each "
            "with Recording.from_file."
        )
    ((session, (arrays, attributes)),) = made.sessions.items()
    return Recording.of(session, arrays, attributes)


Recordings = Recording | str | Path | Sequence[Recording | str | Path]
"""What a run may be given: recordings, files, folders, patterns."""


def as_recordings(given: Recordings) -> list[Recording | str | Path]:
    """One recording or several, as a list.

    Raises:
        DataError: something is none, two have the same name, or there are none.
    """
    found = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    for one in found:
        if not isinstance(one, Recording | str | Path):
            raise DataError(
                f"recording: must be a Recording, a file, a folder or a pattern, or several of these, got {type(one).__name__}. "
                "Arrays go through lf.Recording.from_arrays."
            )
    if not found:
        raise DataError("recording: must be at least one, got an empty list.")
    names = [one.name for one in found if isinstance(one, Recording) and one.session.path is None]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"recording: each must have a name of its own, got {twice[0]!r} twice. Give them names: from_arrays(..., name='monday').")
    return found


def placed(recordings: Recordings, folder: Path) -> list[str | Path]:
    """Files of recordings, and of those in memory such as are written into a folder ``recordings`` within this one.

    Raises:
        DataError: two have the same name, or one cannot be written.
    """
    found: list[str | Path] = []
    place: Path | None = None
    for one in as_recordings(recordings):
        if not isinstance(one, Recording):
            found.append(one)
        elif one.session.path is not None:
            found.append(one.session.path)
        else:
            place = place or free_folder(folder / "recordings")
            found.append(write_session(one.session, place / f"{one.name}.h5", {}))
    return found
