"""Whether a recording that somebody sent would read other files of this machine: HDF5 can link to, map and take values from any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from lfads_core.data.bounds import spoken_reading
from lfads_core.data.hdf5 import opened
from lfads_core.errors import DataError

_ITSELF = "."


def refuse_outside(path: Path) -> None:
    """Refuse a recording that leads out of its file.

    Raises:
        DataError: an array lies in another file, is mapped from one, or is a link to one; or the file is damaged.
    """
    if not h5py.is_hdf5(path):
        return  # what plugins read has no such means that we know of
    with opened(path) as file, spoken_reading(path, "the list of its arrays"):
        found = list(_leads_out(file))
    if found:
        key, what = found[0]
        raise DataError(f"{path}: everything must be in the file itself, got '{key}', {what}. Write its values into the file.")


def _leads_out(file: Any) -> Iterator[tuple[str, str]]:
    groups, seen = [file], set()
    while groups:
        group = groups.pop()
        if (at := h5py.h5o.get_info(group.id).addr) in seen:  # a group may hold itself
            continue
        seen.add(at)
        for key in group:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield key, f"a link to {link.filename}"
            elif isinstance(link, h5py.HardLink):
                item = group[key]
                if isinstance(item, h5py.Group):
                    groups.append(item)
                elif isinstance(item, h5py.Dataset):
                    yield from ((key, f"whose values are in {name}") for name, _, _ in item.external or ())
                    if item.is_virtual:
                        sources = {source.file_name for source in item.virtual_sources()} - {_ITSELF}
                        yield from ((key, f"which is mapped from {name}") for name in sorted(sources))
