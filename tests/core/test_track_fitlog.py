"""``fitlog.csv``: what is written is read back, whatever happened in between."""

from __future__ import annotations

import csv
import math
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_core.errors import RunError
from lfads_core.track.fitlog import FitLog, read_fitlog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fitlog.csv"


def same(got: dict[str, list[float]], wanted: dict[str, list[float]]) -> bool:
    return list(got) == list(wanted) and all(
        len(a) == len(b) and all(x == y or (math.isnan(x) and math.isnan(y)) for x, y in zip(a, b, strict=True))
        for a, b in zip(got.values(), wanted.values(), strict=True)
    )


def test_rows_are_written_as_they_come(path):
    fitlog = FitLog(path)
    fitlog.append(0, {"train/total": 1.5, "lr": 0.004})
    assert path.read_text() == "epoch,train/total,lr\n0,1.5,0.004\n"
    fitlog.append(1, {"lr": 0.1 + 0.2, "train/total": -2.0})
    assert path.read_text() == "epoch,train/total,lr\n0,1.5,0.004\n1,-2.0,0.30000000000000004\n"


def test_whole_numbers_such_as_members_have_no_point_and_measured_ones_keep_theirs(path):
    FitLog(path).append(3, {"member": 10, "hp/lr": 1.0, "skipped": True})
    assert path.read_text() == "epoch,member,hp/lr,skipped\n3,10,1.0,1.0\n"


def test_a_later_column_widens_the_table_and_what_was_not_measured_stays_empty(path):
    fitlog = FitLog(path)
    fitlog.append(0, {"a": 1.0})
    fitlog.append(1, {"a": 2.0, "valid/bps": 0.5})
    fitlog.append(2, {"b": 3.0})
    assert path.read_text() == "epoch,a,valid/bps,b\n0,1.0,,\n1,2.0,0.5,\n2,,,3.0\n"
    nan = math.nan
    assert same(read_fitlog(path), {"epoch": [0, 1, 2], "a": [1, 2, nan], "valid/bps": [nan, 0.5, nan], "b": [nan, nan, 3]})


def test_nan_and_infinity_are_written_and_are_not_the_same_as_nothing(path):
    fitlog = FitLog(path)
    fitlog.append(0, {"a": math.nan, "b": math.inf, "c": -math.inf})
    fitlog.append(1, {"d": 0.0})
    assert path.read_text() == "epoch,a,b,c,d\n0,nan,inf,-inf,\n1,,,,0.0\n"


def test_names_of_sessions_with_commas_quotes_and_line_breaks_come_back(path):
    name = 'valid/recon/day "1", left\nbank'
    fitlog = FitLog(path)
    fitlog.append(0, {name: 1.0})
    fitlog.append(1, {name: 2.0})
    assert read_fitlog(path) == {"epoch": [0, 1], name: [1, 2]}


def test_another_reader_of_csv_sees_the_same_table(path):
    FitLog(path).append(3, {"x": 1e-300})
    with path.open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"epoch": "3", "x": "1e-300"}]


def test_resuming_drops_the_epochs_that_will_be_trained_again(path):
    fitlog = FitLog(path)
    for epoch in range(5):
        fitlog.append(epoch, {"a": float(epoch)})
    again = FitLog(path)
    again.truncate(3)
    again.append(3, {"a": 30.0})
    assert read_fitlog(path) == {"epoch": [0, 1, 2, 3], "a": [0, 1, 2, 30]}


def test_truncating_what_was_never_written_does_nothing(path):
    FitLog(path).truncate(0)
    assert not path.exists()


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_row_cut_off_anywhere_is_dropped_by_the_reader_and_by_the_next_row(path, cut):
    fitlog = FitLog(path)
    fitlog.append(0, {"a": 1.25, "b": 2.5})
    fitlog.append(1, {"a": 11.25, "b": 12.5})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])  # the last row has 13 bytes
    assert read_fitlog(path) == {"epoch": [0], "a": [1.25], "b": [2.5]}
    FitLog(path).append(1, {"a": 5.0, "b": 6.0})
    assert path.read_text() == "epoch,a,b\n0,1.25,2.5\n1,5.0,6.0\n"


def test_truncating_drops_a_row_that_was_cut_off(path):
    path.write_text("epoch,a\n0,1.0\n1,2.")
    FitLog(path).truncate(9)
    assert path.read_text() == "epoch,a\n0,1.0\n"


def test_a_log_deleted_in_the_middle_begins_anew(path):
    fitlog = FitLog(path)
    fitlog.append(0, {"a": 1.0})
    path.unlink()
    fitlog.append(1, {"a": 2.0})
    assert path.read_text() == "epoch,a\n1,2.0\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, which plays a full disk")
def test_after_a_write_that_failed_the_next_one_mends_the_file(path, monkeypatch):
    fitlog = FitLog(path)
    fitlog.append(0, {"a": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr(fitlog, "path", Path("/dev/full"))
        patch.setattr(FitLog, "_mend", lambda _: ["epoch", "a"])
        with pytest.raises(OSError, match="No space left"):
            fitlog.append(1, {"a": 2.0})
    path.write_text(path.read_text() + "1,2")  # what a full disk leaves
    fitlog.append(2, {"a": 3.0})
    assert path.read_text() == "epoch,a\n0,1.0\n2,3.0\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": must begin with a line of column names, 'epoch' first, got []."),
        ("time,a\n", ": must begin with a line of column names, 'epoch' first, got ['time', 'a']."),
        ("epoch,a\n0,x\n", ": must hold numbers, got 'x'."),
        ("epoch,a\n0,1\n1,2,3\n", ": each row must have 2 values, got 3 in row 3. Take that row out, or put it right."),
    ],
)
def test_a_table_that_is_no_log_is_refused(path, content, message):
    path.write_text(content)
    with pytest.raises(RunError, match=f"^{re.escape(str(path) + message)}$"):
        read_fitlog(path)


def test_a_file_that_is_not_there_or_no_text_is_refused(path):
    with pytest.raises(RunError, match=re.escape(f"{path}: must be a run's fitlog.csv, got: No such file or directory.")):
        read_fitlog(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match=re.escape(f"{path}: must be a table of text, got bytes that are none.")):
        read_fitlog(path)


names = st.text(min_size=1, max_size=6).filter(lambda name: name != "epoch" and "\0" not in name and name.isprintable())
rows = st.lists(st.dictionaries(names, st.floats(), max_size=4), max_size=8)


@pytest.mark.property
@given(rows=rows)
def test_whatever_rows_are_written_the_same_values_are_read(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "fitlog.csv"
    for epoch, row in enumerate(rows):
        FitLog(path).append(epoch, row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    wanted = {"epoch": list(range(len(rows))), **{name: [row.get(name, math.nan) for row in rows] for name in columns}}
    assert same(read_fitlog(path) if rows else {"epoch": []}, wanted)


@pytest.mark.slow
def test_a_process_killed_at_any_moment_loses_at_most_the_row_it_was_writing(path):
    program = f"""
from pathlib import Path
from lfads_core.track.fitlog import FitLog
fitlog = FitLog(Path({str(path)!r}))
for epoch in range(10**6):
    fitlog.append(epoch, {{"a": epoch / 7, **({{f"new {{epoch}}": 1.0}} if epoch % 50 == 0 and epoch < 1000 else {{}})}})
    print(epoch, flush=True)
"""
    chance = random.Random(0)
    for _ in range(8):
        path.unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
        told = [0, *map(int, process.stdout.read().split("\n")[:-1])]
        process.stdout.close()
        process.wait()
        table = read_fitlog(path)
        assert len(table["epoch"]) in {told[-1] + 1, told[-1] + 2}
        assert table["a"] == [epoch / 7 for epoch in range(len(table["epoch"]))]
        FitLog(path).truncate(1)
        assert len(read_fitlog(path)["epoch"]) == 1
