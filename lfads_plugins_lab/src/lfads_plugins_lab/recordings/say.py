"""Attributes of a file of the layout, said afterwards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import h5py

from lfads_core.errors import ConfigError, DataError
from lfads_core.wording import listed, near
from lfads_plugins_lab.recordings.change import read_whole

NAMES = ("bin_ms", "first_bin_ms", "aligned_to")


def say_of_file(path: Path, values: Mapping[str, str], *, overwrite: bool = False) -> dict[str, float | str]:
    """Write attributes into a file; its arrays are not touched.

    Raises:
        ConfigError: a name is none of these, or a value is none for it.
        DataError: the file is no recording, says something else already and ``overwrite`` is not set, or cannot be written.
    """
    said = {name: _value(name, text) for name, text in values.items()}
    known = read_whole(path).attributes  # which also sees to it that it is a recording
    for name, value in said.items():
        if name in known and known[name] != value and not overwrite:
            raise DataError(f"{path}: '{name}' is {known[name]!r} already, got {value!r}. Leave it, or change it with --force.")
    try:
        with h5py.File(path, "r+") as file:
            file.attrs.update(said)
    except OSError as err:
        raise DataError(f"{path}: must be writable, but HDF5 says: {err}. Ask its owner, or copy it.") from err
    return said


def _value(name: str, text: str) -> float | str:
    if name not in NAMES:
        close = near(name, NAMES)
        hint = f" Did you mean {listed(map(repr, close))}?" if close else ""
        raise ConfigError(f"{name}: must be one of {', '.join(NAMES)}, got {name!r}.{hint}")
    if name == "aligned_to":
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (name == "bin_ms" and number <= 0):
        raise ConfigError(f"{name}: must be a number of milliseconds{' > 0' if name == 'bin_ms' else ''}, got {text!r}")
    return number
