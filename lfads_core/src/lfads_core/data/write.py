"""A recording into one HDF5 file of the layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Shaped

from lfads_core.data.layout import session_arrays
from lfads_core.data.session import Session
from lfads_core.errors import DataError
from lfads_core.files import replacing
from lfads_core.output_file import OutputFile
from lfads_core.wording import one_line


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
                try:
                    file.create_dataset(key, data=values, dtype=h5py.string_dtype() if text else None)
                except (ValueError, TypeError) as err:
                    why = f"'{key}' must have a name and values that HDF5 can store, got: {one_line(err)}. Rename, mend or delete it in the source."
                    raise DataError(f"{path}: {why}") from err
            file.attrs.update(attributes)
    except OSError as err:
        raise DataError(f"{path}: the file must be writable, got {err.strerror or err}. Choose another place.") from err
    return path


def write_session(session: Session, output: Path, about: Mapping[str, Any], *, overwrite: bool = False) -> Path:
    """Write a session that is in memory as a file of the layout; counts are stored as whole numbers.

    Raises:
        DataError: the file is there already, or cannot be written.
    """
    arrays = session_arrays(session)
    data = {key: compact(values) for key, values in arrays.items() if key.endswith(("_encod_data", "_recon_data"))}
    return write_layout(output, {**arrays, **data}, {**session.attributes, **about}, overwrite=overwrite)


def compact(values: Float[np.ndarray, "B T N"]) -> Shaped[np.ndarray, "B T N"]:
    """Counts as the smallest type that holds them, anything else in single precision."""
    top = values.max(initial=0)
    if np.isfinite(values).all() and values.min(initial=0) >= 0 and (values == np.rint(values)).all() and top < 2**16:
        return values.astype(np.uint8 if top < 2**8 else np.uint16)
    return values.astype(np.float32)
