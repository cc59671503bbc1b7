"""Raw files that are damaged or something else than they are called: one sentence each, and no process ended by a library."""

from __future__ import annotations

import io
import re
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.files import read_source
from lfads_plugins_lab.recordings.matlab_elements import require_whole_elements
from lfads_plugins_lab.recordings.tables import read_table

VARIABLES = {
    "data": np.arange(24.0).reshape(4, 3, 2),
    "names": np.array(["a", "bc"], dtype=object),
    "trial": {"start": np.arange(4.0), "kind": "reach"},
    "complex": np.ones((2, 2)) * 1j,
    "flag": np.array([True, False]),
}


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def matlab(request, tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, VARIABLES, do_compression=request.param)
    return path


def test_a_whole_matlab_file_passes(matlab):
    require_whole_elements(matlab)


def changed(path, at, values):
    content = bytearray(path.read_bytes())
    content[at : at + len(values)] = values
    path.write_bytes(content)


def test_what_ends_scipys_process_is_refused_before_it_reads(tmp_path):
    """scipy looks types up in a table without asking whether they are in it, and reads on where flags promise values that are not there."""
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"data": np.arange(6.0).reshape(2, 3)})
    whole = path.read_bytes()
    numbers = whole.index((9).to_bytes(4, "little") + (48).to_bytes(4, "little"), 136)  # the element that holds the values: type, size
    flags = whole.index((6).to_bytes(4, "little") + (8).to_bytes(4, "little")) + 8
    for at, values, what in (
        (numbers, b"\xfa\x00\x00\x00", "an element of type 250 and 48 bytes"),
        (numbers, b"\x00\x00\x00\x00", "an element of type 0 and 48 bytes"),
        (numbers, b"\x0e\x00\x00\x00", "an element of type 0 and 0 bytes"),
        (flags, b"\x63", "an array of the class 99"),
        (flags + 1, b"\x08", "an array of the class 6 without all its values"),  # complex, without a second part
        (numbers + 4, b"\xff\xff", "an element of type 9 and 65535 bytes"),
    ):
        path.write_bytes(whole)
        changed(path, at, values)
        with pytest.raises(DataError) as caught:
            read_source(path)
        assert str(caught.value) == f"{path}: a Matlab file must be whole, got {what}. Save it again."


def test_no_damage_to_a_matlab_file_ends_the_process(matlab):
    """In this process: a crash would end the tests."""
    whole = matlab.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for at in rng.integers(0, len(content), 4):
            content[at] = rng.integers(256)
        matlab.write_bytes(content)
        try:
            read_source(matlab)
        except DataError:
            refused += 1
    assert refused > 50


def test_a_group_that_holds_itself_is_refused(tmp_path):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w") as file:
        file["times"] = np.arange(3.0)
        file["again"] = file["/"]
    with pytest.raises(DataError, match=r"a\.mat: .*holds itself"):
        read_source(path)


def test_an_array_under_the_name_of_an_archive_says_so(tmp_path):
    path = tmp_path / "a.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=r"a\.npz: .*It is a single array \(\.npy\) under another name: save it with numpy\.savez\.$"):
        read_source(path)


@pytest.mark.parametrize(
    "change", [(6, 255), (8, 0xFFFF), (10, 77), (28, 0xFFFF), (42, 0xFFFF)], ids=["version", "flags", "method", "name", "offset"]
)
def test_an_archive_whose_headers_are_odd_is_one_sentence(tmp_path, change):
    path = tmp_path / "a.npz"
    np.savez(path, data=np.zeros((2, 3, 4)), bin_ms=np.array(10.0))
    at, value = change
    changed(path, path.read_bytes().index(b"PK\x01\x02") + at, value.to_bytes(2, "little"))
    with pytest.raises(DataError, match=r"a\.npz: must be a whole NumPy archive of plain arrays, but numpy says: [^\n]+$"):
        read_source(path)


def test_members_without_a_name_or_that_are_no_arrays_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    for name in (".npy", "x.txt"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, content.getvalue() if name == ".npy" else b"hello")
        with pytest.raises(DataError, match=r"a\.npz: must hold arrays with names and nothing else, got '[^']*'\. Save it with numpy\.savez\.$"):
            read_source(path)


def test_what_an_archive_says_it_unpacks_to_is_looked_at_first(tmp_path, monkeypatch):
    from lfads_core.data import bounds

    monkeypatch.setattr(bounds, "room_for_data", lambda: 1000)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, data=np.zeros((100, 30, 40)))
    with pytest.raises(DataError, match=re.escape("its arrays must fit into memory with what is read before it, got 960 kB")):
        read_source(path)


@pytest.mark.parametrize("values", [np.zeros((0, 2)), np.zeros((2, 0)), np.zeros((3, 2), dtype=complex), np.zeros(3, dtype="M8[s]")])
def test_arrays_that_nothing_can_be_made_of_are_left_out_with_a_note(tmp_path, values):
    path = tmp_path / "a.npz"
    np.savez(path, spike_times=np.arange(1.0, 9.0), spike_units=np.arange(8) % 2, hand=values, hand_rate=np.array(100.0))
    source = read_source(path)
    assert set(source.units) == {"0", "1"}
    assert not source.series


@pytest.mark.parametrize("rate", ["x", np.nan, 0.0, -1.0])
def test_a_rate_that_is_no_number_above_0_is_refused(tmp_path, rate):
    path = tmp_path / "a.npz"
    np.savez(path, spike_times=np.arange(1.0, 9.0), spike_units=np.arange(8) % 2, hand=np.zeros((5, 2)), hand_rate=np.array(rate))
    with pytest.raises(DataError, match=r"a\.npz: 'hand_rate' must be "):
        read_source(path)


def test_names_with_an_underscore_are_no_numbers(tmp_path):
    """Python takes 1_12 for 112, and so 11_2: two units would become one."""
    path = tmp_path / "a.csv"
    path.write_text("unit,time\n1_12,0.5\n11_2,0.7\n", encoding="utf-8")
    assert read_table(path)["unit"].tolist() == ["1_12", "11_2"]
    assert set(read_source(path).units) == {"1_12", "11_2"}


def test_starts_of_trials_that_are_no_flat_array_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, spike_times=np.arange(1.0, 9.0), spike_units=np.arange(8) % 2, trial_start=np.zeros((3, 2, 2)))
    with pytest.raises(DataError, match=r"a\.npz: the start of each trial must be one flat array of times, got none\."):
        read_source(path)
