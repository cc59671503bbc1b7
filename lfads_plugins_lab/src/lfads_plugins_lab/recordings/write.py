"""What was made, into one HDF5 file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfads_core.errors import DataError
from lfads_core.files import replacing
from lfads_core.output_file import OutputFile


def write_layout(path: str | Path, arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Any], *, overwrite: bool = False) -> Path:
    """Write arrays and attributes; the file appears whole or not at all.

    Raises:
        DataError: the file is there already and ``overwrite`` is not set, or it cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise DataError(f"{path}: a new file must not replace another, got one that exists. Choose another name, or use --force.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, OutputFile(temporary) as file:
            for key, values in arrays.items():
                text = values.dtype.kind == "O"
                file.create_dataset(key, data=values, dtype=h5py.string_dtype() if text else None)
            file.attrs.update(attributes)
    except OSError as err:
        raise DataError(f"{path}: the file must be writable, got {err.strerror or err}. Choose another place.") from err
    return path
