"""Rows read from disk: by which way, how many at a time, from several threads and processes; and what is told when the file goes away."""

from __future__ import annotations

import os
import tempfile
import threading
import types
from unittest.mock import Mock

import h5py
import numpy as np
import pytest

from lfads_core.data import rows as module
from lfads_core.data.rows import BlockRows, ChunkRows, SomeChannels, open_rows, row_blocks
from lfads_core.errors import DataError

DATA = np.random.default_rng(0).poisson(3.0, (9, 5, 4)).astype("f8") / 2


def stored(path, data=DATA, **layout):
    with h5py.File(path, "w") as file:
        file.create_dataset("g/x", data=data, **layout)
    return path


def opened(path, dtype="f4", **options):
    with h5py.File(path) as file:
        return open_rows(path, file["g/x"], dtype, **options)


def refused(call, text):
    with pytest.raises(DataError) as caught:
        call()
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("layout", "kind"),
    [
        ({}, BlockRows),
        ({"dtype": ">u2"}, BlockRows),
        ({"chunks": (1, 5, 4)}, ChunkRows),
        ({"chunks": (1, 2, 4), "compression": "gzip"}, ChunkRows),
        ({"chunks": (2, 5, 1)}, BlockRows),
    ],
)
def test_rows_are_the_file_s_by_every_way_and_in_every_order(tmp_path, layout, kind):
    path = stored(tmp_path / "a.h5", **layout)
    with h5py.File(path) as file:
        whole = file["g/x"][()]
    for dtype in ("f4", "f8"):
        rows = opened(path, dtype)
        assert type(rows) is kind
        assert (rows.shape, rows.dtype) == ((9, 5, 4), np.dtype(dtype))
        for wanted in ([8, 0, 1, 2, 5], [3, 3, 4], [2, 1], []):
            got = rows.take(np.array(wanted, dtype=int))
            assert got.dtype == dtype
            np.testing.assert_array_equal(got, whole[wanted])


def test_a_block_without_numpy_s_numbers_is_left_to_hdf5(tmp_path, monkeypatch):
    assert type(opened(stored(tmp_path / "a.h5", DATA.astype(complex)), complex)) is ChunkRows
    monkeypatch.delattr(os, "preadv")  # Windows
    rows = opened(stored(tmp_path / "b.h5"))
    assert type(rows) is ChunkRows
    np.testing.assert_array_equal(rows.take(np.array([4, 2])), DATA[[4, 2]].astype("f4"))


def test_blocks_come_in_order_with_the_number_of_their_first(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 200)  # of single precision two trials, of double one
    for dtype, starts in (("f4", [0, 2, 4, 6, 8]), ("f8", list(range(9)))):
        found = list(opened(stored(tmp_path / "a.h5"), dtype).blocks())
        assert [first for first, _ in found] == starts
        np.testing.assert_array_equal(np.concatenate([block for _, block in found]), DATA)


def test_a_single_number_a_row_and_rows_of_nothing_are_blocks_too(monkeypatch):
    assert list(row_blocks((5,), 8)) == [slice(0, 5)]
    assert list(row_blocks((3, 0), 8)) == [slice(0, 3)]
    monkeypatch.setattr(module, "BLOCK_BYTES", 4)
    assert list(row_blocks((10,), 1)) == [slice(0, 4), slice(4, 8), slice(8, 10)]


def reads(monkeypatch):
    """Where each read began and how much it could take."""
    seen = []
    real = os.preadv

    def preadv(file, targets, offset):
        seen.append((offset, sum(len(target) for target in targets)))
        return real(file, targets, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    return seen


def test_rows_that_follow_one_another_are_read_in_one_go(tmp_path, monkeypatch):
    path = stored(tmp_path / "a.h5")
    with h5py.File(path) as file:
        begin = file["g/x"].id.get_offset()
    rows, size = opened(path), 5 * 4 * 8
    seen = reads(monkeypatch)
    for wanted, runs in (
        ([0, 1, 2, 5, 6], [(0, 3), (5, 2)]),
        (list(range(9)), [(0, 9)]),
        ([4, 1, 2], [(4, 1), (1, 1), (2, 1)]),
        ([2, 2], [(2, 1)] * 2),
    ):
        seen.clear()
        rows.take(np.array(wanted))
        assert seen == [(begin + first * size, count * size) for first, count in runs]


def test_what_comes_in_pieces_is_put_together(tmp_path, monkeypatch):
    rows = opened(stored(tmp_path / "a.h5"), "f8")
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, targets, offset: real(file, [targets[0][:33]], offset))
    np.testing.assert_array_equal(rows.take(np.array([7, 2, 3])), DATA[[7, 2, 3]])


def test_a_disk_that_fails_and_a_file_that_shrinks_are_told_in_a_sentence(tmp_path, monkeypatch):
    path = stored(tmp_path / "a.h5")
    rows = opened(path)
    take = lambda: rows.take(np.array([8]))  # noqa: E731
    os.truncate(path, path.stat().st_size - 100)
    refused(take, f"{path}: must stay as it was while it is used, but it has become shorter. Restore it, then resume.")

    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fails)
    refused(take, f"{path}: must stay readable while it is used, got: Input/output error. Mend the disk, then resume.")


@pytest.mark.parametrize("layout", [{}, {"chunks": (3, 5, 4)}])
def test_a_file_that_is_no_longer_needed_is_closed(tmp_path, layout):
    rows = opened(stored(tmp_path / "a.h5", **layout))
    number = rows._file
    assert os.fstat(number)
    del rows
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_each_thread_opens_a_file_of_its_own_once(tmp_path, monkeypatch):
    path = stored(tmp_path / "a.h5", chunks=(1, 5, 4))
    rows, seen, real = opened(path), [], module._opened
    monkeypatch.setattr(module, "_opened", lambda path: seen.append(threading.get_ident()) or real(path))

    def read():
        for trial in (3, 7):
            np.testing.assert_array_equal(rows.take(np.array([trial])), DATA[[trial]].astype("f4"))

    read()
    assert seen == [threading.get_ident()]
    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert len(seen) == 2
    assert seen[1] != seen[0]


def test_a_forked_process_opens_the_file_again(tmp_path, monkeypatch):
    rows = opened(stored(tmp_path / "a.h5", chunks=(1, 5, 4)))
    rows.take(np.array([0]))
    before = rows._own.file
    real = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: real + 1)
    np.testing.assert_array_equal(rows.take(np.array([2])), DATA[[2]].astype("f4"))
    assert rows._own.file is not before
    after = rows._own.file
    rows.take(np.array([1]))
    assert rows._own.file is after


def test_chunks_whose_file_is_gone_are_told_in_a_sentence(tmp_path):
    path = stored(tmp_path / "a.h5", chunks=(1, 5, 4))
    rows = opened(path)
    path.unlink()
    with pytest.raises(DataError) as caught:
        rows.take(np.array([0]))
    assert str(caught.value).startswith(f"{path}: '/g/x' must stay readable while it is used, got: ")
    assert str(caught.value).endswith(". Restore the file, then resume.")
    with h5py.File(path, "w") as file:
        file["y"] = 1
    with pytest.raises(DataError, match=r"a\.h5: '/g/x' must stay readable while it is used, got: "):
        rows.take(np.array([0]))


def test_a_file_system_without_locks_is_read_without_one(tmp_path, monkeypatch):
    path = stored(tmp_path / "a.h5", chunks=(1, 5, 4))
    rows, real, asked = opened(path), h5py.File, []

    def no_locks(name, mode=None, *, locking=None):
        asked.append((name, mode, locking))
        if locking is None:
            raise OSError(37, "unable to lock file")
        return real(name, mode, locking=locking)

    monkeypatch.setattr(h5py, "File", no_locks)
    np.testing.assert_array_equal(rows.take(np.array([1])), DATA[[1]].astype("f4"))
    assert asked == [(path, "r", None), (path, "r", False)]


class _Seen:
    """What :mod:`tempfile` gives, and what is asked of it."""

    def __init__(self, monkeypatch, fault=None):
        self.prefixes, self.sizes = [], []
        real = tempfile.TemporaryFile

        def temporary(**options):
            self.prefixes.append(options.get("prefix"))
            file = real(**options)
            outer = self

            class Scratch:
                def __enter__(self):
                    return self

                def __exit__(self, *error):
                    file.close()

                def write(self, content):
                    outer.sizes.append(len(content))
                    if fault is not None:
                        raise fault
                    return file.write(content)

                flush = staticmethod(file.flush)
                fileno = staticmethod(file.fileno)

            return Scratch()

        monkeypatch.setattr(tempfile, "TemporaryFile", temporary)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("chunk", "steps"), [(2, [2, 2, 2, 2, 1]), (4, [4, 4, 1]), (9, [9])])
def test_a_copy_is_made_chunk_by_chunk(tmp_path, monkeypatch, turned, chunk, steps):
    data, chunks = (np.transpose(DATA), (3, 4, chunk)) if turned else (DATA, (chunk, 4, 3))
    path = stored(tmp_path / "a.h5", data, chunks=chunks, compression="gzip")
    seen = _Seen(monkeypatch)
    rows = opened(path, turned=turned)
    assert seen.prefixes == ["lfads-"]
    assert seen.sizes == [step * 5 * 4 * 4 for step in steps]
    assert (rows.shape, rows.dtype) == ((9, 5, 4), np.dtype("f4"))
    np.testing.assert_array_equal(rows.take(np.array([8, 3, 4])), DATA[[8, 3, 4]].astype("f4"))


def test_a_turned_block_is_copied_in_few_passes(tmp_path, monkeypatch):
    path = stored(tmp_path / "a.h5", np.transpose(DATA))
    monkeypatch.setattr(module, "BLOCK_BYTES", 5 * 4 * 8 * 4)
    for dtype, steps in (("f8", [4, 4, 1]), ("f4", [8, 1])):
        with pytest.MonkeyPatch.context() as patch:
            seen = _Seen(patch)
            rows = opened(path, dtype, turned=True)
        assert seen.sizes == [step * 5 * 4 * np.dtype(dtype).itemsize for step in steps]
        np.testing.assert_array_equal(rows.take(np.arange(9)), DATA.astype(dtype))


@pytest.mark.parametrize(("turned", "is_"), [(False, "compressed over many trials"), (True, "stored with trials last")])
@pytest.mark.parametrize(("fault", "said"), [(OSError(28, "No space left on device"), "No space left on device"), (ValueError("odd"), "odd")])
def test_a_copy_that_fails_says_how_much_room_it_wants(tmp_path, monkeypatch, turned, is_, fault, said):
    _Seen(monkeypatch, fault)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dataset = types.SimpleNamespace(
        shape=(3000, 1000, 900),
        chunks=(1000, 2, 900),
        name="/x",
        id=types.SimpleNamespace(get_offset=lambda: None),
        astype=lambda _: np.zeros((1, 1, 1)),
    )
    refused(
        lambda: open_rows(tmp_path / "a.h5", dataset, "f4", turned=turned),
        f"{tmp_path / 'a.h5'}: '/x' is {is_} and must be copied once (10.8 GB) into {tmp_path}, got: {said}. "
        "Make room, set TMPDIR to another folder, or store it in chunks of single trials.",
    )


def test_where_nothing_can_be_put_aside_a_copy_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "TemporaryFile", Mock(side_effect=FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("x", data=DATA, chunks=(3, *DATA.shape[1:]))
        refused(
            lambda: open_rows(tmp_path / "a.h5", dataset, "f4"),
            f"{tmp_path / 'a.h5'}: '/x' is compressed over many trials and must be copied once (0.0 GB) into a temporary folder, "
            "got: No usable temporary directory found in ['/tmp']. Make room, set TMPDIR to another folder, or store it in chunks of single trials.",
        )


def test_a_copy_that_became_shorter_names_the_recording(tmp_path):
    path = stored(tmp_path / "a.h5", chunks=(3, 5, 4))
    rows = opened(path)
    os.truncate(rows._file, 10)
    refused(lambda: rows.take(np.array([5])), f"{path}: must stay as it was while it is used, but it has become shorter. Restore it, then resume.")


def test_some_channels_come_in_their_own_order_and_rows_stay_contiguous(tmp_path):
    some = SomeChannels(opened(stored(tmp_path / "a.h5"), "f8"), np.array([3, 0]))
    assert (some.shape, some.dtype) == ((9, 5, 2), np.dtype("f8"))
    got = some.take(np.array([6, 1]))
    np.testing.assert_array_equal(got, DATA[[6, 1]][:, :, [3, 0]])
    assert got.flags.c_contiguous
