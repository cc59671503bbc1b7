"""Files of this lab: an exporter, and the format of its rig."""

import json

import numpy as np


def write_npz(loaded, path):
    """All outputs, as .npz."""
    path = path or loaded.run.path / "outputs.npz"
    np.savez(path, **loaded.outputs())
    return [path]


def is_foo(path):
    """By the ending."""
    return path.suffix == ".foo"


def read_foo(path, options):
    """Spikes and trials of our rig."""
    plain = json.loads(path.read_text())
    return {name: np.asarray(values) for name, values in plain.items()}
