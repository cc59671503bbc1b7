"""What an HDF5 file holds, as ``file[key]`` gives it: through links of every kind, in MATLAB's order of axes where MATLAB wrote it.

What no array can be made of is left out with a warning; a link that leads nowhere is one where a split's array should be an error.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfads_core.data.bounds import Room, refuse_unwritten, spoken_reading
from lfads_core.data.legacy import SPLITS, new_names
from lfads_core.errors import DataError
from lfads_core.wording import first_few, spoken_size

log = logging.getLogger(__name__)

PACKING = {"scale_factor": 1.0, "add_offset": 0.0, "_FillValue": math.nan, "missing_value": math.nan}
"""Attributes by which netCDF says that numbers stand for others, and what they are where they do not (CF conventions, 8.1)."""

MOST = 100_000
"""Arrays and groups that a file may list; links can make endless many of a few."""


def datasets_of(file: Any, path: Path) -> dict[str, Any]:
    """Every dataset of an open file that NumPy has a type for, by its name there.

    Raises:
        DataError: the list is damaged or goes on without end, a link that a split needs leads nowhere, far more is declared than was written,
            values are packed as netCDF packs them, or texts are longer than the file.
    """
    found: dict[str, Any] = {}
    left_out: list[str] = []
    seen = 0
    with spoken_reading(path, "the list of its arrays"):
        for name, item in _walk(file, "", path, (), left_out):
            seen += 1
            if seen > MOST:
                raise DataError(f"{path}: must list at most {MOST} arrays and groups, got more. Are its links a circle? Delete them.")
            if item is not None:
                found[name] = item
    for name, item in found.items():
        with spoken_reading(path, f"'{name}'"):
            refuse_unwritten(path, name, item)
            _refuse_packed(path, name, item)
            _refuse_endless_texts(path, name, item)
    if left_out:
        log.warning("%s: left out: %s.", path, first_few(left_out, 5))
    return found


def _refuse_packed(path: Path, key: str, dataset: Any) -> None:
    """Refuse values that stand for others: netCDF's programs scale them when they read, HDF5 does not."""
    attributes = dataset.attrs
    if dataset.dtype.kind not in "biuf" or not len(attributes):
        return
    for name, plain in PACKING.items():
        if name not in attributes or is_ragged(attributes, name):
            continue
        value = np.ravel(attributes[name])
        if value.size == 1 and value.dtype.kind in "biuf" and not np.array_equal(value.astype(np.float64), [plain], equal_nan=True):
            raise DataError(
                f"{path}: '{key}' must hold its values as they are, got some that are packed as netCDF does ({name} {value[0]:g}). "
                f"Unpack them where they were written (xarray does when it opens the file), with NaN for what was not observed."
            )


def _refuse_endless_texts(path: Path, key: str, dataset: Any) -> None:
    """Refuse texts whose lengths, which stand beside where they are, add up to more than the file: HDF5 makes room for them before it looks."""
    kind = h5py.check_string_dtype(dataset.dtype)
    if kind is None or kind.length is not None or dataset.is_virtual or dataset.external:
        return
    size = Path(dataset.file.filename).stat().st_size
    declared = sum(int(lengths.sum(dtype=np.uint64)) for lengths in _lengths(dataset))
    if declared > size:
        raise DataError(
            f"{path}: '{key}' must hold texts of the file, got {spoken_size(declared)} of text in a file of {spoken_size(size)}. "
            "It is damaged: copy or write it again, or delete it."
        )


def _lengths(dataset: Any) -> Iterator[np.ndarray]:
    """Lengths of the texts of a dataset, some at a time; none of what is compressed, for which damage shows when it is unpacked."""
    element = np.dtype([("length", "<u4"), ("at", "<u8"), ("number", "<u4")])
    if dataset.chunks is None:
        if (start := dataset.id.get_offset()) is not None and dataset.id.get_storage_size() == dataset.size * element.itemsize:
            yield np.fromfile(dataset.file.filename, element, dataset.size, offset=start)["length"]
    elif not dataset.id.get_create_plist().get_nfilters():
        for number in range(dataset.id.get_num_chunks()):
            stored = dataset.id.read_direct_chunk(dataset.id.get_chunk_info(number).chunk_offset)[1]
            if len(stored) % element.itemsize == 0:
                yield np.frombuffer(stored, element)["length"]


def _walk(group: Any, prefix: str, path: Path, above: tuple[Any, ...], left_out: list[str]) -> Iterator[tuple[str, Any]]:
    """Name and dataset, or None for a group, in the order of the file."""
    here = _identity(group)
    if here in above:
        return  # a link to a group that it is in
    for name in group:
        if isinstance(name, bytes):
            left_out.append(f"{name.decode('utf-8', 'backslashreplace')!a} (its name is no UTF-8)")
            continue
        key = f"{prefix}{name}"
        if not prefix and name.startswith("#"):
            continue  # where MATLAB keeps what cells refer to
        try:
            item = group[name]
        except (KeyError, OSError) as err:
            _nowhere(group, name, key, path, err, left_out)
            continue
        if isinstance(item, h5py.Group):
            yield key, None
            yield from _walk(item, f"{key}/", path, (*above, here), left_out)
        elif isinstance(item, h5py.Dataset) and item.shape is not None:
            try:
                _ = item.dtype
            except (TypeError, ValueError, UnicodeDecodeError) as err:
                left_out.append(f"{key!a} ({err})")
                continue
            yield key, item


def _identity(group: Any) -> tuple[int, int]:
    info = h5py.h5o.get_info(group.id)
    return info.fileno, info.addr


def _nowhere(group: Any, name: str, key: str, path: Path, err: Exception, left_out: list[str]) -> None:
    link = group.get(name, getlink=True)
    where = f" in {link.filename}" if isinstance(link, h5py.ExternalLink) else ""
    to = f"a link to {link.path!r}{where}, which is not there" if hasattr(link, "path") else f"not readable ({err})"
    if key.startswith(tuple(f"{split}{mark}" for split in SPLITS for mark in ("_", "/"))):
        raise DataError(f"{path}: '{key}' must lead to an array, but it is {to}. Restore what it points to, or delete the link.") from err
    left_out.append(f"{key!a} ({to})")


def require_readable(dataset: Any, key: str, path: Path) -> None:
    """Make sure that what a dataset refers to is there: files that a virtual one is made of, filters that it is compressed with.

    Raises:
        DataError: one is missing.
    """
    if dataset.is_virtual:
        for source in dataset.virtual_sources():
            _require_source(source, key, path)
    if missing := _missing_filters(dataset):
        with contextlib.suppress(ImportError):
            import hdf5plugin  # type: ignore[import-not-found]  # noqa: F401 - registers its filters when it is imported
        if missing := _missing_filters(dataset):
            raise DataError(
                f"{path}: '{key}' is compressed with {' and '.join(missing)}, which HDF5 lacks here. "
                "Install it (pip install hdf5plugin), or write the file again with gzip."
            )


def values_of(dataset: Any, key: str, path: Path, room: Room) -> Any:
    """All values of a dataset as they are stored, text as ``str``.

    Raises:
        DataError: there is no room for them, they are damaged, or what they refer to is missing.
    """
    room.take(path, f"'{key}'", dataset.shape, dataset.dtype.itemsize)
    require_readable(dataset, key, path)
    with spoken_reading(path, f"'{key}'"):
        return dataset[()] if h5py.check_string_dtype(dataset.dtype) is None else dataset.asstr(errors="replace")[()]


def _missing_filters(dataset: Any) -> list[str]:
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    return [
        f"the filter {number} ({name.decode('utf-8', 'replace') or 'without a name'})"
        for number, _, _, name in filters
        if not h5py.h5z.filter_avail(number)
    ]


def _require_source(source: Any, key: str, path: Path) -> None:
    """HDF5 gives fill values, often zeros, for what a missing source should hold."""
    name = source.file_name
    if "%" in name or "%" in source.dset_name:  # a pattern of HDF5's, whose files may be fewer than it allows
        return
    places = [path] if name == "." else [path.parent / name, Path(name)]
    for place in places:
        if place.is_file():
            if place != path:
                try:
                    with h5py.File(place, "r") as other:
                        there = source.dset_name in other
                except OSError as err:
                    raise DataError(f"{path}: '{key}' is made of {place}, which must be readable, got: {err}. Restore it.") from err
                if not there:
                    raise DataError(f"{path}: '{key}' is made of '{source.dset_name}' in {place}, which is not there. Restore it.")
            return
    raise DataError(f"{path}: '{key}' is made of '{source.dset_name}' in {name}, but there is no such file. Restore it beside {path.name}.")


def from_matlab(dataset: Any) -> bool:
    """Whether MATLAB saved this dataset, and so with its axes in reverse order."""
    return "MATLAB_class" in dataset.attrs


def is_matlab_text(dataset: Any) -> bool:
    """Whether MATLAB saved text here, or a cell of something."""
    return h5py.check_ref_dtype(dataset.dtype) is not None or _is_char(dataset)


def is_ragged(attributes: h5py.AttributeManager, key: str) -> bool:
    """Whether an attribute holds arrays of unequal lengths: no recording has one, and HDF5 crashes on text that a damaged byte has made one."""
    kind = attributes.get_id(key).dtype
    return h5py.check_vlen_dtype(kind) is not None and h5py.check_string_dtype(kind) is None


def can_ride(dataset: Any) -> bool:
    """Whether a dataset holds numbers or text, or references to nothing but text."""
    if h5py.check_ref_dtype(dataset.dtype) is None:
        return dataset.dtype.kind in "biufc" or h5py.check_string_dtype(dataset.dtype) is not None
    try:
        return all(_is_char(dataset.file[reference]) for reference in np.ravel(dataset[()]))
    except (OSError, RuntimeError, ValueError, TypeError, KeyError):
        return False


def matlab_text(dataset: Any) -> np.ndarray:
    """Text that MATLAB saved: one, or a cell of several."""
    if h5py.check_ref_dtype(dataset.dtype) is None:
        return np.array(_characters(dataset), dtype=object)
    return np.array([_characters(dataset.file[reference]) for reference in np.ravel(dataset[()])], dtype=object)


def _is_char(item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and item.attrs.get("MATLAB_class") in (b"char", "char")


def _characters(dataset: Any) -> str:
    return "" if "MATLAB_empty" in dataset.attrs else "".join(map(chr, np.ravel(dataset[()], order="F")))


def axes_reversed(found: Mapping[str, Any], path: Path) -> bool:
    """Whether a file in the layout of training stores axes as MATLAB does: because it says so, or its sizes fit no other way.

    Where MATLAB wrote it but sizes fit only as they stand, somebody turned the axes before saving. What is found is said.
    """
    names = new_names(found)
    shapes = {new: found[old].shape for old, new in names.items()}
    told = any(from_matlab(found[old]) for old, new in names.items() if new.endswith(("_encod_data", "_recon_data")))
    straight, turned = _fits(shapes), _fits({key: shape[::-1] for key, shape in shapes.items()})
    back = turned and (told or not straight)
    if back or told:
        first = next((shapes[f"{split}_encod_data"] for split in SPLITS if len(shapes.get(f"{split}_encod_data", ())) == 3), None)
        if first is not None:
            order = "reverse order, as MATLAB writes them" if back else "the order that is stored, though MATLAB wrote them: only so sizes fit"
            log.warning("%s: axes are read in %s: (trials, bins, channels) = %s.", path, order, first[::-1] if back else first)
    return back


def _fits(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether splits agree on bins and channels, and whatever rides along with one on its trials."""
    data = {key: shape for key, shape in shapes.items() if key.endswith(("_encod_data", "_recon_data", "_ext_input", "_truth"))}
    if not data or any(len(shape) != 3 for shape in data.values()):
        return False
    for split in SPLITS:
        of = [shape for key, shape in data.items() if key.startswith(f"{split}_")]
        if len({shape[0] for shape in of}) > 1:
            return False
        encod, recon = (shapes.get(f"{split}_{what}_data") for what in ("encod", "recon"))
        if encod and recon and encod[1] > recon[1]:
            return False
        rows = {shape[0] if len(shape) != 2 or 1 not in shape else max(shape) for key, shape in shapes.items() if shape and _rides(key, split, data)}
        if of and rows and not rows & {of[0][0]}:
            return False
    return all(len({shapes[key][1:] for key in data if key.endswith(what)}) == 1 for what in ("_encod_data", "_recon_data") if _any(data, what))


def _rides(key: str, split: str, data: Mapping[str, Any]) -> bool:
    return key.startswith(f"{split}_") and key not in data


def _any(data: Mapping[str, Any], ending: str) -> bool:
    return any(key.endswith(ending) for key in data)
