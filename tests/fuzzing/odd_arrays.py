"""Archives of NumPy, MATLAB files, tables and zips that are whole and odd."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.damage import ODD_TEXT, damaged, odd_text

Generator = np.random.Generator


def make_odd_npz(path: Path, rng: Generator) -> None:
    """Another archive with some arrays changed, or its members."""
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    choice = rng.random()
    if choice < 0.1:
        content = io.BytesIO()
        np.save(content, arrays["hand"])
        path.write_bytes(content.getvalue())  # a .npy called .npz
        return
    if choice < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            key = list(arrays)[rng.integers(len(arrays))]
            arrays[key] = odd_array(arrays[key], rng)
        np.savez(path, allow_pickle=True, **arrays)
        return
    with zipfile.ZipFile(path, "w") as archive:
        for key, values in arrays.items():
            content = io.BytesIO()
            np.save(content, values)
            written = content.getvalue()
            if rng.random() < 0.3:
                written = _odd_member(written, rng)
            name = f"{key}.npy" if rng.random() < 0.9 else str(rng.choice([key, "", "../x.npy", "a/b.npy", "é.npy", "x.txt", "\x1b[2J.npy"]))
            archive.writestr(zipfile.ZipInfo(name or "/"), written)
    if rng.random() < 0.3:
        patch_zip(path, rng)


def _odd_member(content: bytes, rng: Generator) -> bytes:
    if rng.random() < 0.5:
        shapes = ["(1000000000000,)", "(100000, 100000, 10)", "(-1,)", "(300000000,)", "()", "(1" + ",1" * 40 + ")", "'x'", "(2**40,)"]
        descr = str(rng.choice(["<f8", "|O", "<U4", "|V8", "<M8[s]", "<c16", "bad", "<f99"]))
        header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shapes[rng.integers(len(shapes))]}, }}".encode()
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + content[-64:]
    return damaged(content, rng)


def odd_array(values: np.ndarray, rng: Generator) -> Any:
    """Another array in its place."""
    values = np.atleast_1d(values)
    ways = [
        lambda: values[:0],
        lambda: values[:-1],
        lambda: np.array([str(value)[:8] for value in values.ravel()]).reshape(values.shape),
        lambda: np.full(values.shape, np.nan),
        lambda: np.full(values.shape, np.inf),
        lambda: np.full(values.shape, 1e300),
        lambda: np.full(values.shape, 2**63, dtype=np.uint64),
        lambda: np.zeros(values.shape, dtype=np.complex128),
        lambda: np.zeros(values.shape, dtype="M8[s]"),
        lambda: np.zeros(values.shape, dtype=[("a", "f4")]),
        lambda: np.array(5.0),
        lambda: np.array(ODD_TEXT[rng.integers(len(ODD_TEXT))]),
        lambda: np.array([ODD_TEXT[i % len(ODD_TEXT)] for i in range(len(values))]),
        lambda: values[..., None, None],
        lambda: -np.abs(values) if values.dtype.kind in "if" else values,
        lambda: values[::-1],
        lambda: np.array([None, {}, []], dtype=object),
    ]
    return ways[rng.integers(len(ways))]()


def make_odd_mat(path: Path, rng: Generator) -> None:
    """Another MATLAB file of version 5."""
    import scipy.io
    import scipy.sparse

    found = {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("__")}
    for _ in range(int(rng.integers(1, 4))):
        key = list(found)[rng.integers(len(found))]
        value = found[key]
        ways = [
            lambda: scipy.sparse.csc_matrix(np.eye(3)),
            lambda value=value: odd_array(np.asarray(value), rng) if np.asarray(value).dtype.kind in "biuf" else np.zeros((0, 0)),
            lambda: np.array([[np.zeros((0, 0)), scipy.sparse.csc_matrix(np.eye(2))]], dtype=object),
            lambda: {"a": {"b": {"c": [1, 2]}}, "empty": np.zeros((0, 0))},
            lambda: ODD_TEXT[rng.integers(len(ODD_TEXT))],
            lambda: np.zeros((0, 0), dtype=object),
            lambda: np.array([["a", 1.0, None]], dtype=object),
        ]
        found[key] = ways[rng.integers(len(ways))]()
    try:
        scipy.io.savemat(path, found, do_compression=bool(rng.random() < 0.5))
    except (TypeError, ValueError, UnicodeError):
        path.write_bytes(damaged(path.read_bytes(), rng))


def make_odd_table(path: Path, rng: Generator) -> None:
    """Another table."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    choice = rng.random()
    if choice < 0.6:
        path.write_bytes(odd_text("\n".join(lines[:200]), rng).encode(errors="surrogatepass"))
    elif choice < 0.7:
        path.write_bytes("\n".join(lines).encode("utf-16"))
    elif choice < 0.8:
        path.write_text(lines[0] + "\n" + f'1,"{"x" * 200_000}"\n', encoding="utf-8")
    elif choice < 0.9:
        head = len(lines[0].split(","))
        rows = [",".join(str(rng.choice(["1e308", "-1e308", "1e17", "nan", "inf", "", "0", "-5", "1_0"])) for _ in range(head)) for _ in range(20)]
        path.write_text("\n".join([lines[0], *rows]), encoding="utf-8")
    else:
        path.write_bytes(damaged(text.encode(), rng))


def make_odd_zip(path: Path, rng: Generator) -> None:
    """Another zip of recordings."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    if rng.random() < 0.6:
        method = int(rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members.items():
                names = [name, "../up.h5", "/abs.h5", "", "a\\b.h5", "é\x1b[2J.h5", "x.txt", "dir/", "C:\\x.h5", "tiny.h5", "." * 300 + ".h5"]
                info = zipfile.ZipInfo(names[rng.integers(len(names))] or "/")
                info.compress_type = method
                if rng.random() < 0.1:
                    info.external_attr = 0o120777 << 16  # a link
                archive.writestr(info, content if rng.random() < 0.8 else damaged(content, rng))
    if rng.random() < 0.6:
        patch_zip(path, rng)
    elif rng.random() < 0.4:
        path.write_bytes(damaged(path.read_bytes(), rng))


def patch_zip(path: Path, rng: Generator) -> None:
    """Change single fields of a zip's headers: versions, flags, methods, sizes, lengths of names."""
    content = bytearray(path.read_bytes())
    for mark, fields in (
        (b"PK\x01\x02", (4, 6, 8, 10, 16, 20, 24, 28, 30, 34, 36, 42)),
        (b"PK\x03\x04", (4, 6, 8, 14, 18, 22, 26, 28)),
        (b"PK\x05\x06", (8, 10, 12, 16, 20)),
    ):
        at = content.find(mark)
        while at >= 0 and rng.random() < 0.5:
            place = at + int(rng.choice(fields))
            if place + 2 <= len(content):
                content[place : place + 2] = struct.pack("<H", int(rng.choice([0, 1, 255, 65535, 46, 90, 14, 8])))
            at = content.find(mark, at + 4)
    path.write_bytes(bytes(content))
