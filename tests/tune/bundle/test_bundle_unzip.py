"""Zips that somebody sent: what they may hold, and what never gets out of them."""

from __future__ import annotations

import re
import stat
import struct
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from lfads_core.errors import DataError, RunError
from lfads_plugins_tune.bundle import unzip
from lfads_plugins_tune.bundle.unzip import unpack

LIMIT = 10**6


@pytest.fixture
def folder(tmp_path):
    """Where recordings are unpacked to; whatever else is written below ``tmp_path`` has escaped."""
    path = tmp_path / "inside" / "data"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def zipped(tmp_path):
    """``zipped(("a.h5", b"..."), ...)`` is a zip of such entries; in place of a name there may be a ZipInfo."""

    def make(*entries, method=zipfile.ZIP_DEFLATED):
        path = tmp_path / "sessions.zip"
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
            warnings.simplefilter("ignore")  # of names that come twice
            for name, content in entries:
                archive.writestr(name, content)
        return path

    return make


def refused(source, folder, limit=LIMIT):
    with pytest.raises(DataError) as err:
        unpack(source, folder, limit)
    outside = [path for path in folder.parent.parent.rglob("*") if path.is_file() and path != source]
    assert outside == []  # not even inside
    return str(err.value)


def test_recordings_are_unpacked_side_by_side_and_junk_is_passed_over(zipped, folder):
    junk = ["__MACOSX/days/._a.h5", "days/.DS_Store", "days/._a.h5", "Thumbs.db", ".hidden/c.h5", "desktop.ini"]
    source = zipped(
        ("days/", b""), ("days/a.h5", b"A" * 5000), ("days/sub/b.HDF5", b"B"), ("days/notes.txt", b"x"), *((name, b"junk") for name in junk)
    )
    found = unpack(source, folder, LIMIT)
    assert found.recordings == [folder / "a.h5", folder / "b.HDF5"]
    assert found.passed_over == ["days/notes.txt"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.h5": b"A" * 5000, "b.HDF5": b"B"}


def test_unpacking_again_replaces_what_a_first_attempt_left(zipped, folder):
    (folder / "a.h5").write_bytes(b"half")
    unpack(zipped(("a.h5", b"whole")), folder, LIMIT)
    assert (folder / "a.h5").read_bytes() == b"whole"


@pytest.mark.parametrize(
    "name",
    [
        "/etc/a.h5",
        "../a.h5",
        "days/../../a.h5",
        "..\\a.h5",
        "days\\..\\..\\a.h5",
        "C:/a.h5",
        "C:a.h5",
        "c:\\a.h5",
        "\\\\server\\share\\a.h5",
        "\\a.h5",
        "../notes.txt",  # even what would be passed over
        "a\n.h5",
    ],
)
def test_an_entry_that_leads_away_is_refused(name, zipped, folder):
    source = zipped(("fine.h5", b"x"), (name, b"evil"))
    text = f"{source}: every entry must stay within the folder it is unpacked to, got {name!r}. Zip the recordings with their names alone."
    assert refused(source, folder) == text


def test_a_name_with_a_zero_byte_is_refused(zipped, folder):
    source = zipped(("aXb.h5", b"x"))
    source.write_bytes(source.read_bytes().replace(b"aXb.h5", b"a\0b.h5"))
    assert "every entry must stay within the folder it is unpacked to, got 'a\\x00b.h5'." in refused(source, folder)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(kind, zipped, folder):
    info = zipfile.ZipInfo("link.h5")
    info.external_attr = (kind | 0o777) << 16
    source = zipped((info, b"../../secret"))
    assert refused(source, folder) == f"{source}: every entry must be a file or a folder, got a link or device, 'link.h5'. Zip the recording itself."


def test_encrypted_entries_are_refused(zipped, folder):
    source = zipped(("a.h5", b"x"))
    content = bytearray(source.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(mark) + offset
        content[at] |= 1  # as a program that encrypts would say
    source.write_bytes(content)
    assert refused(source, folder) == f"{source}: no entry may be encrypted, got 'a.h5'. Zip without a password."


def test_an_unknown_compression_is_refused(zipped, folder):
    source = zipped(("a.h5", b"x"), method=zipfile.ZIP_STORED)
    content = bytearray(source.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", content, content.index(mark) + offset, 99)
    source.write_bytes(content)
    assert refused(source, folder).startswith(f"{source}: every entry must be stored or compressed by deflate, bzip2 or lzma, got 'a.h5'.")


@pytest.mark.parametrize("second", ["a.h5", "sub/a.h5", "sub/A.H5", "sub/a.hdf5"])
def test_two_recordings_of_one_name_are_refused(second, zipped, folder):
    source = zipped(("a.h5", b"1"), (second, b"2"))
    assert refused(source, folder) == f"{source}: every recording must have a name of its own, got 'a.h5' and {second!r}. Rename one."


def test_more_than_is_allowed_is_refused_by_what_the_zip_says(zipped, folder):
    source = zipped(("a.h5", b"\0" * 700_000), ("b.h5", b"\0" * 700_000))
    assert source.stat().st_size < 5000  # a bomb: next to nothing packed
    text = refused(source, folder)
    assert text == (
        f"{source}: its recordings may take 1 MB unpacked, got recordings which say that they take 1.4 MB. "
        "Allow more with --max-size if you trust them."
    )
    assert len(unpack(source, folder, 2 * LIMIT).recordings) == 2


def test_a_zip_that_lies_about_its_size_writes_no_more_than_it_said(zipped, folder):
    source = zipped(("a.h5", b"\0" * 3_000_000))
    content = bytearray(source.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(mark) + offset, 1000)  # says it is small
    source.write_bytes(content)
    assert refused(source, folder) == f"{source}: must be a whole zip of recordings, got: Bad CRC-32 for file 'a.h5'. Make it anew."


def test_what_really_comes_out_is_counted(zipped, folder, monkeypatch):
    source = zipped(("a.h5", b"\0" * 3_000_000))
    monkeypatch.setattr(unzip, "_check_sizes", lambda *_: None)
    assert "got recordings that go on beyond it." in refused(source, folder)


def test_entries_that_share_their_bytes_are_counted_each(zipped, folder):
    source = zipped(*((f"{name}.h5", b"\0" * 400_000) for name in "abc"))
    content = bytearray(source.read_bytes())
    starts = [found.start() for found in re.finditer(b"PK\x01\x02", bytes(content))]
    for at in starts:  # every entry leads to the first one's bytes
        struct.pack_into("<I", content, at + 42, 0)
    source.write_bytes(content)
    assert refused(source, folder)


def test_more_than_the_disk_has_is_refused(zipped, folder, monkeypatch):
    monkeypatch.setattr(unzip.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    source = zipped(("a.h5", b"x" * 5000))
    assert refused(source, folder) == f"{source}: its recordings take 5 kB unpacked, but {folder} has 1 kB left. Make room."


def test_too_many_entries_are_refused(zipped, folder, monkeypatch):
    monkeypatch.setattr(unzip, "MOST_ENTRIES", 2)
    source = zipped(*((f"{name}.h5", b"x") for name in "abc"))
    assert refused(source, folder) == f"{source}: a zip must hold at most 2 entries, got 3. Zip the recordings alone."


def test_a_zip_without_recordings_is_refused(zipped, folder):
    source = zipped(("a.mat", b"x"), ("__MACOSX/._a.h5", b"x"))
    assert refused(source, folder) == f"{source}: a zip must hold at least one recording (*.h5, *.hdf5, *.hdf, *.he5), got none. Zip HDF5 files."


def test_every_fault_is_told(zipped, folder):
    source = zipped(("/a.h5", b"x"), ("../b.h5", b"x"))
    assert len(refused(source, folder).splitlines()) == 2


@pytest.mark.parametrize("cut", [0, 10, 0.5, 0.95])
def test_half_a_zip_is_refused(cut, zipped, folder):
    source = zipped(("a.h5", bytes(range(256)) * 500))
    content = source.read_bytes()
    source.write_bytes(content[: int(cut if isinstance(cut, int) else cut * len(content))])
    assert refused(source, folder).startswith(f"{source}: must be a whole zip of recordings, got: ")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_contents_are_refused_and_leave_nothing(method, zipped, folder):
    import numpy as np

    body = np.random.default_rng(0).bytes(20_000)
    source = zipped(("a.h5", body), method=method)
    content = bytearray(source.read_bytes())
    content[10_000] ^= 0xFF
    content[10_001] ^= 0xFF
    source.write_bytes(content)
    assert refused(source, folder).startswith(f"{source}: must be a whole zip of recordings, got: ")


def test_a_zip_that_is_not_there_is_told(folder, tmp_path):
    with pytest.raises(DataError) as err:
        unpack(tmp_path / "none.zip", folder, LIMIT)
    assert str(err.value) == f"{tmp_path}/none.zip: must be a readable zip of recordings, got: No such file or directory. Check the path."


def test_a_full_disk_is_told_as_such(zipped, folder, monkeypatch):
    source = zipped(("a.h5", b"x"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunError, match=r"a\.h5: must be written in full, got: No space left on device\. Make room"):
        unpack(source, folder, LIMIT)
    assert list(folder.iterdir()) == []
