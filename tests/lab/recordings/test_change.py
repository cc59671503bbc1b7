"""Recordings changed as a whole: chopped and merged, put in order, rebinned, smoothed, split again."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.ndimage import gaussian_filter1d

from lfads_core.cli.main import cli
from lfads_core.data.layout import session_from_arrays
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings import MakeOptions, Raw, SplitOptions, WindowOptions, make
from lfads_plugins_lab.recordings.change import read_whole, rebin_session
from lfads_plugins_lab.recordings.merge import merge_session


def lfads(*arguments):
    done = CliRunner().invoke(cli, [str(a) for a in ("data", *arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def arrays_in(path):
    with h5py.File(path) as file:
        return {key: item.asstr()[()] if item.dtype.kind == "O" else item[()] for key, item in file.items()}


@pytest.fixture
def layout(write_recording):
    """Twenty numbered trials in two splits, with everything that may ride along."""
    rng = np.random.default_rng(3)
    values = rng.poisson(2.0, (20, 12, 4)).astype(np.float32)
    order = rng.permutation(20)
    rows = {"train": np.sort(order[:13]), "valid": np.sort(order[13:])}
    arrays = {}
    for split, at in rows.items():
        arrays |= {f"{split}_encod_data": values[at][:, :, :3], f"{split}_recon_data": values[at], f"{split}_truth": values[at] / 2}
        arrays |= {
            f"{split}_inds": at,
            f"{split}_cond": at % 2,
            f"{split}_hand": values[at][..., :2] * 1.0,
            f"{split}_ext_input": values[at][..., :1],
        }
    return write_recording("a.h5", {**arrays, "weights": np.ones((3, 3))}, bin_ms=5.0), values


def test_trials_of_all_splits_come_back_in_the_order_of_the_recording(layout, tmp_path):
    path, values = layout
    done = lfads("merge", path, "-o", tmp_path / "m.h5")
    assert done.output == f"wrote {tmp_path / 'm.h5'}: 20 trials in the order of the recording\n"
    merged = arrays_in(tmp_path / "m.h5")
    np.testing.assert_array_equal(merged["recon_data"], values)
    np.testing.assert_array_equal(merged["encod_data"], values[..., :3])
    np.testing.assert_array_equal(merged["cond"], np.arange(20) % 2)
    np.testing.assert_array_equal(merged["weights"], np.ones((3, 3)))
    with h5py.File(path) as file:
        assert [i for i, split in enumerate(merged["split"]) if split == "valid"] == file["valid_inds"][()].tolist()


def test_trials_without_numbers_or_with_one_twice_are_refused(write_recording, counts, tmp_path):
    path = write_recording("b.h5", counts)
    text = (
        f"{path}: the number of each trial in the recording must be there as '<split>_inds' (trials), got none. "
        "Without it the order in which trials were recorded is not known."
    )
    assert f"error: {text}\n" in lfads("merge", path, "-o", tmp_path / "m.h5").output
    path = write_recording("c.h5", {**counts, "train_inds": np.arange(12), "valid_inds": np.arange(11, 21)})
    text = f"{path}: every trial must be in one split, got 2 trials have the number 11. Mend '<split>_inds'."
    assert f"error: {text}\n" in lfads("merge", path, "-o", tmp_path / "m.h5").output


@pytest.mark.parametrize("overlap", [0, 30, 70, 90])
def test_a_chopped_recording_is_one_again_to_the_last_event(recording, tmp_path, overlap):
    spikes, *_ = recording.write_csv(tmp_path)
    assert lfads("chop", spikes, "--window", 100, "--overlap", overlap, "--last", "-o", tmp_path / "c.h5").exit_code == 0
    done = lfads("merge", tmp_path / "c.h5", "-o", tmp_path / "m.h5")
    merged, chopped = arrays_in(tmp_path / "m.h5"), arrays_in(tmp_path / "c.h5")
    assert set(np.diff(np.concatenate([chopped["train_first_bin"], chopped["valid_first_bin"]]))[:-1]) == {10 - overlap // 10}
    begin = np.floor(min(t.min() for t in recording.units.values()) * 100) / 100
    edges = begin + np.arange(len(merged["encod_data"]) + 1) / 100
    expected = np.stack([np.histogram(times, bins=edges)[0] for times in recording.units.values()], axis=1)
    np.testing.assert_array_equal(merged["encod_data"], expected)
    assert merged["encod_data"].sum() == 1200
    np.testing.assert_allclose(merged["time_s"], edges[:-1])
    assert done.output == f"wrote {tmp_path / 'm.h5'}: {len(expected)} bins\n"


def test_segments_are_chopped_one_by_one_and_no_window_reaches_from_one_into_the_next(recording, tmp_path):
    spikes, trials, _ = recording.write_csv(tmp_path)
    lfads("chop", spikes, "--trials", trials, "--window", 400, "--overlap", 100, "--last", "-o", tmp_path / "c.h5")
    chopped, merged = arrays_in(tmp_path / "c.h5"), tmp_path / "m.h5"
    assert chopped["segment_bins"].tolist() == [125] * 10
    np.testing.assert_allclose(chopped["segment_start_s"], recording.start)
    starts = np.concatenate([chopped["train_start_s"], chopped["valid_start_s"]]).reshape(10, 4)
    np.testing.assert_allclose(starts - recording.start[:, None], np.tile([0, 0.3, 0.6, 0.85], (10, 1)))
    lfads("merge", tmp_path / "c.h5", "-o", merged)
    edges = recording.start[:, None] + np.arange(126) / 100
    expected = np.concatenate([np.stack([np.histogram(t, bins=e)[0] for t in recording.units.values()], axis=1) for e in edges])
    np.testing.assert_array_equal(arrays_in(merged)["encod_data"], expected)
    assert arrays_in(merged)["segment"].tolist() == np.repeat(np.arange(10), 125).tolist()


def test_samples_of_a_long_recording_come_back_exactly(tmp_path):
    values = np.random.default_rng(0).normal(size=(437, 3)).astype(np.float32)
    np.savez(tmp_path / "emg.npz", data=values, bin_ms=2.0)
    lfads("chop", tmp_path / "emg.npz", "--window", 100, "--overlap", 64, "--last", "-o", tmp_path / "c.h5")
    lfads("merge", tmp_path / "c.h5", "-o", tmp_path / "m.h5")
    np.testing.assert_array_equal(arrays_in(tmp_path / "m.h5")["encod_data"], values)


def test_windows_that_were_left_out_leave_a_gap(recording):
    off = {"7": np.array([[0.0, 4.0], [8.0, 20.0]])}
    raw = Raw(where="mine", units=recording.units, observed=off)
    made = make(raw, MakeOptions(window=WindowOptions(chop_ms=500, overlap_ms=100), split=SplitOptions(by="last")))
    merged = merge_session(session_from_arrays("mine", made.arrays, made.attributes))
    gap = np.isnan(merged.arrays["encod_data"]).any(axis=1)
    assert merged.uncovered == gap.sum()
    times = merged.arrays["time_s"]
    assert gap[(times > 4.005) & (times < 7.985)].all()  # windows that reach into the pause are gone, and no bin of it is left
    assert not gap[(times < 3.0) | (times > 9.0)].any()


def test_windows_that_share_data_between_the_splits_are_told(recording, tmp_path):
    spikes, *_ = recording.write_csv(tmp_path)
    text = "warning: overlapping windows share data between training and validation. Keep them apart in time: --last.\n"
    assert text in lfads("chop", spikes, "--window", 100, "--overlap", 50, "-o", tmp_path / "a.h5").output
    assert text not in lfads("chop", spikes, "--window", 100, "--overlap", 50, "--last", "-o", tmp_path / "b.h5").output
    assert text not in lfads("chop", spikes, "--window", 100, "-o", tmp_path / "c.h5").output


def test_wider_bins_sum_counts_and_average_what_lies_beside_them(layout, tmp_path):
    path, _ = layout
    assert lfads("rebin", path, "--bin", 20, "-o", tmp_path / "r.h5").output == f"wrote {tmp_path / 'r.h5'}: 3 bins of 20 ms\n"
    before, after = arrays_in(path), arrays_in(tmp_path / "r.h5")
    for split in ("train", "valid"):
        for key, how in (("encod_data", np.sum), ("recon_data", np.sum), ("truth", np.sum), ("hand", np.mean), ("ext_input", np.mean)):
            old = before[f"{split}_{key}"]
            np.testing.assert_allclose(after[f"{split}_{key}"], how(old.reshape(len(old), 3, 4, -1), axis=2), rtol=1e-6)
        np.testing.assert_array_equal(after[f"{split}_cond"], before[f"{split}_cond"])
    assert after["train_recon_data"].dtype == np.uint8
    with h5py.File(tmp_path / "r.h5") as file:
        assert file.attrs["bin_ms"] == 20.0


def test_windows_moved_by_bins_are_moved_by_new_bins_or_refused(write_recording, counts, tmp_path):
    trials = {split: len(counts[f"{split}_encod_data"]) for split in ("train", "valid")}
    even = {f"{split}_jitter": 5 * (np.arange(count) - 3) for split, count in trials.items()}
    lfads("rebin", write_recording("a.h5", {**counts, **even}, bin_ms=2.0), "--bin", 10, "-o", tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file["train_jitter"][()], np.arange(12) - 3)
    odd = write_recording("c.h5", {**counts, **even, "valid_jitter": np.arange(10)}, bin_ms=2.0)
    text = f"error: {odd}: windows are moved by bins ('jitter') that are no whole new ones, so bins cannot become wider. Make it again.\n"
    assert lfads("rebin", odd, "--bin", 10, "-o", tmp_path / "d.h5").output == text


def test_wider_bins_average_what_are_no_counts_unless_told_otherwise(write_recording, counts, tmp_path):
    values = counts["train_encod_data"][:, :4] + 0.5
    path = write_recording("g.h5", {"train_encod_data": values, "valid_encod_data": values}, bin_ms=5.0)
    for options, how in (((), np.mean), (("--reduce", "sum"), np.sum)):
        lfads("rebin", path, "--bin", 10, "-o", tmp_path / "r.h5", "--force", *options)
        np.testing.assert_allclose(arrays_in(tmp_path / "r.h5")["train_encod_data"], how(values.reshape(12, 2, 2, 3), axis=2))


def test_bins_that_cannot_become_wider_are_refused(write_recording, counts, recording, tmp_path):
    path = write_recording("a.h5", counts)
    text = f"{path}: the width of a bin must be known, got no attribute 'bin_ms'. Say it, such as: lfads data set {path} bin_ms=10"
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        rebin_session(read_whole(path), 10.0)
    path = write_recording("b.h5", counts, bin_ms=5.0)
    text = f"{path}: new bins must be whole multiples of the 5 ms that are there, got 7 ms. Choose 5."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        rebin_session(read_whole(path), 7.0)
    text = f"{path}: the 5 bins read and the 5 reconstructed must be whole new bins, got 6 in each. Choose another width."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        rebin_session(read_whole(path), 30.0)
    spikes, *_ = recording.write_csv(tmp_path)
    lfads("chop", spikes, "--window", 100, "-o", tmp_path / "c.h5")
    text = f"{tmp_path / 'c.h5'}: is chopped into windows that must stay in place, so bins cannot become wider. Chop again with --bin 20."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        rebin_session(read_whole(tmp_path / "c.h5"), 20.0)


def test_smoothed_values_stand_beside_the_data_or_in_their_place(write_recording, tmp_path):
    values = np.random.default_rng(0).poisson(1.0, (12, 80, 3)).astype(np.float32)
    path = write_recording("a.h5", {"train_encod_data": values, "valid_encod_data": values}, bin_ms=5.0)
    expected = gaussian_filter1d(values, 2.0, axis=1, truncate=4.0)[:, 10:-10]
    lfads("smooth", path, "--width", 10, "-o", tmp_path / "s.h5")
    beside = arrays_in(tmp_path / "s.h5")
    np.testing.assert_array_equal(beside["train_encod_data"], values)
    np.testing.assert_allclose(beside["train_smoothed"][:, 10:-10], expected, rtol=1e-4)
    lfads("smooth", path, "--width", 10, "--in-place", "-o", tmp_path / "p.h5")
    np.testing.assert_allclose(arrays_in(tmp_path / "p.h5")["valid_encod_data"][:, 10:-10], expected, rtol=1e-4)


def test_trials_are_split_anew_and_keep_what_belongs_to_them(layout, tmp_path):
    path, values = layout
    done = lfads("split", path, "--valid", 0.3, "--test", 0.1, "--seed", 4, "-o", tmp_path / "s.h5")
    assert done.output == f"wrote {tmp_path / 's.h5'}: 12 train, 6 valid, 2 test trials\n"
    after = arrays_in(tmp_path / "s.h5")
    for split in ("train", "valid", "test"):
        rows = after[f"{split}_inds"]
        np.testing.assert_array_equal(after[f"{split}_recon_data"], values[rows])
        np.testing.assert_array_equal(after[f"{split}_hand"], values[rows][..., :2])
        np.testing.assert_array_equal(after[f"{split}_cond"], rows % 2)
    assert sorted(np.concatenate([after[f"{s}_inds"] for s in ("train", "valid", "test")])) == list(range(20))
    assert abs(after["valid_cond"].sum() - 3) <= 1
    lfads("split", path, "--every", 4, "-o", tmp_path / "e.h5")
    assert arrays_in(tmp_path / "e.h5")["valid_inds"].tolist() == [3, 7, 11, 15, 19]


def test_trials_without_numbers_are_numbered_as_they_stand(write_recording, counts, tmp_path):
    path = write_recording("b.h5", counts)
    lfads("split", path, "--valid", 0.5, "-o", tmp_path / "s.h5")
    after = arrays_in(tmp_path / "s.h5")
    whole = np.concatenate([counts["train_encod_data"], counts["valid_encod_data"]])
    np.testing.assert_array_equal(after["train_encod_data"], whole[after["train_inds"]])
    np.testing.assert_array_equal(after["valid_encod_data"], whole[after["valid_inds"]])


def test_nothing_is_overwritten_unless_forced(layout, tmp_path):
    path, _ = layout
    (tmp_path / "m.h5").write_text("precious")
    for command, *options in (("merge",), ("rebin", "--bin", 10), ("smooth", "--width", 10), ("split",)):
        done = lfads(command, path, *options, "-o", tmp_path / "m.h5")
        assert done.exit_code == 2
        assert "m.h5: a new file must not replace another, got one that exists. Choose another name, or use --force." in done.output
    assert (tmp_path / "m.h5").read_text() == "precious"
