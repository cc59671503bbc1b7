"""Reading and writing parity files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from oracle.arrays import Array
from oracle.case import Case, Session


def arrays_under(group: h5py.Group) -> dict[str, Array]:
    """All data sets below ``group``, by their path from it."""
    found: dict[str, Array] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    group.visititems(visit)
    return found


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Attributes (JSON texts decoded) and all data sets of one file."""
    with h5py.File(path, "r") as file:
        attributes = {k: v.item() if isinstance(v, np.generic) else v for k, v in file.attrs.items()}
        data = arrays_under(file)
    for key, value in attributes.items():
        if isinstance(value, str) and value[:1] in ("{", "["):
            attributes[key] = json.loads(value)
    return attributes, data


def group(data: dict[str, Array], prefix: str) -> dict[str, Array]:
    """The data sets below ``prefix/``, named from there."""
    return {name.removeprefix(prefix + "/"): value for name, value in data.items() if name.startswith(prefix + "/")}


def session_from(inputs: dict[str, Array]) -> Session:
    """One session from its three data sets."""
    return Session(encod_data=inputs["encod_data"], recon_data=inputs["recon_data"], ext_input=inputs["ext_input"])


def case_from(attributes: dict[str, Any], data: dict[str, Array]) -> Case:
    """The case of a model file."""
    inputs = group(data, "inputs")
    sessions = len(attributes.get("session_batch", [None]))
    return Case(
        weights=group(data, "weights"),
        config=attributes["config"],
        sessions=tuple(session_from(group(inputs, f"sess{i}") if sessions > 1 else inputs) for i in range(sessions)),
        sample_posteriors=bool(attributes.get("sample_posteriors", 1)),
        noise=group(data, "noise"),
        dropout_masks=group(data, "dropout_masks"),
        masks=group(data, "masks"),
        cd_rate=float(attributes.get("cd_rate", 0.0)),
    )


def write(path: Path, data: Mapping[str, Array], attributes: Mapping[str, Any]) -> Path:
    """One file: data sets by path, attributes with lists and mappings as JSON."""
    with h5py.File(path, "w") as file:
        for name, value in data.items():
            file.create_dataset(name, data=np.asarray(value))
        for name, value in attributes.items():
            file.attrs[name] = json.dumps(value) if isinstance(value, list | dict) else value
    return path
