"""NWB files, written by pynwb for the test."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings import HoldOutOptions, MakeOptions, SplitOptions, WindowOptions, make, read_source

pynwb = pytest.importorskip("pynwb", reason="pynwb, the extra [nwb], is not installed")


def new_file():
    return pynwb.NWBFile(session_description="a test", identifier="x", session_start_time=datetime(2026, 1, 1, tzinfo=UTC))


def save(nwb, path):
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


def add_units(nwb, recording, **columns):
    group = nwb.create_electrode_group("probe", description="x", location="M1", device=nwb.create_device("d"))
    for location in ("M1", "PMd"):
        nwb.add_electrode(group=group, location=location)
    nwb.add_unit_column("heldout", "predicted only")
    for name in columns:
        nwb.add_unit_column(name, "a column")
    for i, times in enumerate(recording.units.values()):
        more = {name: values[i] for name, values in columns.items()}
        nwb.add_unit(id=10 + i, spike_times=times, heldout=i == 1, electrodes=[i % 2], obs_intervals=np.array([[0.0, 7.0], [9.0, 15.0]]), **more)


def add_trials(nwb, recording):
    nwb.add_trial_column("go", "cue")
    nwb.add_trial_column("side", "left or right")
    nwb.add_trial_column("split", "of the benchmark")
    for i in range(10):
        more = {"go": recording.go[i], "side": str(recording.side[i]), "split": "val" if i in (1, 8) else "train"}
        nwb.add_trial(start_time=recording.start[i], stop_time=recording.stop[i], **more)


def add_hand(nwb, recording):
    module = nwb.create_processing_module("behavior", "x")
    cm = pynwb.behavior.SpatialSeries(
        name="hand", data=recording.hand * 100, unit="m", conversion=0.01, rate=250.0, starting_time=0.0, reference_frame="x"
    )
    module.add(pynwb.behavior.Position(name="Position", spatial_series=cm))
    module.add(pynwb.TimeSeries(name="eye", data=recording.hand[:, 0], unit="V", timestamps=recording.hand_times))


@pytest.fixture
def path(recording, tmp_path):
    nwb = new_file()
    add_units(nwb, recording, quality=["good", "good", "mua"])
    add_trials(nwb, recording)
    add_hand(nwb, recording)
    return save(nwb, tmp_path / "a.nwb")


def test_units_trials_series_and_electrodes_are_found(path, recording):
    raw = read_source(path)
    assert raw.channels == ("10", "11", "12")
    for got, want in zip(raw.units.values(), recording.units.values(), strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(raw.trials.start, recording.start)
    assert raw.trials.columns["side"].tolist() == recording.side.tolist()
    np.testing.assert_allclose(raw.series["hand"].values, recording.hand)
    np.testing.assert_allclose(raw.series["hand"].times, recording.hand_times)
    assert raw.series["eye"].values.shape == (3750, 1)
    assert raw.about["electrode"].tolist() == [0, 1, 0]
    assert raw.about["location"].tolist() == ["M1", "PMd", "M1"]
    assert raw.about["quality"].tolist() == ["good", "good", "mua"]


def test_a_file_becomes_trials_as_its_columns_say(path, recording):
    options = MakeOptions(
        window=WindowOptions(event="go", before_ms=200, after_ms=500),
        split=SplitOptions(by="column"),
        hold_out=HoldOutOptions(column="heldout"),
        behaviour=("hand",),
        condition=("side",),
    )
    made = make(read_source(path), options)
    paused = 5  # its window reaches into the pause from 7 to 9 s
    assert made.arrays["valid_inds"].tolist() == [1, 8]
    assert made.arrays["train_inds"].tolist() == [i for i in range(10) if i not in (1, 8, paused)]
    expected = recording.counts(0.2, 0.5, 0.01)
    np.testing.assert_array_equal(made.arrays["valid_recon_data"], expected[[1, 8]][:, :, [0, 2, 1]])
    np.testing.assert_array_equal(made.arrays["valid_encod_data"], expected[[1, 8]][:, :, [0, 2]])
    assert made.arrays["channel_location"].tolist() == ["M1", "M1", "PMd"]
    assert made.arrays["cond_names"].tolist() == ["left", "right"]
    assert made.arrays["valid_cond"].tolist() == [1, 0]
    assert made.arrays["valid_behavior"].shape == (2, 70, 2)
    assert (made.attributes["behavior_names"], made.attributes["behavior_units"]) == ("hand", "m")
    assert (made.attributes["first_bin_ms"], made.attributes["aligned_to"]) == (-200, "go")


def test_names_of_units_are_taken_where_they_tell_them_apart(recording, tmp_path):
    nwb = new_file()
    add_units(nwb, recording, unit_name=["a", "b", "c"])
    assert read_source(save(nwb, tmp_path / "a.nwb")).channels == ("a", "b", "c")
    nwb = new_file()
    add_units(nwb, recording, unit_name=["a", "a", "c"])
    assert read_source(save(nwb, tmp_path / "b.nwb")).channels == ("10", "11", "12")


def test_a_file_without_units_or_that_is_no_nwb_is_refused(recording, tmp_path):
    nwb = new_file()
    add_trials(nwb, recording)
    path = save(nwb, tmp_path / "a.nwb")
    text = f"{path}: must have units with spike times, got none. Sort the recording first, or give another file."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        read_source(path)
    (tmp_path / "b.nwb").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"b\.nwb: must be a readable NWB file, but pynwb says .*\. Check it with nwbinspector\.$"):
        read_source(tmp_path / "b.nwb")


def test_another_unit_is_taken_as_it_is_said(path):
    with pytest.raises(DataError, match=r"windows must hold at least one bin of 10 ms, got 0\. Give --after\.$"):
        make(read_source(path), MakeOptions(clock="ms"))


def test_without_pynwb_the_message_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.nwb").write_bytes(b"x")
    monkeypatch.setitem(__import__("sys").modules, "pynwb", None)
    with pytest.raises(DataError, match=r"a\.nwb: NWB files need pynwb\. Install it: pip install 'lfads-core\[nwb\]'\.$"):
        read_source(tmp_path / "a.nwb")


def test_attributes_that_a_damaged_byte_made_ragged_are_refused_before_pynwb_meets_them(recording, tmp_path):
    """HDF5 crashes on them. Bits of a type say whether what has no fixed length is text or a ragged array."""
    nwb = new_file()
    add_units(nwb, recording)
    path = save(nwb, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        kind = h5py.h5t.py_create(h5py.vlen_dtype(np.int8), logical=True)
        h5py.h5a.create(file["units/spike_times"].id, b"odd", kind, h5py.h5s.create(h5py.h5s.SCALAR))
    text = f"{path}: attribute 'odd' of '/units/spike_times' must be text or numbers, got a ragged array. Restore the file."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        read_source(path)
