"""From a file of any kind to a raw recording, and from raw recordings to files that training reads."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lfads_core.data.bounds import Room
from lfads_core.data.hdf5 import attributes_of, opened
from lfads_core.data.listing import datasets_of, from_matlab, values_of
from lfads_core.data.read import session_name
from lfads_core.data.write import write_layout
from lfads_core.errors import DataError, LfadsError
from lfads_core.plugins import Registry, load_registry
from lfads_core.plugins.specs import RecordingSpec
from lfads_core.wording import first_few, one_line
from lfads_plugins_lab.recordings.arrays import source_of
from lfads_plugins_lab.recordings.build import Made, make
from lfads_plugins_lab.recordings.matlab import read_matlab
from lfads_plugins_lab.recordings.nwb import read_nwb
from lfads_plugins_lab.recordings.options import MakeOptions
from lfads_plugins_lab.recordings.pynapple import METADATA, from_saved, saved_as
from lfads_plugins_lab.recordings.raw import Cut, Raw, Series, Trials, Uneven
from lfads_plugins_lab.recordings.tables import read_events, read_series, read_trials, trials_of
from lfads_plugins_std.pickled import objects_of

OWN = "lfads-plugins-lab"
TABLES, HDF5 = (".csv", ".tsv", ".txt"), (".h5", ".hdf5", ".hdf", ".he5")
KINDS = (*TABLES, ".npz", *HDF5, ".mat", ".nwb")
"""Endings of the files that can be read without a further plugin."""


def ends_in(*endings: str) -> Callable[[Path], bool]:
    """Whether a path is no folder and its name ends so."""
    return lambda path: path.suffix.lower() in endings and not path.is_dir()


is_table, is_npz, is_hdf5, is_matlab, is_nwb = ends_in(*TABLES), ends_in(".npz"), ends_in(*HDF5), ends_in(".mat"), ends_in(".nwb")


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How a source is to be understood."""

    trials: Path | None = None  # a table of trials, instead of what the source says
    series: Mapping[str, Path] = field(default_factory=dict)  # tables of signals by name
    keys: Mapping[str, str] = field(
        default_factory=dict
    )  # names of arrays and columns by role, see :data:`lfads_plugins_lab.recordings.arrays.ROLES`
    axes: str | None = None  # order in which axes are stored: trials (b), bins (t), channels (n); None: btn, or what sizes tell
    own_axes: Mapping[str, str] = field(default_factory=dict)  # those of arrays by name
    times_from: str | None = None  # what times of events in a cell for each trial count from, "trial" or "session"; None: what they tell


def read_source(path: str | Path, options: SourceOptions | None = None) -> Raw | Cut | Uneven:
    """Read a recording; the ending of its name says of which kind it is.

    Raises:
        DataError: the kind is unknown, an extra is missing, or the file is at fault.
        ConfigError: an option is.
    """
    path, options = Path(path), options or SourceOptions()
    registry = load_registry()
    formats = sorted(registry.as_offered(RecordingSpec), key=lambda offer: offer[1].distribution == OWN)  # what others know is more special
    spec, provider = next((offer for offer in formats if _takes(registry, offer[0], path)), (None, None))
    if spec is None:
        if path.is_dir():
            raise DataError(f"{path}: must be a file, got a folder. Name the files in it.")
        raise DataError(
            f"{path}: the ending of a recording must be one of {', '.join(KINDS)}, or of a format that a plugin reads, got {path.suffix.lower()!r}. "
            "Rename or convert it."
        )
    if not path.exists():
        raise DataError(f"{path}: must be a file, found nothing there. Check the path.")
    try:
        source = spec.read(path, options)
    except LfadsError:
        raise
    except (Exception, SystemExit) as err:
        raise DataError(f"{path}: must be a whole recording, but {spec.name} of {provider} failed with {one_line(err)}") from err
    if isinstance(source, Mapping):
        where = str(path) if provider is None or provider.distribution == OWN else f"{path}, as {spec.name} of {provider} reads it"
        source = source_of(where, dict(source), options.keys, options.axes, options.own_axes, options.times_from)
    if not isinstance(source, Raw | Cut | Uneven):
        raise DataError(f"{path}: {spec.name} of {provider} must give arrays by name, or a recording, got {type(source).__name__}.")
    return _with_tables(source, options)


def _takes(registry: Registry, spec: RecordingSpec, path: Path) -> bool:
    return bool(registry.shield(RecordingSpec, spec.name, lambda: spec.matches(path), "other formats are tried"))


def _with_tables(source: Raw | Cut | Uneven, options: SourceOptions) -> Raw | Cut | Uneven:
    if options.trials is None and not options.series:
        return source
    if not isinstance(source, Raw):
        raise DataError(f"{source.where}: holds trials of equal bins already, so no table fits it. Leave --trials and --series out.")
    if options.trials is not None:
        source = replace(source, trials=_trials_in(options.trials, options.keys))
    return replace(source, series={**source.series, **{name: _series_in(path) for name, path in options.series.items()}})


def _trials_in(path: Path, keys: Mapping[str, str]) -> Trials:
    """A table of trials in text, or one that pynapple saved."""
    if not is_npz(path):
        return read_trials(path, keys)
    found = read_npz(path, SourceOptions())
    if isinstance(found, Raw):
        if found.trials is None:
            raise DataError(f"{path}: must be a table of trials, got events. Save an IntervalSet.")
        return found.trials
    return trials_of(str(path), {key: np.ravel(values) for key, values in found.items() if not isinstance(values, list)}, keys)


def _series_in(path: Path) -> Series:
    """A signal in text, or one that pynapple saved."""
    if not is_npz(path):
        return read_series(path)
    found = read_npz(path, SourceOptions())
    if not isinstance(found, Raw) or not found.series:
        raise DataError(f"{path}: must be a signal, got other arrays. Save a Tsd or TsdFrame of pynapple's, or give a table.")
    return next(iter(found.series.values()))


def make_file(
    path: str | Path, output: str | Path, source: SourceOptions | None = None, options: MakeOptions | None = None, *, overwrite: bool = False
) -> Made:
    """Read a source, cut it, and write the file; see :func:`lfads_plugins_lab.recordings.build.make`.

    Raises:
        DataError: see :func:`read_source` and ``make``; ``output`` is there already.
        ConfigError: options contradict one another.
    """
    path, output = Path(path), Path(output)
    if output.exists() and not overwrite:  # before any time is spent
        write_layout(output, {}, {})
    if output.exists() and output.resolve() == path.resolve():
        raise DataError(f"{output}: what is made must go to a file of its own, got the source itself. Choose another name.")
    made = make(read_source(path, source), options)
    write_layout(output, made.arrays, {**made.attributes, "made_from": path.name}, overwrite=overwrite)
    return made


def outputs_for(sources: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Where each source goes: one to the file ``output``, several to that folder, each under its session's name.

    Raises:
        DataError: two would go to one file, or several to something that is no folder.
    """
    if len(sources) == 1 and not output.is_dir():
        return {sources[0]: output}
    if output.suffix.lower() in HDF5 or output.is_file():
        raise DataError(f"{output}: {len(sources)} recordings must go to a folder, got the name of a file. Leave out the ending.")
    places = {path: output / f"{session_name(path)}.h5" for path in sources}
    for path, place in places.items():
        if twin := next((other for other, at in places.items() if at == place and other != path), None):
            raise DataError(f"{path}: every recording must have a name of its own, but {twin} would be called {place.name} too. Rename one of them.")
    return places


def read_tables(path: Path, options: SourceOptions) -> Raw:
    """Events in a table."""
    return Raw(where=str(path), units=read_events(path, options.keys))


def read_npz(path: Path, _options: SourceOptions) -> dict[str, Any] | Raw:
    """Arrays of a NumPy archive, or the events that pynapple saved in one.

    Raises:
        DataError: it is no whole archive of plain arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {info.filename.removesuffix(".npy") for info in archive.infolist()}
            Room().take(path, "its arrays", (sum(info.file_size for info in archive.infolist()),), 1)
        with np.load(path, allow_pickle=False) as file:
            kind = saved_as(file)
            found = {key: file[key] for key in file.files if kind is None or key != METADATA}
    except LfadsError:
        raise
    except (Exception, SystemExit) as err:
        hint = (
            " Lists of arrays cannot be read safely: save all times in one array, beside one with the unit of each." if "pickle" in str(err) else ""
        )
        kind = " It is a single array (.npy) under another name: save it with numpy.savez." if _begins_with(path, b"\x93NUMPY") else ""
        raise DataError(f"{path}: must be a whole NumPy archive of plain arrays, but numpy says: {one_line(err)}.{hint}{kind}") from err
    if odd := [key for key, values in found.items() if not key or not isinstance(values, np.ndarray)]:
        raise DataError(f"{path}: must hold arrays with names and nothing else, got {first_few([*map(repr, odd)], 3)}. Save it with numpy.savez.")
    if kind is not None:
        metadata = objects_of(path, METADATA) if METADATA in names else {}
        return from_saved(str(path), kind, found, metadata if isinstance(metadata, Mapping) else {})
    return _ragged(found)


def _begins_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def read_arrays(path: Path, _options: SourceOptions) -> dict[str, Any]:
    """Arrays of an HDF5 file of any layout.

    Raises:
        DataError: HDF5 cannot read it, or it holds more than fits into memory.
    """
    found: dict[str, Any] = {}
    room = Room()
    with opened(path) as file:
        listed = datasets_of(file, path)
        if any(from_matlab(item) for item in listed.values()):
            return read_matlab(path)
        for key, item in listed.items():
            found[key.replace("/", "_")] = values_of(item, key, path, room)
        found.update({key: np.asarray(value) for key, value in attributes_of(file, path).items() if key == "bin_ms"})
    return _ragged(found)


def read_mat(path: Path, _options: SourceOptions) -> dict[str, Any]:
    """Variables of a MAT-file; see :func:`lfads_plugins_lab.recordings.matlab.read_matlab`."""
    return read_matlab(path)


def read_nwb_file(path: Path, _options: SourceOptions) -> Raw | Cut:
    """A session in NWB; see :func:`lfads_plugins_lab.recordings.nwb.read_nwb`."""
    return read_nwb(path)


def _ragged(arrays: dict[str, Any]) -> dict[str, Any]:
    """Arrays with an index of where each part ends (NAME and NAME_index), as lists."""
    for key in [name for name in arrays if f"{name}_index" in arrays]:
        index = np.ravel(arrays.pop(f"{key}_index"))
        ends = index.astype(np.int64) if index.dtype.kind in "biuf" else index[:0]
        if ends.size and np.ndim(arrays[key]) and (np.diff(ends, prepend=0) >= 0).all() and ends[-1] == len(arrays[key]):
            arrays[key] = np.split(arrays[key], ends[:-1])
    return arrays
