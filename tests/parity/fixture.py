"""A fixture file in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor


class ForeignFileError(Exception):
    """The file cannot be read, or is no fixture of the known layout."""


@dataclass(frozen=True, eq=False)
class Fixture:
    """Attributes, with JSON texts decoded, and arrays by path."""

    path: Path
    attributes: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    recurrence: str = "reference"
    """Not of the file: the backend of the loops over time that it is replayed with."""

    @property
    def case(self) -> str:
        """The case that the file says it is."""
        return str(self.attributes.get("case", self.path.stem))

    @property
    def config(self) -> dict[str, Any]:
        """Settings of the model that made it."""
        return dict(self.attributes.get("config") or {})

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays below ``prefix/``, named from there."""
        return {name.removeprefix(prefix + "/"): array for name, array in self.arrays.items() if name.startswith(prefix + "/")}

    def subgroups(self, stem: str) -> list[str]:
        """Top groups called ``stem`` and a number, such as ``ar0``, ``ar1``."""
        tops = {name.split("/")[0] for name in self.arrays if "/" in name}
        return sorted((t for t in tops if t.startswith(stem) and t[len(stem) :].isdigit()), key=lambda t: int(t[len(stem) :]))


def read_fixture(path: Path) -> Fixture:
    """Read a whole HDF5 fixture.

    Raises:
        ForeignFileError: it is not HDF5, damaged, or lacks what every fixture has.
    """
    arrays: dict[str, np.ndarray] = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = np.asarray(item[()])

    try:
        with h5py.File(path, "r") as file:
            attributes = {key: _decoded(value) for key, value in file.attrs.items()}
            file.visititems(visit)
    except (OSError, RuntimeError, ValueError) as err:
        raise ForeignFileError(f"{path}: must be a readable HDF5 file, got: {str(err).splitlines()[0]}") from err
    if "case" not in attributes or not arrays:
        raise ForeignFileError(f"{path}: must be a parity fixture with the attribute 'case', got another program's file")
    return Fixture(path, attributes, arrays)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON fixture.

    Raises:
        ForeignFileError: it is no JSON object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise ForeignFileError(f"{path}: must be a readable JSON file, got: {str(err).splitlines()[0]}") from err
    if not isinstance(data, dict):
        raise ForeignFileError(f"{path}: must hold a JSON object, got {type(data).__name__}")
    return data


def tensor(array: Any) -> Tensor:
    """An array in the default floating-point type."""
    return torch.as_tensor(np.asarray(array, dtype=np.float64), dtype=torch.get_default_dtype())


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Every array as a tensor."""
    return {name: tensor(array) for name, array in arrays.items()}


def _decoded(value: Any) -> Any:
    """Plain Python values; JSON texts decoded."""
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value
