"""Files, folders and patterns become sessions with names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lfads_core.data.layout import session_from_arrays
from lfads_core.data.read import find_files, read_sessions
from lfads_core.data.session import Session, Split
from lfads_core.errors import DataError
from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import DataReaderSpec


def refused(patterns, text, registry=None):
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        read_sessions(patterns, registry)


def test_files_patterns_and_folders_give_sessions_sorted_by_name(write_recording, counts, tmp_path):
    for name in ("b.h5", "a.hdf5", "c.h5", "notes.txt", ".hidden.h5"):
        write_recording(name, counts)
    assert [s.name for s in read_sessions([tmp_path])] == ["a", "b", "c"]
    assert [s.name for s in read_sessions([str(tmp_path / "*.h5")])] == ["b", "c"]
    assert [s.name for s in read_sessions([tmp_path / "c.h5", tmp_path / "b.h5"])] == ["b", "c"]


def test_a_file_named_twice_is_read_once(write_recording, counts, tmp_path, monkeypatch):
    write_recording("a.h5", counts)
    monkeypatch.chdir(tmp_path)
    assert [s.path for s in read_sessions(["a.h5", tmp_path / "a.h5", "*.h5"])] == [Path("a.h5")]


def test_a_relative_pattern_is_looked_up_from_here(write_recording, counts, tmp_path, monkeypatch):
    (tmp_path / "day").mkdir()
    write_recording("day/a.h5", counts)
    monkeypatch.chdir(tmp_path)
    assert find_files(["d*/*.h5"]) == [Path("day/a.h5")]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(write_recording, counts):
    assert [s.name for s in read_sessions([write_recording("m[1].h5", counts)])] == ["m_1_"]


def test_names_keep_letters_digits_dashes_and_underscores(write_recording, counts):
    assert [s.name for s in read_sessions([write_recording("Jenkins 2009-09.18 M1_a.h5", counts)])] == ["Jenkins_2009-09_18_M1_a"]


def test_two_files_of_one_name_are_refused_naming_both(write_recording, counts, tmp_path):
    (tmp_path / "x").mkdir()
    first, second = write_recording("a b.h5", counts), write_recording("x/a_b.h5", counts)
    refused([first, second], f"{second}: every session must have a name of its own, but {first} is called 'a_b' too. Rename one of the files.")


def test_no_pattern_at_all_is_refused():
    refused([], "no data: must be given at least one file, folder or pattern, got none. Name a recording, such as data.h5.")


def test_a_file_that_is_not_there_names_near_misses(write_recording, counts, tmp_path):
    write_recording("lorenz.h5", counts)
    path = tmp_path / "lorens.h5"
    refused([path], f"{path}: must be a file, a folder or a pattern, found nothing there. Did you mean 'lorenz.h5'? Check the path.")
    path = tmp_path / "nowhere" / "a.h5"
    refused([path], f"{path}: must be a file, a folder or a pattern, found nothing there. Check the path.")


def test_a_pattern_without_a_match_is_refused(tmp_path):
    path = tmp_path / "*.h5"
    refused([path], f"{path}: must match at least one file, matched none. Check the folder and the ending.")


def test_a_folder_without_recordings_says_what_is_in_it(tmp_path):
    refused([tmp_path], f"{tmp_path}: must hold a recording (*.h5, *.hdf5, *.hdf, *.he5), found an empty folder. Name a file.")
    for i in range(7):
        (tmp_path / f"{i}.mat").touch()
    refused(
        [tmp_path],
        f"{tmp_path}: must hold a recording (*.h5, *.hdf5, *.hdf, *.he5), found 0.mat, 1.mat, 2.mat, 3.mat, 4.mat and 2 more. Name a file.",
    )


class Npz:
    """A plugin that reads NumPy archives."""

    @hookimpl
    def lfads_data_readers(self):
        yield DataReaderSpec(name="npz", summary="NumPy archives", matches=lambda path: path.suffix == ".npz", read=self.read)

    @staticmethod
    def read(path):
        with np.load(path) as arrays:
            if "raw" in arrays:  # a reader that checks nothing
                split = Split(encod=arrays["raw"], recon=arrays["raw"][:, 1:], external=np.zeros((4, 4, 0)))
                return Session(name="raw", path=None, splits={"train": split, "valid": split})
            return session_from_arrays("whatever", dict(arrays))


@pytest.fixture
def registry():
    return Registry.from_plugins({"npz": Npz()})


def test_a_registered_reader_reads_its_files_and_the_name_is_still_the_file_s(registry, counts, tmp_path, write_recording):
    np.savez(tmp_path / "b.npz", **{key: values.astype(np.uint8) for key, values in counts.items()})
    write_recording("a.h5", counts)
    first, second = read_sessions([tmp_path], registry)
    assert (first.name, second.name, second.path) == ("a", "b", tmp_path / "b.npz")
    train = second.splits["train"]
    np.testing.assert_array_equal(train.encod, counts["train_encod_data"])
    assert train.recon is train.encod
    assert train.encod.dtype == np.float32


def test_a_reader_that_fails_is_named(registry, tmp_path):
    path = tmp_path / "b.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(
        DataError,
        match=rf"^{re.escape(str(path))}: the reader 'npz' of npz 0 \(entry point 'npz'\) must return a session, but failed with \w+: .*, at "
        r".*\. Mend the file or the plugin\.$",
    ):
        read_sessions([path], registry)


def test_a_reader_s_own_error_is_passed_on(registry, tmp_path, counts):
    path = tmp_path / "b.npz"
    np.savez(path, valid_encod_data=counts["valid_encod_data"])
    with pytest.raises(DataError, match=r"^session 'whatever': 'train_encod_data' .* must be there"):
        read_sessions([path], registry)


def test_what_a_reader_returns_must_fit_together_like_a_file(registry, tmp_path):
    path = tmp_path / "b.npz"
    np.savez(path, raw=np.ones((4, 5, 3)))
    text = "'train_encod_data' must not have more bins than 'train_recon_data', got 5 and 4. Cut the input, or reconstruct all bins that are read."
    refused([path], f"{path}: {text}", registry)
