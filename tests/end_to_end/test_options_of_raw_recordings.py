"""Every option of ``lfads data make`` and ``lfads data chop``, on a recording so regular that the file it must give can be written down."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner
from scipy.ndimage import gaussian_filter1d

from lfads_core.cli.main import cli

TRIALS, GO = 10, 0.3
WINDOW = ("--event", "go", "--after", 400)
"""Ten trials, one a second, each of 800 ms with a cue after 300 ms."""


def regular():
    """Events in s: channel 1 fires every 50 ms, channel 2 every 100 ms, channel 3 once a second, 250 ms after a trial's start."""
    times = (np.arange(200) * 0.05 + 0.005, np.arange(100) * 0.1 + 0.055, np.arange(10) * 1.0 + 0.25)
    start, clock = np.arange(TRIALS) * 1.0, np.arange(1001) * 0.01
    return {
        "spike_times": np.concatenate(times),
        "spike_units": np.repeat([1, 2, 3], [len(t) for t in times]),
        "unit_quality": np.array(["good", "mua", "good"]),
        "unit_apart": np.array([False, True, False]),
        "trial_start": start,
        "trial_stop": start + 0.8,
        "trial_go": start + GO,
        "trial_since": np.full(TRIALS, 0.1),
        "trial_side": np.array(["left", "right"] * 5),
        "trial_block": np.array(["early"] * 5 + ["late"] * 5),
        "trial_ok": np.arange(TRIALS) % 5 != 0,
        "trial_part": np.array(["train"] * 6 + ["valid"] * 3 + ["test"]),
        "position": 3 * clock[:, None],
        "position_times": clock,
        "heading": np.where(np.arange(1001) % 2, 3.1, -3.1),
        "heading_times": clock,
    }


class Made:
    """What a command wrote, with all trials in the order of the recording."""

    def __init__(self, path):
        with h5py.File(path) as file:
            self.arrays = {key: item.asstr()[()] if item.dtype.kind == "O" else item[()] for key, item in file.items()}
            self.attrs = dict(file.attrs)
        self.splits = [split for split in ("train", "valid", "test") if f"{split}_encod_data" in self.arrays]

    def rows(self, split):
        return self.arrays[f"{split}_inds"].tolist()

    def whole(self, key="encod_data"):
        rows = np.concatenate([self.arrays[f"{split}_inds"] for split in self.splits])
        return np.concatenate([self.arrays[f"{split}_{key}"] for split in self.splits])[np.argsort(rows)]


@pytest.fixture
def lfads(tmp_path):
    """``lfads("make", arrays, *options)`` is what the command makes of these arrays."""

    def call(verb, arrays, *options, code=0):
        source = tmp_path / "raw.npz"
        if isinstance(arrays, dict):
            np.savez(source, **arrays)
        done = CliRunner().invoke(
            cli,
            ["data", verb, *map(str, (source if isinstance(arrays, dict) else arrays, "-o", tmp_path / "o.h5", *options))],
            catch_exceptions=False,
        )
        assert done.exit_code == code, done.output
        return Made(tmp_path / "o.h5") if code == 0 else done.output

    return call


@pytest.fixture(params=["make", "chop"])
def both(request, lfads):
    """Either command, with windows of 400 ms."""
    windows = {"make": WINDOW, "chop": ("--window", 400)}[request.param]

    def call(arrays, *options, **more):
        return lfads(request.param, arrays, *windows, *options, **more)

    call.verb = request.param
    return call


def counted(starts, bins, width):
    """Events by hand: each channel's in each bin of each window."""
    arrays = regular()
    times = [arrays["spike_times"][arrays["spike_units"] == unit] for unit in (1, 2, 3)]
    return np.array([[[((t >= a + k * width - 1e-9) & (t < a + (k + 1) * width - 1e-9)).sum() for t in times] for k in range(bins)] for a in starts])


def test_windows_lie_round_the_event(lfads):
    made = lfads("make", regular(), *WINDOW, "--before", 200, "--bin", 20)
    np.testing.assert_array_equal(made.whole(), counted(np.arange(TRIALS) + GO - 0.2, 30, 0.02))
    assert made.attrs["first_bin_ms"] == -200
    assert made.attrs["aligned_to"] == "go"
    np.testing.assert_array_equal(lfads("make", regular(), "--bin", 20, "--force").whole(), counted(np.arange(TRIALS), 40, 0.02))
    since = lfads("make", regular(), "--event", "since", "--event-from-start", "--after", 400, "--bin", 20, "--force")
    np.testing.assert_array_equal(since.whole(), counted(np.arange(TRIALS) + 0.1, 20, 0.02))


def test_what_lies_beyond_a_trial_is_kept_dropped_or_unknown(lfads):
    arrays = regular() | {"trial_stop": np.arange(TRIALS) + np.where(np.arange(TRIALS) == 4, 0.5, 0.8)}
    found = {beyond: lfads("make", arrays, *WINDOW, "--beyond", beyond, "--force") for beyond in ("keep", "drop", "nan")}
    assert {beyond: len(made.whole()) for beyond, made in found.items()} == {"keep": 10, "drop": 9, "nan": 10}
    unknown = np.isnan(found["nan"].whole())
    assert unknown[4, 20:].all()
    assert unknown.sum() == 20 * 3
    assert not np.isnan(found["keep"].whole()).any()


def test_windows_that_overlap_are_refused_or_kept(lfads):
    wide = ("--event", "go", "--before", 300, "--after", 900)
    assert "--overlaps keep" in lfads("make", regular(), *wide, code=2)
    assert lfads("make", regular(), *wide, "--overlaps", "keep").whole().shape == (10, 120, 3)


def test_jitter_moves_each_window_by_the_bins_that_it_says(lfads):
    made = lfads("make", regular(), *WINDOW, "--bin", 20, "--jitter", 60, "--seed", 3)
    moved = made.whole("jitter")
    assert set(moved.tolist()) <= set(range(-3, 4))
    assert len(set(moved.tolist())) > 2
    np.testing.assert_array_equal(made.whole(), counted(np.arange(TRIALS) + GO + moved * 0.02, 20, 0.02))
    assert lfads("make", regular(), *WINDOW, "--bin", 20, "--jitter", 60, "--seed", 4, "--force").whole("jitter").tolist() != moved.tolist()


def test_chopped_windows_have_the_length_and_share_the_time_that_is_asked_for(lfads):
    arrays = {**regular(), "trial_stop": np.arange(TRIALS) + 1.0}
    for window, overlap, first in ((400, 100, [0, 0.3, 0.6]), (400, 0, [0, 0.4, 0.6]), (500, 0, [0, 0.5])):  # the last one ends with the trial
        made = lfads("chop", arrays, "--window", window, "--overlap", overlap, "--bin", 20, "--last", "--force")
        starts = np.concatenate([made.arrays[f"{split}_start_s"] for split in made.splits]).reshape(TRIALS, -1)
        np.testing.assert_allclose(starts, np.arange(TRIALS)[:, None] + first)
        np.testing.assert_array_equal(made.whole(), counted(starts.ravel(), window // 20, 0.02))


def test_bins_have_the_width_that_is_asked_for(both):
    assert (both(regular(), "--bin", 40).whole().shape[1], both(regular(), "--force").whole().shape[1]) == (10, 40)


def samples_of_trials(values):
    """Values that are sampled every 10 ms, and trials to be cut from them."""
    starts = np.arange(TRIALS) * 1.0
    return {"data": values, "bin_ms": 10.0, "trial_start": starts, "trial_stop": starts + 0.8, "trial_go": starts + GO}


def test_samples_of_wider_bins_are_summed_or_averaged(both):
    values = np.arange(1000.0)[:, None] + np.zeros(3)
    arrays = samples_of_trials(values)
    sums, means = (both(arrays, "--bin", 40, "--force", *more).whole() for more in ((), ("--mean",)))
    first = 0.0 if both.verb == "chop" else 30.0
    assert sums[0, 0, 0] == 4 * first + 6
    np.testing.assert_allclose(means, sums / 4)


def test_a_smoothed_copy_has_the_width_in_ms(both):
    made = both(regular(), "--smooth", 35)
    values = made.whole().astype(float)
    wanted, share = (gaussian_filter1d(of, 3.5, axis=1, mode="constant") for of in (values, np.ones_like(values)))
    np.testing.assert_allclose(made.whole("smoothed"), wanted / share, atol=1e-3)


def test_units_channels_and_trials_are_chosen_by_what_is_known_of_them(both, tmp_path):
    assert both(regular(), "--units", "quality == 'good'").arrays["channel_names"].tolist() == ["1", "3"]
    assert both(regular(), "--min-rate", 5, "--force").arrays["channel_names"].tolist() == ["1", "2"]
    some, every = both(regular(), "--trials", "ok", "--force").whole(), both(regular(), "--force").whole()
    assert len(some) / len(every) == 0.8
    arrays = {key: values for key, values in regular().items() if not key.startswith("trial_")}
    (tmp_path / "t.csv").write_text("start,stop,go\n0,0.8,0.3\n1,1.8,1.3\n2,2.8,2.3\n", encoding="utf-8")
    assert len(both(arrays, "--trials", tmp_path / "t.csv", "--force").whole()) == {"make": 3, "chop": 6}[both.verb]


def test_signals_are_carried_decoded_told_to_the_model_and_averaged_round_the_circle(both, tmp_path):
    made = both(regular(), "--bin", 20)
    starts = {"make": np.arange(TRIALS) + GO, "chop": np.repeat(np.arange(TRIALS), 2) + np.tile([0, 0.4], TRIALS)}[both.verb]
    position = 3 * (starts[:, None] + (np.arange(20) + 0.5) * 0.02)
    np.testing.assert_allclose(made.whole("position")[..., 0], position, atol=0.04)
    assert "train_behavior" not in made.arrays
    assert np.abs(made.whole("heading")).max() < 2  # 3.1 and -3.1 averaged as if they were no angles
    made = both(regular(), "--bin", 20, "--behaviour", "position", "--external", "heading", "--circular", "heading", "--force")
    np.testing.assert_allclose(made.whole("behavior")[..., 0], position, atol=0.04)
    np.testing.assert_allclose(np.cos(made.whole("ext_input")), -1, atol=0.01)
    only = both(regular(), "--series", "position", "--force")
    assert "train_position" in only.arrays
    assert "train_heading" not in only.arrays
    (tmp_path / "speed.csv").write_text("\n".join(["time,v", *(f"{t / 100},7" for t in range(1001))]), encoding="utf-8")
    assert (both(regular(), "--series", f"speed={tmp_path / 'speed.csv'}", "--force").whole("speed") == 7).all()


def test_gaps_of_a_signal_are_filled_up_to_the_length_that_is_asked_for(both):
    arrays = regular()
    keep = (arrays["position_times"] < 4.35) | (arrays["position_times"] > 4.5)
    arrays |= {"position": arrays["position"][keep], "position_times": arrays["position_times"][keep]}
    assert np.isnan(both(arrays, "--bin", 20).whole("position")).any()
    assert not np.isnan(both(arrays, "--bin", 20, "--max-gap", 200, "--force").whole("position")).any()


def test_trials_in_which_a_channel_was_off_are_dropped_or_unknown(both):
    values = np.ones((1000, 3))
    values[440:450, 1] = np.nan
    arrays = samples_of_trials(values)
    dropped, kept = (both(arrays, "--unobserved", how, "--force").whole() for how in ("drop", "nan"))
    assert len(dropped) == len(kept) - 1
    assert not np.isnan(dropped).any()
    assert np.isnan(kept).any()


def test_trials_are_split_by_shares_by_turns_at_the_end_or_by_a_column(lfads):
    def split(*options):
        made = lfads("make", regular(), *WINDOW, *options, "--force")
        return {name: made.rows(name) for name in made.splits}

    shares = split("--valid", 0.3, "--test", 0.2)
    assert {name: len(rows) for name, rows in shares.items()} == {"train": 5, "valid": 3, "test": 2}
    assert split("--valid", 0.3, "--test", 0.2, "--seed", 1) != shares
    assert split("--every", 4)["valid"] == [3, 7]
    assert split("--last", "--valid", 0.3)["valid"] == [7, 8, 9]
    assert split("--split-column", "part") == {"train": [0, 1, 2, 3, 4, 5], "valid": [6, 7, 8], "test": [9]}


def test_windows_are_split_by_shares_by_turns_at_the_end_or_by_a_column(lfads):
    def split(*options):
        made = lfads("chop", regular(), "--window", 400, *options, "--force")
        return {name: made.rows(name) for name in made.splits}

    shares = split("--valid", 0.3, "--test", 0.2)
    assert {name: len(rows) for name, rows in shares.items()} == {"train": 10, "valid": 6, "test": 4}
    assert split("--valid", 0.3, "--test", 0.2, "--seed", 1) != shares
    assert split("--every", 4)["valid"] == [3, 7, 11, 15, 19]
    assert split("--last", "--valid", 0.3)["valid"] == [14, 15, 16, 17, 18, 19]
    assert split("--split-column", "part")["valid"] == [12, 13, 14, 15, 16, 17]


def test_conditions_are_columns_and_each_is_split_alike_unless_nobody_wants_that(both):
    made = both(regular(), "--condition", "side", "--condition", "block", "--valid", 0.4)
    assert len(made.arrays["cond_names"]) == 4
    names = made.arrays["cond_names"][made.arrays["train_cond"]]
    assert all("left" in name or "right" in name for name in names)
    by_side = both(regular(), "--condition", "block", "--valid", 0.4, "--force")
    assert np.bincount(by_side.arrays["valid_cond"]).tolist() == {"make": [2, 2], "chop": [4, 4]}[both.verb]
    seeds = [both(regular(), "--condition", "block", "--valid", 0.4, "--no-stratify", "--seed", k, "--force") for k in range(6)]
    assert any(len(set(np.bincount(of.arrays["valid_cond"], minlength=2).tolist())) > 1 for of in seeds)


def test_behaviour_is_decoded_within_the_values_of_a_column(both):
    made = both(regular(), "--behaviour", "position", "--condition", "block", "--decode-within", "block")
    mask = made.whole("decode_mask")
    half = len(mask) // 2
    np.testing.assert_array_equal(mask, np.repeat([[1, 0], [0, 1]], half, axis=0))


def test_channels_are_held_out_by_share_by_name_or_by_column_and_bins_at_the_end(both):
    plain = both(regular())

    def seen(*options):
        return both(regular(), *options, "--force").whole().shape[1:]

    assert plain.whole().shape[1:] == (40, 3)
    assert seen("--hold-out", 0.67) == (40, 1)
    assert seen("--forward", 50) == (35, 3)
    order = [both(regular(), "--hold-out", 0.34, "--seed", k, "--force").arrays["channel_names"].tolist() for k in range(4)]
    assert len(set(map(tuple, order))) > 1
    assert both(regular(), "--hold-out-channel", "1", "--force").arrays["channel_names"].tolist() == ["2", "3", "1"]
    by_column = both(regular(), "--hold-out-column", "apart", "--force")
    assert by_column.arrays["channel_names"].tolist() == ["1", "3", "2"]
    assert by_column.whole().shape[2] == 2


def test_a_file_is_replaced_only_if_that_is_asked_for(both):
    both(regular())
    assert "use --force" in both(regular(), code=2)
    assert both(regular(), "--force", "--bin", 20).attrs["bin_ms"] == 20


def test_arrays_go_by_the_names_that_are_given_and_times_by_their_unit(both):
    arrays = regular()
    expected = both(arrays).whole()
    renamed = {("when" if key == "spike_times" else "who" if key == "spike_units" else key): values for key, values in arrays.items()}
    np.testing.assert_array_equal(both(renamed, "--key", "times=when", "--key", "units=who", "--force").whole(), expected)
    in_ms = {key: values * 1000 if "time" in key or key in {"trial_start", "trial_stop", "trial_go"} else values for key, values in arrays.items()}
    np.testing.assert_array_equal(both(in_ms, "--time-unit", "ms", "--force").whole(), expected)
    odd = "seconds" if both.verb == "make" else "s"
    assert odd in both(in_ms, "--force", code=2)


def test_axes_are_in_the_order_that_is_given(lfads):
    values = np.random.default_rng(0).poisson(1.0, (12, 40, 3)).astype(float)
    made = lfads("make", {"data": values.transpose(2, 0, 1), "bin_ms": 10.0}, "--axes", "nbt")
    np.testing.assert_array_equal(made.whole(), values)
    chopped = lfads("chop", {"data": values.reshape(480, 3).T, "bin_ms": 10.0}, "--axes", "nt", "--window", 400, "--last", "--force")
    np.testing.assert_array_equal(chopped.whole(), values)


def test_times_in_cells_count_from_the_trial_or_from_the_session(both, tmp_path):
    cells = np.empty((TRIALS, 3), dtype=object)
    for trial in range(TRIALS):
        for channel in range(3):
            cells[trial, channel] = np.array([0.35 + 0.01 * channel])
    start = np.arange(TRIALS) * 1.0
    scipy.io.savemat(tmp_path / "cells.mat", {"spike_times": cells, "start": start, "stop": start + 0.8, "go": start + GO})
    assert both(tmp_path / "cells.mat").whole().sum() == 30
    assert both(tmp_path / "cells.mat", "--times-from", "trial", "--force").whole().sum() == 30
    session = both(tmp_path / "cells.mat", "--times-from", "session", "--force").whole()
    assert session.sum() == 3  # only the first trial is there, at 0.35 s
