"""MATLAB files as labs keep them: a cell for each trial and channel, structures of trials, sparse matrices, axes in any order."""

from __future__ import annotations

import re
import zlib

import h5py
import numpy as np
import pytest
import scipy.sparse
from scipy.io import savemat

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings import MakeOptions, SourceOptions, SplitOptions, WindowOptions, make, make_file, read_source

LAST = SplitOptions(by="last", valid=0.2)


def recording(trials=30, channels=6):
    """Times of events of each trial and channel from the trial's start, and where trials begin; trials last a second."""
    rng = np.random.default_rng(0)
    times = [[np.sort(rng.uniform(0, 1, rng.poisson(5 + 5 * n))) for n in range(channels)] for _ in range(trials)]
    return times, np.arange(trials) * 2.0 + 3.0


def counted(times):
    """Events in a hundred bins of a second, trial by trial."""
    edges = np.arange(101) / 100
    return np.stack([np.stack([np.histogram(cell, edges)[0] for cell in row], axis=1) for row in times])


def cells(times):
    found = np.empty((len(times), len(times[0])), dtype=object)
    for b, row in enumerate(times):
        for n, cell in enumerate(row):
            found[b, n] = np.asarray(cell)[None]
    return found


def all_trials(made):
    return np.concatenate([made.arrays[f"{split}_encod_data"] for split in ("train", "valid")])


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("clock", ["trial", "session"])
def test_a_cell_for_each_trial_and_channel_gives_each_trial_its_own_events(tmp_path, clock, turned):
    times, start = recording()
    kept = times if clock == "trial" else [[cell + at for cell in row] for row, at in zip(times, start, strict=True)]
    grid = cells(kept).T if turned else cells(kept)
    savemat(tmp_path / "a.mat", {"spike_times": grid, "cond": (np.arange(30) % 3)[:, None], "start": start[:, None], "stop": start[:, None] + 1})
    made = make_file(tmp_path / "a.mat", tmp_path / "a.h5", options=MakeOptions(split=LAST))
    np.testing.assert_array_equal(all_trials(made), counted(times))
    assert made.arrays["train_cond"].tolist() == [i % 3 for i in range(24)]


def test_a_structure_for_each_trial_with_a_cell_of_its_channels(tmp_path):
    times, start = recording()
    trial = np.zeros((30, 1), dtype=[("spike_times", object), ("start", object), ("stop", object)])
    for b, row in enumerate(times):
        inner = np.empty((1, 6), dtype=object)
        for n, cell in enumerate(row):
            inner[0, n] = cell + start[b]
        trial[b, 0] = (inner, start[b], start[b] + 1)
    for name in ("trial", "R"):
        savemat(tmp_path / "a.mat", {name: trial})
        made = make_file(tmp_path / "a.mat", tmp_path / "a.h5", options=MakeOptions(split=LAST), overwrite=True)
        np.testing.assert_array_equal(all_trials(made), counted(times))


def test_cells_of_version_73_keep_their_axes(tmp_path):
    times, start = recording(trials=12, channels=4)
    with h5py.File(tmp_path / "a.mat", "w") as file:
        references = np.empty((4, 12), dtype=h5py.ref_dtype)  # HDF5 has MATLAB's axes in reverse
        for b, row in enumerate(times):
            for n, cell in enumerate(row):
                item = file.create_dataset(f"#refs#/{b}_{n}", data=cell[:, None])
                item.attrs["MATLAB_class"] = np.bytes_("double")
                references[n, b] = item.ref
        file.create_dataset("spike_times", data=references, dtype=h5py.ref_dtype).attrs["MATLAB_class"] = np.bytes_("cell")
        for key, values in (("start", start), ("stop", start + 1)):
            file[key] = values[None]
            file[key].attrs["MATLAB_class"] = np.bytes_("double")
    made = make_file(tmp_path / "a.mat", tmp_path / "a.h5", options=MakeOptions(split=LAST))
    np.testing.assert_array_equal(all_trials(made), counted(times))


@pytest.mark.parametrize(
    ("trials", "with_start", "reason"),
    [(6, True, "there are 6 trials"), (30, False, "the number of trials is not known (no start)")],
)
def test_cells_whose_axes_cannot_be_told_are_refused_with_the_option_that_says_it(tmp_path, trials, with_start, reason):
    times, start = recording(trials=trials)
    more = {"start": start[:, None], "stop": start[:, None] + 1} if with_start else {}
    savemat(tmp_path / "a.mat", {"spike_times": cells(times), **more})
    with pytest.raises(DataError) as caught:
        make_file(tmp_path / "a.mat", tmp_path / "a.h5")
    assert str(caught.value) == (
        f"{tmp_path / 'a.mat'}: which axis of the cells {trials} x 6 is trials must be known, and {reason}. "
        "Say --axes bn if rows are trials (b) and columns channels (n), or --axes nb."
    )
    options = MakeOptions(split=LAST, window=WindowOptions(after_ms=1000))
    made = make_file(tmp_path / "a.mat", tmp_path / "a.h5", SourceOptions(axes="bn"), options)
    np.testing.assert_array_equal(all_trials(made), counted(times))
    savemat(tmp_path / "b.mat", {"spike_times": cells(times).T, **more})
    made = make_file(tmp_path / "b.mat", tmp_path / "b.h5", SourceOptions(axes="nb"), options)
    np.testing.assert_array_equal(all_trials(made), counted(times))


def test_what_cells_count_from_is_asked_where_it_cannot_be_told(tmp_path):
    """Long trials one after the other from zero on: the first half of each fits both clocks."""
    rng = np.random.default_rng(0)
    start = np.zeros(12) + np.arange(12) * 0.01
    times = [[rng.uniform(0, 1, 20) for _ in range(4)] for _ in range(12)]
    savemat(tmp_path / "a.mat", {"spike_times": cells(times), "start": start[:, None], "stop": start[:, None] + 1})
    with pytest.raises(DataError, match=re.escape("Say --times-from session or --times-from trial.")):
        read_source(tmp_path / "a.mat")
    said = read_source(tmp_path / "a.mat", SourceOptions(times_from="trial"))
    np.testing.assert_allclose(said.units["0"], np.sort(np.concatenate([row[0] + at for row, at in zip(times, start, strict=True)])))


def test_sparse_matrices_are_data_in_both_kinds_of_file(tmp_path):
    counts = scipy.sparse.csc_matrix((np.random.default_rng(0).random((6, 3000)) < 0.05).astype(float))
    start = np.arange(20) * 0.15
    table = {"start": start[:, None], "stop": start[:, None] + 0.1}
    savemat(tmp_path / "v5.mat", {"spikes": counts, "bin_ms": 1.0, **table})
    with h5py.File(tmp_path / "v73.mat", "w") as file:
        group = file.create_group("spikes")
        group.attrs.update(MATLAB_sparse=np.uint64(6), MATLAB_class=np.bytes_("double"))
        group["data"], group["ir"], group["jc"] = counts.data, counts.indices.astype("u8"), counts.indptr.astype("u8")
        for key, values in {"bin_ms": np.array([[1.0]]), **table}.items():
            file[key] = values.T
            file[key].attrs["MATLAB_class"] = np.bytes_("double")
    wanted = np.stack([counts.toarray()[:, round(s * 1000) : round(s * 1000) + 100].T for s in start])
    for name in ("v5.mat", "v73.mat"):
        made = make_file(tmp_path / name, tmp_path / "a.h5", options=MakeOptions(split=LAST), overwrite=True)
        np.testing.assert_array_equal(all_trials(made), wanted)
        said = [problem.text for problem in made.problems]
        assert "data of shape (6, 3000) are taken as 6 channels in 3000 bins: only so do they fit what comes along." in said


def test_a_cell_of_sparse_matrices_is_one_for_each_trial(tmp_path):
    rng = np.random.default_rng(0)
    each = np.empty((9, 1), dtype=object)
    full = (rng.random((9, 6, 100)) < 0.1).astype(float)
    for b in range(9):
        each[b, 0] = scipy.sparse.csc_matrix(full[b])
    savemat(tmp_path / "a.mat", {"spikes": each, "bin_ms": 1.0})
    np.testing.assert_array_equal(read_source(tmp_path / "a.mat", SourceOptions(axes="bnt")).values, full.transpose(0, 2, 1))
    usual = make(read_source(tmp_path / "a.mat"), MakeOptions(split=LAST))
    assert "trials of 6 bins and 100 channels: if it is the other way round, say --axes bnt." in [problem.text for problem in usual.problems]


def test_whatever_scipy_raises_on_a_damaged_file_is_one_sentence(tmp_path):
    savemat(tmp_path / "whole.mat", {"spikes": np.arange(3000.0).reshape(30, 100)}, do_compression=True)
    content = bytearray((tmp_path / "whole.mat").read_bytes())
    squeezed = content.copy()
    squeezed[200:260] = bytes(60)
    with pytest.raises(zlib.error):
        zlib.decompress(bytes(squeezed[136:]))
    for name, part in (("empty", b""), ("cut", content[:300]), ("squeezed", squeezed), ("noise", bytes(range(256)) * 3)):
        path = tmp_path / f"{name}.mat"
        path.write_bytes(part)
        with pytest.raises(DataError) as caught:
            read_source(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_names_and_conditions_tell_which_axis_is_which(tmp_path):
    x = np.random.default_rng(0).poisson(0.3, (40, 60, 90)).astype(float)  # channels, bins, trials
    names = np.array([f"u{i}" for i in range(40)], dtype=object)
    savemat(tmp_path / "a.mat", {"spikes": x, "bin_ms": 20.0, "cond": (np.arange(90) % 3)[:, None], "channel_names": names})
    with pytest.raises(DataError) as caught:
        read_source(tmp_path / "a.mat")
    assert str(caught.value) == (
        f"{tmp_path / 'a.mat'}: data must be (trials, bins, channels), got shape (40, 60, 90) beside 40 in 'channel_names' (channels), "
        "90 in 'cond' (trials). If its axes stand in another order, say --axes ntb."
    )
    found = read_source(tmp_path / "a.mat", SourceOptions(axes="ntb"))
    np.testing.assert_array_equal(found.values, x.transpose(2, 1, 0))
    assert found.names[39] == "u39"
