"""Writing HDF5 on a disk that gets full: one error, no crash, and the same file as h5py's where there is room."""

from __future__ import annotations

import errno
import os

import h5py
import numpy as np
import pytest

from lfads_core.output_file import OutputFile


def fill(file):
    rng = np.random.default_rng(0)
    for number in range(20):
        file.create_dataset(f"a/{number}", data=rng.normal(size=(50, 40)), chunks=(7, 40), compression="gzip" if number % 2 else None)
    file["text"] = ["one", "two"]
    file["a/0"].attrs["unit"] = "mm"
    del file["a/3"]


def contents(path):
    with h5py.File(path) as file:
        found = {}
        file.visititems(lambda key, item: found.update({key: item[()].tobytes()} if isinstance(item, h5py.Dataset) and key != "text" else {}))
        return found, file["text"].asstr()[()].tolist(), dict(file["a/0"].attrs)


@pytest.fixture
def full_after(monkeypatch):
    """The disk takes so many bytes and no more; the last write that it takes it takes in part."""

    def limit(count):
        left, pwrite, truncate = [count], os.pwrite, os.ftruncate

        def write(file, content, offset):
            size = min(len(content), left[0])
            if not size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left[0] -= size
            return pwrite(file, content[:size], offset)

        def cut(file, size):
            if not left[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            truncate(file, size)

        monkeypatch.setattr(os, "pwrite", write)
        monkeypatch.setattr(os, "ftruncate", cut)

    return limit


def test_with_room_the_file_is_that_of_h5py(tmp_path):
    with OutputFile(tmp_path / "ours.h5") as file:
        fill(file)
        file.require_written()
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        fill(file)
    assert contents(tmp_path / "ours.h5") == contents(tmp_path / "theirs.h5")
    with OutputFile(tmp_path / "ours.h5", "r+") as file:
        file["more"] = np.arange(3)
    with h5py.File(tmp_path / "ours.h5") as file:
        assert file["more"][()].tolist() == [0, 1, 2]
    assert contents(tmp_path / "ours.h5")[1:] == contents(tmp_path / "theirs.h5")[1:]


@pytest.mark.parametrize("room", [0, 1, 100, 2000, 5000, 20_000, 60_000, 120_000])
@pytest.mark.parametrize("asked", [True, False])
def test_a_full_disk_is_one_error_wherever_it_comes(tmp_path, full_after, room, asked):
    full_after(room)

    def write():
        with OutputFile(tmp_path / "a.h5") as file:
            fill(file)
            if asked:
                file.flush()
                file.require_written()

    with pytest.raises(OSError, match="No space left on device") as caught:
        write()
    assert caught.value.errno == errno.ENOSPC


def test_what_the_block_raises_stays_the_error_where_there_is_room(tmp_path):
    with pytest.raises(KeyError, match="mine"), OutputFile(tmp_path / "a.h5"):
        raise KeyError("mine")
