"""Readers of plugins: asked in order, held to what a session is, and never in the way of other files; raw recordings are told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lfads_core.data.layout import session_from_arrays
from lfads_core.data.memory import SAMPLE_BYTES
from lfads_core.data.read import find_files, name_files, read_session, read_sessions, readers_of, session_name
from lfads_core.data.session import Session, Split
from lfads_core.errors import DataError
from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import DataReaderSpec, RecordingSpec


def ending(suffix):
    return lambda path: path.suffix == suffix


def reader(name, read=None, matches=None):
    return DataReaderSpec(name=name, summary="x", matches=matches or ending(f".{name}"), read=read or (lambda _: whole()))


def raw(name, matches=None, **more):
    return RecordingSpec(name=name, summary=f"{name} files", matches=matches or ending(f".{name}"), read=lambda *_: {}, **more)


def registry(readers=(), recordings=()):
    class Plugin:
        @hookimpl
        def lfads_data_readers(self):
            return list(readers)

        @hookimpl
        def lfads_recordings(self):
            return list(recordings)

    return Registry.from_plugins({"foo": Plugin()})


def whole(**more):
    arrays = {f"{split}_encod_data": np.ones((trials, 5, 3)) for split, trials in (("train", 4), ("valid", 2))}
    return session_from_arrays("whatever", arrays | more, {"bin_ms": 20.0})


def refused(call, text):
    with pytest.raises(DataError) as caught:
        call()
    assert str(caught.value) == text


def test_the_first_reader_that_takes_a_file_reads_it_at_the_precision_wanted(tmp_path):
    (tmp_path / "a.b").touch()
    taken = registry([reader("no"), reader("one", matches=ending(".b")), reader("two", lambda _: None, matches=ending(".b"))])
    (session,) = read_sessions([tmp_path / "a.b"], taken, dtype=np.float64)
    assert (session.name, session.path, session.bin_ms) == ("a", tmp_path / "a.b", 20.0)
    assert session.splits["train"].encod.dtype == np.float64
    assert readers_of(None) == ()
    assert [spec.name for spec in readers_of(taken)] == ["no", "one", "two"]


def test_splits_that_are_not_required_may_be_missing_from_what_a_reader_gives(tmp_path):
    (tmp_path / "a.b").touch()
    test = session_from_arrays("x", {"test_encod_data": np.ones((4, 5, 3))}, required=())
    (session,) = read_sessions([tmp_path / "a.b"], registry([reader("b", lambda _: test)]), required=())
    assert list(session.splits) == ["test"]
    with pytest.raises(DataError, match=r"a\.b: 'train_encod_data' .* must be there"):
        read_sessions([tmp_path / "a.b"], registry([reader("b", lambda _: test)]))


def test_a_reader_that_cannot_say_what_it_takes_is_passed_over_with_one_warning(tmp_path, write_recording, counts, caplog):
    def broken(_path):
        raise RuntimeError("my fault")

    write_recording("a.h5", counts)
    assert [s.name for s in read_sessions([tmp_path], registry([reader("x", matches=broken)]))] == ["a"]
    assert caplog.messages == ["foo 0 (entry point 'foo'): the reader 'x' failed and other readers are tried (RuntimeError: my fault)"]


@pytest.mark.parametrize(("answer", "told"), [(None, "null"), ("yes", "'yes'"), (1, "1")])
def test_a_reader_must_say_true_or_false(tmp_path, write_recording, counts, caplog, answer, told):
    write_recording("a.h5", counts)
    (session,) = read_sessions([tmp_path / "a.h5"], registry([reader("x", matches=lambda _: answer)]))
    assert session.name == "a"
    (said,) = caplog.messages
    assert said.endswith(f"failed and other readers are tried (TypeError: matches must give True or False, got {told})")


BY = "a.b: the reader 'b' of foo 0 (entry point 'foo') must return a session, but"


def split(**changes):
    return replace(whole().splits["train"], **changes)


def session(**changes):
    return replace(whole(), **changes)


NO_SESSION = [
    (None, "it is not one, got None"),
    ({}, "it is not one, got a dict"),
    (Path("x"), f"it is not one, got a {type(Path('x')).__module__}.{type(Path('x')).__qualname__}"),
    (session, "it is not one, got a function"),
]


@pytest.mark.parametrize(("given", "fault"), NO_SESSION)
def test_what_is_no_session_is_told_with_what_it_is(tmp_path, monkeypatch, given, fault):
    monkeypatch.chdir(tmp_path)
    Path("a.b").touch()
    refused(lambda: read_sessions(["a.b"], registry([reader("b", lambda _: given)])), f"{BY} {fault}. Mend the plugin.")
    text = fault.removeprefix("it is not one")
    text = f"a.b: the reader 'b' must return a lfads_core.data.session.Session{text}. Mend the plugin."
    refused(lambda: read_session(Path("a.b"), [reader("b", lambda _: given)]), text)


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"splits": [1]}, "it is not one with a mapping of splits, got a list"),
        ({"arrays": None}, "it is not one with a mapping of arrays, got None"),
        ({"attributes": 3}, "it is not one with a mapping of attributes, got a int"),
        ({"splits": {"train": 1.5}}, "it is not one of lfads_core.data.session.Split, got a float for 'train'"),
    ],
)
def test_what_is_no_part_of_a_session_is_told_with_its_place(tmp_path, monkeypatch, changes, fault):
    monkeypatch.chdir(tmp_path)
    Path("a.b").touch()
    refused(lambda: read_sessions(["a.b"], registry([reader("b", lambda _: session(**changes))])), f"{BY} {fault}. Mend the plugin.")


@pytest.mark.wrong_types
@pytest.mark.parametrize("what", ["encod", "recon", "external"])
def test_what_is_no_array_of_a_split_is_told_with_its_place(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    Path("a.b").touch()
    given = session(splits={"train": split(), "valid": split(**{what: [[1]]})})
    fault = f"it is not one of NumPy arrays, got a list for '{what}' of 'valid'. Mend the plugin."
    refused(lambda: read_sessions(["a.b"], registry([reader("b", lambda _: given)])), f"{BY} {fault}")


@pytest.mark.wrong_types
def test_external_inputs_of_other_axes_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.b").touch()
    given = session(splits={"train": split(), "valid": split(external=np.zeros((2, 5)))})
    fault = "it is not one whose 'external' has the axes of 'encod', got (2, 5) in 'valid'. Mend the plugin."
    refused(lambda: read_sessions(["a.b"], registry([reader("b", lambda _: given)])), f"{BY} {fault}")


def test_a_reader_that_fails_or_ends_the_program_is_told_with_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.b").touch()

    def broken(_path):
        raise KeyError("gone")

    def ends(_path):
        raise SystemExit(3)

    for read, said in ((broken, "KeyError: 'gone'"), (ends, "SystemExit: 3")):
        line = read.__code__.co_firstlineno + 1
        text = f"{BY} failed with {said}, at {Path(__file__).name}:{line}. Mend the file or the plugin."
        refused(lambda: read_sessions(["a.b"], registry([reader("b", read)])), text)  # noqa: B023


def test_a_raw_recording_is_told_with_the_command_that_makes_a_file_of_it(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    for name in ("it's.nwb", "b.ced"):
        Path(name).touch()
    offered = registry(
        [], [raw("abc"), raw("nwb"), raw("ced", suggest=lambda path: f"lfads data make {path} --events go"), raw("nwbs", ending(".nwb"))]
    )
    start = "must be a file for training, got a raw recording"
    command = """lfads data make 'it'"'"'s.nwb' -o 'it'"'"'s'.h5"""
    refused(lambda: read_sessions(["it's.nwb"], offered), f"it's.nwb: {start} (nwb files). Make one of it, such as: {command}")
    refused(lambda: read_sessions(["b.ced"], offered), f"b.ced: {start} (ced files). Make one of it, such as: lfads data make b.ced --events go")
    assert caplog.messages == []
    taken = registry([reader("nwb")], [raw("nwb")])  # a reader comes first
    assert read_sessions(["it's.nwb"], taken)[0].name == "it_s"


def test_formats_that_fail_are_passed_over_and_what_nobody_knows_is_read_as_hdf5(tmp_path, monkeypatch, caplog, write_recording, counts):
    def broken(_path):
        raise RuntimeError("my fault")

    monkeypatch.chdir(tmp_path)
    Path("b.ced").touch()
    offered = registry([], [raw("x", broken), raw("ced", suggest=broken)])
    command = "lfads data make b.ced -o b.h5"
    refused(
        lambda: read_sessions(["b.ced"], offered),
        f"b.ced: must be a file for training, got a raw recording (ced files). Make one of it, such as: {command}",
    )
    assert caplog.messages == ["foo 0 (entry point 'foo'): the recording format 'x' failed and other formats are tried (RuntimeError: my fault)"]
    write_recording("a.data", counts)
    write_recording("A.H5", counts)
    assert read_sessions(["a.data"], registry([], [raw("ced")]))[0].name == "a"
    assert read_sessions(["A.H5"], registry([], [raw("all", lambda _: True)]))[0].name == "A"
    assert read_sessions(["a.data"])[0].name == "a"


def test_files_of_plugins_count_nothing_and_the_room_is_for_all_files_together(tmp_path, write_recording, counts):
    need = sum(values.nbytes for values in counts.values())
    for name in ("a.h5", "b.h5"):
        write_recording(name, counts)
    (tmp_path / "c.b").touch()
    offered = registry([reader("b")])
    assert [bool(s.stored) for s in read_sessions([tmp_path], offered, room=2 * need)] == [False, False, False]
    assert [bool(s.stored) for s in read_sessions([tmp_path], offered, room=2 * need - 1)] == [True, True, False]
    doubled = read_sessions([tmp_path / "a.h5"], room=2 * need - 1, dtype=np.float64)
    assert doubled[0].stored
    assert doubled[0].stored["train"].encod.dtype == np.float64


def test_samples_and_what_is_no_trials_have_a_place_however_small_the_room(tmp_path, write_recording, counts, monkeypatch):
    from lfads_core.data import read

    given = []

    def record(path, *, room, keep_on_disk, **_options):
        given.append((path.name, room, keep_on_disk))
        return whole()

    path = write_recording("a.h5", counts)
    monkeypatch.setattr(read, "read_hdf5", record)
    for room in (None, 10, 100 * SAMPLE_BYTES):
        read_sessions([path], room=room)
    assert given == [("a.h5", None, False), ("a.h5", 16 * SAMPLE_BYTES, True), ("a.h5", 100 * SAMPLE_BYTES, False)]


def test_a_folder_may_be_a_recording_and_is_then_not_looked_into(tmp_path, write_recording, counts):
    (tmp_path / "day.zarr").mkdir()
    (tmp_path / "plain.h5").mkdir()
    write_recording("day.zarr/inside.h5", counts)
    readers = [reader("zarr")]
    assert find_files([tmp_path / "day.zarr"], readers) == [tmp_path / "day.zarr"]
    assert find_files([tmp_path], readers) == [tmp_path / "day.zarr"]
    assert find_files([tmp_path / "*.zarr"], readers) == [tmp_path / "day.zarr"]
    refused(
        lambda: find_files([tmp_path / "*.zarr"]),
        f"{tmp_path / '*.zarr'}: must match at least one file, matched none. Check the folder and the ending.",
    )
    assert find_files([tmp_path / "day.zarr"]) == [tmp_path / "day.zarr" / "inside.h5"]
    assert name_files([tmp_path], iter(readers)) == {"day": tmp_path / "day.zarr"}


def test_hidden_files_are_taken_by_patterns_that_say_so_and_endings_in_any_case(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (".a.h5", "b.HDF5", "c.hdf", "d.he5", "e.txt"):
        Path(name).touch()
    Path(".x").mkdir()
    readers = [reader("all", matches=lambda path: path.name == ".x")]
    assert find_files([Path()], readers) == [Path("b.HDF5"), Path("c.hdf"), Path("d.he5")]
    assert find_files(["?.h*"]) == [Path("c.hdf"), Path("d.he5")]
    assert find_files([".*.h5"]) == [Path(".a.h5")]
    assert find_files(["[bc].*"]) == [Path("b.HDF5"), Path("c.hdf")]
    assert find_files(["d.he?", "c.hdf", "d.he5"]) == [Path("d.he5"), Path("c.hdf")]


def test_near_misses_are_three_at_most(tmp_path):
    path = tmp_path / "lorenz.h5"
    refused(lambda: find_files([path]), f"{path}: must be a file, a folder or a pattern, found nothing there. Check the path.")
    for i in range(4):
        (tmp_path / f"lorenz{i}.h5").touch()
    refused(
        lambda: find_files([path]),
        f"{path}: must be a file, a folder or a pattern, found nothing there. "
        "Did you mean 'lorenz3.h5' or 'lorenz2.h5' or 'lorenz1.h5'? Check the path.",
    )


def test_a_file_of_the_layout_is_read_whole_in_single_precision_unless_something_else_is_said(write_recording, counts):
    path = write_recording("a.h5", {"test_encod_data": counts["train_encod_data"].astype("f8")})
    for found in (read_session(path, required=()), *read_sessions([path], required=())):
        assert list(found.splits) == ["test"]
        assert found.splits["test"].encod.dtype == np.float32
        assert not found.stored
    assert read_session(path, required=(), keep_on_disk=True).stored
    with pytest.raises(DataError, match=r"'train_encod_data' .* must be there"):
        read_session(path)
    missing = path.with_name("X.h5")
    text = f"{missing}: must be a file, a folder or a pattern, found nothing there. Did you mean 'a.h5'? Check the path."
    refused(lambda: find_files([missing]), text)


def test_every_run_of_other_characters_is_one_underscore():
    assert session_name(Path("x/Aé  Z_09-b[1].c.h5")) == "A_Z_09-b_1_c"


def test_a_user_s_folder_is_known(tmp_path, monkeypatch, write_recording, counts):
    write_recording("a.h5", counts)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_files(["~/a.h5"]) == [tmp_path / "a.h5"]


def test_sessions_and_splits_are_what_they_are_called():
    assert isinstance(whole(), Session)
    assert isinstance(split(), Split)
