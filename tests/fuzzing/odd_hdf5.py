"""Recordings in HDF5 that are whole and odd: types, shapes, names, filters, links, sizes, attributes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fuzzing.damage import ODD_NUMBERS, ODD_TEXT

Generator = np.random.Generator


def make_odd(path: Path, rng: Generator) -> None:
    """Change one to three things in a file."""
    with h5py.File(path, "r+") as file:
        for _ in range(int(rng.integers(1, 4))):
            try:
                _WAYS[rng.integers(len(_WAYS))](file, rng)
            except (MemoryError, ValueError, TypeError, OSError, RuntimeError, KeyError, OverflowError, UnicodeError):
                continue  # HDF5 itself refuses to write that


def _some_key(file: h5py.File, rng: Generator) -> str:
    keys = [key for key in file if isinstance(file.get(key, getlink=True), h5py.HardLink) and isinstance(file.get(key), h5py.Dataset)]
    return keys[rng.integers(len(keys))]


def _values(file: h5py.File, key: str) -> np.ndarray:
    """What is there, unless far more is declared than was written."""
    if (file[key].size or 0) > 10**6:
        raise ValueError(key)
    return np.asarray(file[key][()])


def _replace(file: h5py.File, key: str, **how: Any) -> None:
    if key in file:
        del file[key]
    file.create_dataset(key, **how)


def _some_shape(shape: tuple[int, ...], rng: Generator) -> tuple[int, ...]:
    ways: list[tuple[int, ...]] = [
        (),
        (0,),
        (0, *shape[1:]),
        (*shape[:-1], 0),
        shape[:-1],
        (*shape, 1),
        (shape[0] + 1 if shape else 1, *shape[1:]),
        (1,),
        (1, 1, 1),
        shape[::-1],
    ]
    return ways[rng.integers(len(ways))]


def _shape(file: h5py.File, rng: Generator) -> None:
    key = _some_key(file, rng)
    shape = _some_shape(_values(file, key).shape, rng)
    _replace(file, key, data=rng.poisson(1.0, shape).astype(np.float32))


def _type(file: h5py.File, rng: Generator) -> None:
    key = _some_key(file, rng)
    shape = _values(file, key).shape
    small = rng.integers(0, 3, shape)
    types: list[Callable[[], Any]] = [
        lambda: small.astype(np.complex64),
        lambda: small.astype("S3"),
        lambda: small.astype(bool),
        lambda: small.astype(">f8"),
        lambda: small.astype(np.float16),
        lambda: small.astype(np.uint64) + np.uint64(2**63),
        lambda: small.astype([("a", "f4"), ("b", "S2")]),
        lambda: np.full(shape, "é\x1b[31m\x00", dtype=object).astype(h5py.string_dtype()),
        lambda: np.full(shape, np.nan),
        lambda: np.full(shape, np.inf),
        lambda: np.full(shape, 1e38),
        lambda: small.astype(np.longdouble),
        lambda: np.full(shape, -1, dtype=np.int8),
    ]
    _replace(file, key, data=types[rng.integers(len(types))]())


def _special_type(file: h5py.File, rng: Generator) -> None:
    key = _some_key(file, rng)
    space = h5py.h5s.create_simple(file[key].shape or (1,))
    kinds = [
        h5py.h5t.UNIX_D32LE,
        h5py.h5t.UNIX_D64BE,
        h5py.h5t.STD_B8LE,
        h5py.h5t.STD_REF_OBJ,
        h5py.h5t.STD_REF_DSETREG,
        h5py.h5t.vlen_create(h5py.h5t.NATIVE_FLOAT),
        h5py.h5t.enum_create(h5py.h5t.STD_I8LE),
        h5py.h5t.array_create(h5py.h5t.IEEE_F32LE, (2,)),
        h5py.h5t.create(h5py.h5t.OPAQUE, 5),
        h5py.h5t.py_create(h5py.string_dtype("ascii", 4)),
    ]
    del file[key]
    h5py.h5d.create(file.id, key.encode(), kinds[rng.integers(len(kinds))], space)


def _raw_name(file: h5py.File, rng: Generator) -> None:
    names = [b"\xff\xfe bad", b"train_\xe9", b"\x1b[2J", b"line\nend", b"a" * 3000, "é/ü".encode(), b"train_" + b"\xff", b" ", b".hidden"]
    name = names[rng.integers(len(names))]
    if rng.random() < 0.3:
        h5py.h5g.create(file.id, name)
    elif rng.random() < 0.3:
        file.attrs[_some_key(file, rng)] = 1
        h5py.h5a.create(file.id, name, h5py.h5t.IEEE_F64LE, h5py.h5s.create(h5py.h5s.SCALAR))
    else:
        shape = (12,) if rng.random() < 0.5 else (3,)
        h5py.h5d.create(file.id, name, h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple(shape))


def _filters(file: h5py.File, rng: Generator) -> None:
    key = _some_key(file, rng)
    values = _values(file, key)
    whole = values.astype(np.int64) if values.dtype.kind in "biuf" else values
    ways: list[dict[str, Any]] = [
        {"data": whole, "scaleoffset": 0, "chunks": True},
        {"data": values.astype(np.float32), "scaleoffset": 2, "chunks": True},
        {"data": values, "compression": "lzf", "shuffle": True, "fletcher32": True},
        {"data": values, "compression": "gzip", "compression_opts": 9, "chunks": True},
        {"data": values, "chunks": (1, *values.shape[1:])},
        {"data": values, "maxshape": (None,) * values.ndim},
        {"shape": values.shape, "dtype": "f4", "chunks": values.shape, "compression": 32001, "allow_unknown_filter": True},
    ]
    _replace(file, key, **ways[rng.integers(len(ways))])


def _huge(file: h5py.File, rng: Generator) -> None:
    """Sizes that are declared, and never written."""
    key = _some_key(file, rng) if rng.random() < 0.7 else "extra"
    shape = [(2**20, 2**12, 2**9), (2**40,), (12, 2**16, 2**13), (2**15, 2**9, 2**7), (2**33, 1, 1), (12, 8, 2**30)][rng.integers(6)]
    chunks = True if rng.random() < 0.5 else None
    _replace(file, key, shape=shape, dtype=rng.choice(["f4", "u1", "f8"]), chunks=chunks)


def _link(file: h5py.File, rng: Generator) -> None:
    key = _some_key(file, rng)
    ways: list[Callable[[], Any]] = [
        lambda: h5py.SoftLink("/nowhere"),
        lambda: h5py.SoftLink("/" + key),
        lambda: h5py.ExternalLink("missing.h5", "x"),
        lambda: h5py.ExternalLink("/etc/passwd", "x"),
        lambda: h5py.ExternalLink("\x1b[2J.h5", "x"),
    ]
    kept = file[key]
    if rng.random() < 0.3:
        file["group"] = file["/"]  # a loop
    elif rng.random() < 0.5:
        file["second"] = kept
    del file[key]
    file[key] = ways[rng.integers(len(ways))]()


def _virtual(file: h5py.File, rng: Generator) -> None:
    key = _some_key(file, rng)
    shape = file[key].shape or (1,)
    if rng.random() < 0.5:
        layout = h5py.VirtualLayout(shape=shape, dtype="f4")
        layout[...] = h5py.VirtualSource("missing.h5" if rng.random() < 0.5 else "/etc/passwd", "x", shape=shape)
        del file[key]
        file.create_virtual_dataset(key, layout)
    else:
        _replace(file, key, shape=shape, dtype="f4", external=[("/etc/passwd", 0, int(np.prod(shape)) * 4)])


def _empty(file: h5py.File, rng: Generator) -> None:
    _replace(file, _some_key(file, rng), data=h5py.Empty("f4"))


def _group(file: h5py.File, rng: Generator) -> None:
    key = _some_key(file, rng)
    values = _values(file, key)
    del file[key]
    file[f"{key}/inside" if rng.random() < 0.5 else key.replace("_", "/", 1)] = values


def _gone(file: h5py.File, rng: Generator) -> None:
    del file[_some_key(file, rng)]


def _copy(file: h5py.File, rng: Generator) -> None:
    names = [
        "train_recon_data",
        "valid_recon_data",
        "train_ext_input",
        "valid_ext_input",
        "test_encod_data",
        "channel_order",
        "conversion_factor",
        "time_ms",
        "readin_weight",
        "readout_bias",
        "train_inds",
        "valid_inds",
        "bin_ms",
        "train_factors",
        "lfads_session",
        "chop_start",
        "train_condition_labels",
        "overlap",
        "behaviour_lag",
    ]
    name = names[rng.integers(len(names))]
    values = _values(file, _some_key(file, rng))
    if rng.random() < 0.4 and values.dtype.kind in "biuf":
        values = np.resize(values, _some_shape(values.shape, rng))
    _replace(file, name, data=values)


def _attribute(file: h5py.File, rng: Generator) -> None:
    where = file if rng.random() < 0.7 else file[_some_key(file, rng)]
    names = [
        "bin_ms",
        "first_bin_ms",
        "align_event",
        "lfads_session",
        "lfads_checkpoint",
        "dt",
        "é",
        "MATLAB_class",
        "behaviour_lag_ms",
        "generator",
        "lfads_posterior_samples",
        "window_ms",
        "\x1b[31m",
        "CLASS",
        "settings",
    ]
    name = names[rng.integers(len(names))]
    choice = rng.random()
    if choice < 0.3:
        where.attrs[name] = ODD_TEXT[rng.integers(len(ODD_TEXT))]
    elif choice < 0.6:
        where.attrs[name] = ODD_NUMBERS[rng.integers(len(ODD_NUMBERS))]
    elif choice < 0.7:
        where.attrs[name] = h5py.Empty("f8")
    elif choice < 0.8:
        where.attrs.create(name, np.zeros((0,)))
    elif choice < 0.9:
        where.attrs[name] = np.array([b"\xff\xfe", b"ok"])
    else:
        where.attrs[name] = file.ref


_WAYS = (
    _shape,
    _shape,
    _type,
    _type,
    _special_type,
    _raw_name,
    _filters,
    _huge,
    _huge,
    _link,
    _virtual,
    _empty,
    _group,
    _gone,
    _copy,
    _copy,
    _attribute,
    _attribute,
)
