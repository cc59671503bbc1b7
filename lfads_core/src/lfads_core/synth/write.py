"""From a generator to a file in the data layout that says how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import h5py
import numpy as np

from lfads_core.errors import DataError
from lfads_core.files import replacing
from lfads_core.plugins.specs import SyntheticSpec


def write_synthetic(spec: SyntheticSpec, settings: Any, seed: int, path: Path, *, overwrite: bool = False) -> Path:
    """Generate data and write them to ``path`` in one step: the file appears whole or not at all.

    Arrays become datasets; single values such as ``bin_ms`` become attributes, beside ``generator`` (its name), ``settings`` (JSON),
    ``seed`` and ``synthetic`` (true). The same settings and seed give the same arrays.

    Raises:
        DataError: the file is there already and ``overwrite`` is not set, or it cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise DataError(f"{path}: a new file must not replace another, got one that exists. Choose another name, or use --force.")
    content = spec.generate(settings, np.random.default_rng(seed))
    made = {"generator": spec.name, "settings": json.dumps(attrs.asdict(settings), sort_keys=True), "seed": seed, "synthetic": True}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            _write(temporary, content, made)
    except OSError as err:
        raise DataError(f"{path}: the file must be writable, got {err.strerror or err}. Choose another place.") from err
    return path


def _write(path: Path, content: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        for key, value in content.items():
            if isinstance(value, np.ndarray) and value.ndim:
                file.create_dataset(key, data=value, compression="gzip", compression_opts=4, shuffle=True)
            else:
                file.attrs[key] = value
        file.attrs.update(made)
