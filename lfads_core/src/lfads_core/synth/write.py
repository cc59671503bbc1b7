"""From a generator to files in the data layout that say how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lfads_core.config.own_types import Types
from lfads_core.config.structure import unstructure
from lfads_core.errors import DataError, LfadsError, PluginError
from lfads_core.files import replacing
from lfads_core.origin import where
from lfads_core.output_file import OutputFile
from lfads_core.plugins.specs import SyntheticSpec
from lfads_core.wording import a, one_line

_ENDING = ".h5"


@dataclass(frozen=True, kw_only=True, eq=False)
class Generated:
    """What a generator made."""

    several: bool  # whether it made sessions by name, or one recording
    sessions: Mapping[str, tuple[Mapping[str, np.ndarray], Mapping[str, Any]]]  # arrays and attributes by session; one is named after its generator


def generate(spec: SyntheticSpec, settings: Any, seed: int, own: Types = ()) -> Generated:
    """Generate data: the same settings and seed give the same arrays.

    Arrays are datasets; single values such as ``bin_ms`` are attributes, beside ``generator`` (its name), ``settings`` (JSON), ``seed`` and
    ``synthetic`` (true). ``own`` are the types of plugins that may be among the settings.

    Raises:
        DataError: NumPy cannot compute with such settings.
        PluginError: the generator gives something else; it is not named in it.
    """
    try:
        content = spec.generate(settings, np.random.default_rng(seed))
    except LfadsError:
        raise
    except (ValueError, ArithmeticError, MemoryError) as err:  # what NumPy says of numbers out of all proportion
        raise DataError(
            f"{spec.name}: data must be possible with these settings, got {one_line(err)}{where(err)}. Choose less extreme ones."
        ) from err
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise PluginError(f"generate must give arrays by key, or such mappings by session, got {a(type(content).__name__)}")
    said = {"generator": spec.name, "settings": json.dumps(unstructure(settings, own), sort_keys=True), "seed": seed, "synthetic": True}
    several = bool(content) and all(isinstance(value, Mapping) for value in content.values())

    def parted(of: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        for key, value in of.items():
            if np.asarray(value).dtype.kind not in "biufUS":
                raise PluginError(f"generate must give numbers and texts, got {a(type(value).__name__)} for {key!r}")
        arrays = {key: value for key, value in of.items() if isinstance(value, np.ndarray) and value.ndim}
        return arrays, {**{key: value for key, value in of.items() if key not in arrays}, **said}

    return Generated(several=several, sessions={name: parted(of) for name, of in (content if several else {spec.name: content}).items()})


def write_synthetic(spec: SyntheticSpec, settings: Any, seed: int, path: Path | None = None, *, overwrite: bool = False, own: Types = ()) -> Path:
    """Generate data and write them; every file appears whole or not at all. Returns the file, or the folder of several sessions.

    One session is one file, ``NAME.h5`` unless ``path`` says otherwise; several are a folder, ``NAME`` or ``path``, with one
    file each, named after the session. What they hold: :func:`generate`.

    Raises:
        DataError: a file is there already and ``overwrite`` is not set, the folder holds other recordings, or it cannot be written.
    """
    path = None if path is None else Path(path)
    if path is not None and path.is_file():
        _refuse_taken(path, overwrite=overwrite)  # before any time is spent on making data
    made = generate(spec, settings, seed, own)
    if made.several:
        place = path or Path(spec.name)
        files = {place / f"{name}{_ENDING}": content for name, content in made.sessions.items()}
        _refuse_mixing(place, list(files))
    else:
        place = path or Path(f"{spec.name}{_ENDING}")
        place = place / f"{spec.name}{_ENDING}" if place.is_dir() else place
        files = {place: made.sessions[spec.name]}
    for file in files:
        _refuse_taken(file, overwrite=overwrite)
    for file, content in files.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as temporary:
                _write(temporary, content)
        except OSError as err:
            raise DataError(f"{file}: the file must be writable, got {err.strerror or err}. Choose another place.") from err
    return place


def _refuse_taken(file: Path, *, overwrite: bool) -> None:
    if file.exists() and not overwrite:
        raise DataError(f"{file}: a new file must not replace another, got one that exists. Choose another name, or use --force.")


def _refuse_mixing(folder: Path, files: Sequence[Path]) -> None:
    """Refuse what is no folder, and a folder whose other recordings would be read as further sessions."""
    if folder.suffix == _ENDING or folder.is_file():
        raise DataError(f"{folder}: {len(files)} sessions must go to a folder of their own, got the name of a file. Leave out the ending.")
    if others := sorted(set(folder.glob(f"*{_ENDING}")) - set(files)):
        raise DataError(
            f"{folder}: {len(files)} sessions must go to a folder of their own, got one that holds {others[0].name!r}. Choose another name."
        )


def _write(path: Path, content: tuple[Mapping[str, np.ndarray], Mapping[str, Any]]) -> None:
    arrays, attributes = content
    with OutputFile(path) as file:
        for key, values in arrays.items():
            file.create_dataset(key, data=values, compression="gzip", compression_opts=4, shuffle=True)
        file.attrs.update(attributes)
