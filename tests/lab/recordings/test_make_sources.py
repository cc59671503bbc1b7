"""The same recording as tables, NumPy archive, HDF5 and both kinds of Matlab file gives the same arrays."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
import scipy.io

from lfads_core.errors import ConfigError, DataError
from lfads_plugins_lab.recordings import Cut, MakeOptions, Raw, SourceOptions, SplitOptions, WindowOptions, make, make_file, read_source
from lfads_plugins_lab.recordings.files import outputs_for

OPTIONS = MakeOptions(window=WindowOptions(event="go", before_ms=200, after_ms=500), behaviour=("hand",), split=SplitOptions(stratify=False))


def write_v73(path, variables):
    """A Matlab file of version 7.3 by hand: axes reversed, text as numbers, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")

        def put(group, name, value):
            if isinstance(value, str):
                data = group.create_dataset(name, data=np.array([[ord(c)] for c in value], dtype=np.uint16))
                data.attrs["MATLAB_class"] = np.bytes_("char")
            elif isinstance(value, list):
                made = [put(refs, f"{name}{i}", item).ref for i, item in enumerate(value)]
                data = group.create_dataset(name, data=np.array([made], dtype=h5py.ref_dtype).T, dtype=h5py.ref_dtype)
                data.attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                data = group.create_dataset(name, data=np.atleast_2d(value).T)
                data.attrs["MATLAB_class"] = np.bytes_("double")
            return data

        for name, value in variables.items():
            put(file, name, value)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(512, b" "))


def assert_same(made, recording):
    expected = recording.counts(0.2, 0.5, 0.01)
    for split in ("train", "valid"):
        rows = made.arrays[f"{split}_inds"]
        np.testing.assert_array_equal(made.arrays[f"{split}_encod_data"], expected[rows])
        np.testing.assert_allclose(made.arrays[f"{split}_behavior"].sum(axis=2) - 5, 2 * (made.arrays[f"{split}_behavior"][..., 0] / 3), atol=1e-4)
    assert made.arrays["channel_names"].tolist() == ["3", "7", "12"]


def test_tables_of_text(recording, tmp_path):
    spikes, trials, hand = recording.write_csv(tmp_path)
    made = make(read_source(spikes, SourceOptions(trials=trials, series={"hand": hand})), OPTIONS)
    assert_same(made, recording)
    assert made.arrays["train_side"].tolist() == recording.side[made.arrays["train_inds"]].tolist()


def test_a_numpy_archive(recording, tmp_path):
    np.savez(tmp_path / "a.npz", **recording.arrays())
    assert_same(make(read_source(tmp_path / "a.npz"), OPTIONS), recording)


def test_hdf5_with_times_and_an_index_of_where_each_channel_ends(recording, tmp_path):
    arrays = recording.arrays()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, values in arrays.items():
            if key != "spike_units":
                file[key] = values
        file["spike_times_index"] = np.cumsum([times.size for times in recording.units.values()])
        file["unit_names"] = np.array(["3", "7", "12"], dtype=object)
        file["trial_side"] = recording.side.astype(object)
    raw = read_source(tmp_path / "a.h5")
    assert_same(make(raw, OPTIONS), recording)
    assert raw.trials.columns["side"].tolist() == recording.side.tolist()


def matlab(recording):
    return {
        "spike_times": list(recording.units.values()),
        "unit_names": ["3", "7", "12"],
        "start": recording.start,
        "stop": recording.stop,
        "go": recording.go,
        "side": recording.side.tolist(),
        "hand": recording.hand.T,
        "hand_rate": 250.0,
    }


def test_a_matlab_file_of_version_5_with_cells(recording, tmp_path):
    variables = matlab(recording)
    for name in ("spike_times", "unit_names", "side"):
        cell = np.empty((len(variables[name]), 1), dtype=object)
        cell[:, 0] = variables[name]
        variables[name] = cell
    scipy.io.savemat(tmp_path / "a.mat", variables)
    raw = read_source(tmp_path / "a.mat")
    assert_same(make(raw, OPTIONS), recording)
    assert raw.trials.columns["side"].tolist() == recording.side.tolist()


def test_a_matlab_file_of_version_7_3_with_cells(recording, tmp_path):
    write_v73(tmp_path / "a.mat", matlab(recording))
    raw = read_source(tmp_path / "a.mat")
    assert_same(make(raw, OPTIONS), recording)
    assert raw.trials.columns["side"].tolist() == recording.side.tolist()


def test_fields_of_a_structure_are_found_by_their_joined_names(recording, tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"trial": {"start": recording.start, "stop": recording.stop}, "x": np.ones((4000, 2)), "bin_ms": 5.0})
    raw = read_source(tmp_path / "a.mat", SourceOptions(keys={"data": "x"}))
    np.testing.assert_array_equal(raw.trials.start, recording.start)


def structures(bins):
    """A structure for each trial, as scipy writes them."""
    trials = np.zeros((1, len(bins)), dtype=[("y", object), ("side", object), ("target", object)])
    for i, count in enumerate(bins):
        trials[0, i] = (np.full((2, count), i), "left" if i % 2 else "right", float(i))
    return trials


def test_a_structure_for_each_trial_is_one_array_with_the_trials_first(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"R": structures([5, 5, 5]), "bin_ms": 1.0})
    source = read_source(tmp_path / "a.mat", SourceOptions(keys={"data": "R_y"}, axes="bnt"))
    np.testing.assert_array_equal(source.values, np.broadcast_to(np.arange(3.0)[:, None, None], (3, 5, 2)))
    assert source.per_trial["R_side"].tolist() == ["right", "left", "right"]
    assert source.per_trial["R_target"].tolist() == [0, 1, 2]
    scipy.io.savemat(tmp_path / "b.mat", {"R": structures([5, 7, 5]), "bin_ms": 1.0})
    text = (
        "b.mat: trials must have the same channels, got (5, 2) and (7, 2) (bins, channels). Say the order of axes, such as --axes bnt, "
        "cut them alike, or give times of events."
    )
    with pytest.raises(DataError, match=f"{re.escape(text.replace('(5, 2) and (7, 2)', '(2, 5) and (2, 7)'))}$"):
        read_source(tmp_path / "b.mat", SourceOptions(keys={"data": "R_y"}))


@pytest.mark.parametrize("kind", ["npz", "h5", "mat", "v73"])
def test_trials_of_bins_in_another_order_of_axes(kind, tmp_path):
    values = np.random.default_rng(0).poisson(1.0, (9, 7, 4)).astype(float)
    stored = {"R": values.transpose(2, 0, 1), "side": np.arange(9.0), "bin_ms": 20.0, "names": ["a", "b", "c", "d"]}
    path = tmp_path / ("a.mat" if kind == "v73" else f"a.{kind}")
    if kind == "npz":
        np.savez(path, **{key: np.array(value) for key, value in stored.items()})
    elif kind == "mat":
        scipy.io.savemat(path, {**stored, "names": np.array(stored["names"], dtype=object)})
    elif kind == "v73":
        write_v73(path, stored)
    else:
        with h5py.File(path, "w") as file:
            file["R"], file["side"], file["names"] = stored["R"], stored["side"], np.array(stored["names"], dtype=object)
            file.attrs["bin_ms"] = 20.0
    source = read_source(path, SourceOptions(keys={"data": "R"}, axes="nbt"))
    assert isinstance(source, Cut)
    np.testing.assert_array_equal(source.values, values)
    assert (source.bin_ms, source.names) == (20.0, ("a", "b", "c", "d"))
    assert source.per_trial["side"].tolist() == list(range(9))


def test_one_array_of_three_axes_needs_no_name(tmp_path):
    np.savez(tmp_path / "a.npz", whatever=np.ones((4, 3, 2)), other=np.ones(4))
    assert read_source(tmp_path / "a.npz").values.shape == (4, 3, 2)


def test_a_long_recording_in_bins_comes_with_its_trials(tmp_path):
    np.savez(tmp_path / "a.npz", data=np.ones((2, 400)), bin_ms=5.0, start=[0.0, 1.0], stop=[1.0, 2.0])
    raw = read_source(tmp_path / "a.npz", SourceOptions(axes="nt"))
    assert isinstance(raw, Raw)
    assert raw.signal.values.shape == (400, 2)
    assert make(raw, MakeOptions(split=SplitOptions(by="last", valid=0.5))).arrays["train_encod_data"].shape == (1, 200, 2)


WRONG_TABLES = {
    "unit,time\n": "{}: must have at least one row below the names of its columns, got none. Check the file.",
    "unit,time\n1,0.5\n2\n": "{}: every row must have 2 fields, got 1 in line 3. Mend the line.",
    "unit,unit\n1,0.5\n": "{}: the first line must name every column once, got ['unit', 'unit']. Name them.",
    "unit,when\n1,0.5\n": "{}: must have a column with the times (time, times, spike_time...), got 'unit', 'when'. Name it with --key.",
    "unit,time\n1,0.5\n1,soon\n": "{}: 'time' must hold numbers, got 'soon' in row 1. Mend it, or name another column with --key.",
    "unit,time\n,0.5\n1,0.6\n": "{}: every event must have a unit, got none for 1. Leave these rows out.",
}


@pytest.mark.parametrize(("content", "text"), WRONG_TABLES.items(), ids=range(len(WRONG_TABLES)))
def test_tables_with_something_wrong_are_refused(tmp_path, content, text):
    path = tmp_path / "spikes.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=f"^{re.escape(text.format(path))}$"):
        read_source(path)


def test_a_table_of_trials_without_a_stop_is_refused_where_no_window_says_their_end(recording, tmp_path):
    spikes, trials, _ = recording.write_csv(tmp_path)
    trials.write_text("start,go\n0,1\n", encoding="utf-8")
    text = (
        f"{spikes}: must have a column with the stop of each trial (stop, stop_time, end...), got none. Name it with --key stop=NAME, "
        "or say where windows end with --after."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(read_source(spikes, SourceOptions(trials=trials)), MakeOptions(window=WindowOptions(event="go")))


WRONG_ARRAYS = [
    ({"x": np.ones(3)}, {}, "must hold times of events or values in bins, got x (3,). Name the array with --key times=NAME (and units=NAME) or "),
    ({"spike_times": np.ones(3)}, {}, "times of events must come with the channel of each, got no 'units'. Name the array with --key units=NAME."),
    ({"times": np.ones(3), "units": np.ones(2)}, {}, "units and times must be as many, got 2 and 3. Give one unit for each event."),
    ({"data": np.ones(3)}, {}, "data must be (trials, bins, channels) or (bins, channels), got shape (3,). Name another array with --key data=NAME."),
    ({"data": np.array([[["a"]]])}, {}, "data must be numbers, got type <U1. Name another array with --key data=NAME."),
    (
        {"data": np.ones((2, 2, 3)), "names": np.array(["a", "a", "b"])},
        {},
        "each of 3 channels must have a name of its own, got 3 names, 2 diff",
    ),
    (
        {"train_encod_data": np.ones((2, 2, 3))},
        {},
        "is split for training already ('train_encod_data'). Train on it, or change it w",
    ),
    ({"data": np.ones((4, 0, 3))}, {}, "data must have at least one of each of trials, bins and channels, got shape (4, 0, 3). Check the file."),
    ({"data": np.full((4, 1, 3), np.inf)}, {}, "data must be finite, got 12 infinite of 12 values. Store NaN for not observed."),
    ({"data": np.ones((4, 1, 3)), "bin_ms": -5}, {}, "'bin_ms' must be the width of a bin in ms, > 0, got -5. Mend it."),
    ({"times": np.zeros(0), "units": np.zeros(0)}, {}, "must hold events, got none. Check which arrays or columns hold them."),
    ({"dta": np.ones(2)}, {"data": "data"}, "the column of the values in bins must be there, got 'data'. Did you mean 'dta'? There is 'dta'."),
    (
        {"times": np.ones(2), "units": np.ones(2), "hand": np.ones((3, 2)), "hand_times": np.ones(4)},
        {},
        "'hand' must have one row for each of its 4 times, got shape (3, 2). Mend one of them.",
    ),
]


def test_a_long_recording_has_the_bins_it_says_or_is_told(tmp_path):
    values = np.random.default_rng(0).poisson(1.0, (300, 2))
    table = {"start": np.arange(4) * 0.5, "stop": np.arange(4) * 0.5 + 0.4}
    np.savez(tmp_path / "a.npz", data=values, **table)
    text = "a.npz: the width of a bin must be known to cut a long recording, got no 'bin_ms'. Give it with --bin, or name it w"
    with pytest.raises(DataError, match=re.escape(text)):
        make(read_source(tmp_path / "a.npz"))
    told = make(read_source(tmp_path / "a.npz"), MakeOptions(bin_ms=10.0, split=SplitOptions(by="last", valid=0.25)))
    np.savez(tmp_path / "b.npz", data=values, frame_rate=100.0, **table)
    said = make(read_source(tmp_path / "b.npz"), MakeOptions(split=SplitOptions(by="last", valid=0.25)))
    for made in (told, said):
        assert made.attributes["bin_ms"] == 10
        np.testing.assert_array_equal(made.arrays["train_encod_data"], [values[a : a + 40] for a in (0, 50, 100)])
    with pytest.raises(DataError, match=re.escape("'frame_rate' is a number of bins per second, not their width in ms. Say --key rate=frame_rate.")):
        read_source(tmp_path / "b.npz", SourceOptions(keys={"bin_ms": "frame_rate"}))


@pytest.mark.parametrize(("arrays", "keys", "text"), WRONG_ARRAYS, ids=range(len(WRONG_ARRAYS)))
def test_arrays_that_say_too_little_are_refused(tmp_path, arrays, keys, text):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=f"^{re.escape(f'{tmp_path}/a.npz: {text}')}"):
        read_source(tmp_path / "a.npz", SourceOptions(keys=keys))


def test_options_of_a_source_that_mean_nothing_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", data=np.ones((2, 2, 3)))
    with pytest.raises(ConfigError, match=r"^--key tmies=\.\.\.: must be one of times, units, data, start, stop, names, bin_ms, rate, got 'tmies'$"):
        read_source(tmp_path / "a.npz", SourceOptions(keys={"tmies": "x"}))
    with pytest.raises(ConfigError, match=r"^--axes: must order b \(trials\), t \(bins\) and n \(channels\), such as nbt, .* got 'xyz'$"):
        read_source(tmp_path / "a.npz", SourceOptions(axes="xyz"))


def test_files_that_are_nothing_known_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.doc: the ending of a recording must be one of \.csv, .*, got '\.doc'\. Rename or convert it\.$"):
        read_source(tmp_path / "a.doc")
    with pytest.raises(DataError, match=r"a\.npz: must be a file, found nothing there\. Check the path\.$"):
        read_source(tmp_path / "a.npz")
    for name, words in (
        ("a.mat", "a Matlab file must be readable, but scipy says"),
        ("a.npz", "must be a whole NumPy archive"),
        ("a.h5", "must be an HDF5 file, got something else"),
    ):
        (tmp_path / name).write_bytes(b"nonsense" * 100)
        with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path / name))}: {words}"):
            read_source(tmp_path / name)


def test_lists_of_arrays_in_an_archive_are_refused_with_a_way_out(tmp_path):
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.ones(2), np.ones(3)]
    np.savez(tmp_path / "a.npz", spike_times=ragged)
    with pytest.raises(DataError, match=r"Lists of arrays cannot be read safely: save all times in one array, beside one with the unit of each\.$"):
        read_source(tmp_path / "a.npz")


def test_trials_of_bins_take_no_table(tmp_path):
    np.savez(tmp_path / "a.npz", data=np.ones((2, 2, 3)))
    text = f"{tmp_path}/a.npz: holds trials of equal bins already, so no table fits it. Leave --trials and --series out."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        read_source(tmp_path / "a.npz", SourceOptions(trials=tmp_path / "t.csv"))
    text = f"{tmp_path}/a.npz: holds trials of equal bins already, so there is nothing to align or to chop. Leave these options out."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(read_source(tmp_path / "a.npz"), MakeOptions(window=WindowOptions(event="go")))


def test_a_file_that_is_there_is_kept_and_no_time_is_spent(tmp_path):
    (tmp_path / "out.h5").write_text("precious")
    text = f"{tmp_path}/out.h5: a new file must not replace another, got one that exists. Choose another name, or use --force."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make_file(tmp_path / "not there.npz", tmp_path / "out.h5")
    np.savez(tmp_path / "a.npz", data=np.ones((5, 2, 3)), bin_ms=5.0)
    with pytest.raises(DataError, match="must go to a file of its own, got the source itself"):
        make_file(tmp_path / "a.npz", tmp_path / "a.npz", overwrite=True)
    make_file(tmp_path / "a.npz", tmp_path / "out.h5", overwrite=True)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["train_encod_data"].shape == (4, 2, 3)
        assert file.attrs["made_from"] == "a.npz"


def test_several_sources_go_to_a_folder(tmp_path):
    one, two = tmp_path / "x" / "day.csv", tmp_path / "y" / "day.csv"
    assert outputs_for([one], tmp_path / "o.h5") == {one: tmp_path / "o.h5"}
    assert outputs_for([one], tmp_path) == {one: tmp_path / "day.h5"}
    with pytest.raises(DataError, match=r"o\.h5: 2 recordings must go to a folder, got the name of a file\. Leave out the ending\.$"):
        outputs_for([one, two], tmp_path / "o.h5")
    with pytest.raises(DataError, match=r"must have a name of its own, but .*day\.csv would be called day\.h5 too\. Rename one of them\.$"):
        outputs_for([one, two], tmp_path / "o")


def test_a_matlab_file_of_an_older_version_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    with pytest.raises(DataError, match=r"a\.mat: Matlab files before version 7\.3 need scipy\. Install it: pip install 'lfads-core\[mat\]'\.$"):
        read_source(tmp_path / "a.mat")
