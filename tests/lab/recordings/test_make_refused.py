"""Files that somebody got wrong, on the command line: one line that says where, what must hold, what was got, and what to do."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli

GO = ("--event", "go", "--after", "500")


def told(*arguments):
    """The exit code and what is said."""
    done = CliRunner().invoke(cli, ["data", "make", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def scaled(arrays, factor, *names):
    return {**arrays, **{name: arrays[name] * factor for name in names}}


TIMES = ("spike_times", "trial_start", "trial_stop", "trial_go", "hand_times")
CASES = {
    "spikes in ms, trials in s": (
        lambda a: scaled(a, 1000, "spike_times"),
        (),
        (
            "events and trials must be in one unit of time, got events up to 14990.3 and trials up to 14.75: 1016 times as far. "
            "Bring them to one unit, such as seconds."
        ),
    ),
    "trials in ms, spikes in s": (
        lambda a: scaled(a, 1000, "trial_start", "trial_stop", "trial_go"),
        (),
        (
            "events and trials must be in one unit of time, got events up to 14.9903 and trials up to 14750: 984 times as far. "
            "Bring them to one unit, such as seconds."
        ),
    ),
    "numbers of samples": (
        lambda a: {**scaled(a, 30_000, *TIMES), "spike_times": np.round(a["spike_times"] * 30_000)},
        (),
        (
            "times should be in seconds, but then the usual trial lasts 3.75e+04 s. Say --time-unit ms, or --time-unit s if they are seconds "
            "all the same. If they count samples, divide them by the sampling rate."
        ),
    ),
    "behaviour in ms": (
        lambda a: scaled(a, 1000, "hand_times"),
        ("--behaviour", "hand"),
        (
            "'hand' must be known in at least 5% of the bins, got 1 of 500: its samples run from 0 to 14996 s, the windows from 0.3 to 14.3 s. "
            "Are their clocks and units the same?"
        ),
    ),
    "start and stop swapped": (
        lambda a: {**a, "trial_start": a["trial_stop"], "trial_stop": a["trial_start"]},
        (),
        "trials must stop after they start, got 1.25 to 0 s in row 0. Are columns swapped?",
    ),
    "a column that is too short": (
        lambda a: {**a, "trial_go": a["trial_go"][:-1]},
        (),
        "'trial_go' must have a value for each of 10 trials, got 9. Mend it, or call it otherwise.",
    ),
}


@pytest.mark.parametrize(("change", "options", "text"), CASES.values(), ids=CASES)
def test_arrays_that_cannot_be_right_are_refused(recording, tmp_path, change, options, text):
    np.savez(tmp_path / "a.npz", **change(recording.arrays()))
    code, said = told(tmp_path / "a.npz", *GO, *options, "-o", tmp_path / "o.h5")
    assert code == 2
    assert said.startswith(f"error: {tmp_path}/a.npz: {text}"), said
    assert said.count("\n") == 1
    assert not (tmp_path / "o.h5").exists()


TABLES = {
    "no first line": (
        "1,0.5\n1,0.6\n",
        "the first line must name the columns, got the numbers 1, 0.5. Add a line such as unit,time.",
    ),
    "decimal commas": (
        "unit;time\n1;0,5\n",
        "'time' must hold numbers with a point as the decimal mark, got '0,5' in row 0. Mend it, or name another column with --key.",
    ),
}


@pytest.mark.parametrize(("content", "text"), TABLES.values(), ids=TABLES)
def test_tables_that_are_written_otherwise_are_refused(recording, tmp_path, content, text):
    _, trials, _ = recording.write_csv(tmp_path)
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    assert told(tmp_path / "a.csv", "--trials", trials, "-o", tmp_path / "o.h5") == (2, f"error: {tmp_path}/a.csv: {text}\n")


def test_tables_may_have_spaces_between_their_columns(recording, tmp_path):
    spikes, trials, _ = recording.write_csv(tmp_path)
    (tmp_path / "a.txt").write_text(spikes.read_text(encoding="utf-8").replace(",", "   "), encoding="utf-8")
    said = f"wrote {tmp_path}/o.h5: 8 train, 2 valid trials, 50 bins of 10 ms, 3 channels\n"
    assert told(tmp_path / "a.txt", "--trials", trials, *GO, "-o", tmp_path / "o.h5")[1].startswith(said)


def test_files_that_are_not_there_or_not_whole_are_refused(recording, tmp_path):
    spikes, *_ = recording.write_csv(tmp_path)
    out = ("-o", tmp_path / "o.h5")
    assert told(tmp_path, *out) == (2, f"error: {tmp_path}: must be a file, got a folder. Name the files in it.\n")
    none = tmp_path / "none.csv"
    assert told(spikes, "--trials", none, *out) == (2, f"error: {none}: must be a file, found nothing there. Check the path.\n")
    from raw_files import reaches, write_matlab_73

    path, _ = write_matlab_73(reaches(trials=4, cells=2), tmp_path)
    path.write_bytes(path.read_bytes()[:20_000])
    code, said = told(path, *out)
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith(f"error: {path}: a Matlab file of version 7.3 must be readable, but HDF5 says: ")
    assert said.endswith(". Save it again.\n")


@pytest.mark.parametrize("option", ["--after", "--before"])
def test_a_window_of_no_number_is_refused(recording, tmp_path, option):
    spikes, trials, _ = recording.write_csv(tmp_path)
    name = option.removeprefix("--")
    text = f"error: window.{name}_ms: must be a finite number, got nan\n"
    assert told(spikes, "--trials", trials, option, "nan", "-o", tmp_path / "o.h5") == (2, text)


def test_what_is_not_taken_along_and_trials_without_a_condition_are_told(recording, tmp_path):
    more = {"comment": np.array(["by hand"]), "lfp": np.zeros((50, 4)), "kind": np.array([np.nan, 1, 2, 1, 2, np.nan, 1, 2, 1, 2])}
    np.savez(tmp_path / "a.npz", **recording.arrays(), **more)
    _, said = told(tmp_path / "a.npz", *GO, "--condition", "kind", "-o", tmp_path / "o.h5")
    assert said.splitlines()[:2] == [
        (
            "note: not taken along: 'comment' (1,), 'lfp' (50, 4). They fit neither the trials nor the channels, and no array says when they were "
            "sampled (NAME_times)."
        ),
        "note: 2 of 10 trials have no condition: they make one of their own.",
    ]


def test_many_channels_out_of_order_are_told_in_one_line(recording, tmp_path):
    arrays = recording.arrays()
    arrays["spike_times"] = arrays["spike_times"][::-1].copy()
    arrays["spike_units"] = arrays["spike_units"][::-1].copy()
    np.savez(tmp_path / "a.npz", **arrays)
    ties = sum(int((np.diff(times) == 0).sum()) for times in recording.units.values())
    _, said = told(tmp_path / "a.npz", *GO, "-o", tmp_path / "o.h5")
    assert said.splitlines()[0] == f"warning: times of channels 3, 7, 12 go back {3 * 399 - ties} times; they were sorted."
