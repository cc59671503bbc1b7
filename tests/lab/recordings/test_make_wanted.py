"""Only the units and trials that are wanted: a condition on their columns, read without ever running it."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.errors import ConfigError, DataError
from lfads_plugins_lab.recordings import Cut, MakeOptions, Raw, SplitOptions, Trials, WindowOptions, make
from lfads_plugins_lab.recordings.expression import rows_where

COLUMNS = {
    "quality": np.array(["good", "mua", "good", "noise"], dtype=object),
    "depth": np.array([100.0, 900.0, np.nan, 400.0]),
    "count": np.array([1, 2, 3, 4]),
    "success": np.array([True, False, True, True]),
    "area": np.array(["M1", "PMd", "M1", "M1"]),
    "word": np.array(["yes", "no", "True", ""], dtype=object),
    "flag": np.array([1.0, 0.0, np.nan, 1.0]),
}

HOLDS = {
    "quality == 'good'": [1, 0, 1, 0],
    "quality != 'good'": [0, 1, 0, 1],
    "quality in ['good', 'mua']": [1, 1, 1, 0],
    "quality not in ('good', 'mua')": [0, 0, 0, 1],
    "depth < 500": [1, 0, 0, 1],
    "not depth < 500": [0, 1, 1, 0],
    "depth != 100": [0, 1, 0, 1],
    "100 <= depth < 500": [1, 0, 0, 1],
    "success": [1, 0, 1, 1],
    "not success": [0, 1, 0, 0],
    "success and depth < 500 or count == 2": [1, 1, 0, 1],
    "success and (depth < 500 or count == 3)": [1, 0, 1, 1],
    "word": [1, 0, 1, 0],
    "flag": [1, 0, 0, 1],
    "count * 2 + 1 > 5": [0, 0, 1, 1],
    "-count < -2": [0, 0, 1, 1],
    "count % 2 == 0": [0, 1, 0, 1],
    "depth / count >= 100": [1, 1, 0, 1],
    "True": [1, 1, 1, 1],
    "count in []": [0, 0, 0, 0],
    "quality > 'h'": [0, 1, 0, 1],
    "area == 'M1'": [1, 0, 1, 1],
}


@pytest.mark.parametrize(("text", "rows"), HOLDS.items(), ids=list(HOLDS))
def test_a_condition_holds_for_the_rows_it_should(text, rows):
    assert rows_where(text, COLUMNS, option="--units", where="a.nwb").tolist() == [bool(row) for row in rows]


LANGUAGE = "columns, numbers and texts, with == != < <= > >=, in [..], and, or, not, + - * / % and brackets"
REFUSED = {
    "": f"--units: must be a condition of {LANGUAGE}, got ''. Write it such as \"quality == 'good'\".",
    "quality = 'good'": f"--units: must be a condition of {LANGUAGE}, got \"quality = 'good'\". Write it such as \"quality == 'good'\".",
    "qualty == 'good'": "a.nwb: --units must name columns, got 'qualty'. Did you mean 'quality'? "
    "There is 'quality', 'depth', 'count', 'success', 'area', 'word', 'flag'.",
    "__import__('os')": f"--units: \"__import__('os')\" must be a condition of {LANGUAGE}; got \"__import__('os')\".",
    "quality.upper() == 'GOOD'": f"--units: \"quality.upper() == 'GOOD'\" must be a condition of {LANGUAGE}; got 'quality.upper()'.",
    "count[0] == 1": f"--units: 'count[0] == 1' must be a condition of {LANGUAGE}; got 'count[0]'.",
    "[x for x in count]": f"--units: '[x for x in count]' must be a condition of {LANGUAGE}; got '[x for x in count]'.",
    "count ** 99999999 > 1": f"--units: 'count ** 99999999 > 1' must be a condition of {LANGUAGE}; got 'count ** 99999999'.",
    "1 / 0 == count": f"--units: '1 / 0 == count' must be a condition of {LANGUAGE}; got '1 / 0': division by zero.",
    "depth": f"--units: 'depth' must be a condition of {LANGUAGE}; 'depth' must be true or false in each row. Compare it with something.",
    "depth == 'deep'": f"--units: \"depth == 'deep'\" must be a condition of {LANGUAGE}; compares a column of numbers with 'deep'.",
    "quality == 1": f"--units: 'quality == 1' must be a condition of {LANGUAGE}; compares a column of text with 1.",
    "quality < 1": f"--units: 'quality < 1' must be a condition of {LANGUAGE}; compares text with numbers.",
    "quality + 1 == 2": f"--units: 'quality + 1 == 2' must be a condition of {LANGUAGE}; 'quality' must be a number.",
    "count in 5": f"--units: 'count in 5' must be a condition of {LANGUAGE}; 'in' must be followed by a list such as ['a', 'b'], got '5'.",
    "count is 1": f"--units: 'count is 1' must be a condition of {LANGUAGE}; got 'count is 1'.",
}


@pytest.mark.filterwarnings("ignore::SyntaxWarning")  # of Python's parser, about 'is 1'
@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=list(REFUSED))
def test_what_is_no_condition_is_refused_in_one_sentence(text, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        rows_where(text, COLUMNS, option="--units", where="a.nwb")


def raw():
    rng = np.random.default_rng(0)
    trials = Trials(
        start=np.arange(10) * 2.0, stop=np.arange(10) * 2.0 + 1, columns={"success": np.arange(10) % 3 != 0, "go": np.arange(10) * 2.0 + 0.3}
    )
    units = {name: np.sort(rng.uniform(0, 20, 200)) for name in "abc"}
    return Raw(where="a.nwb", units=units, trials=trials, about={"quality": np.array(["good", "mua", "good"], dtype=object)})


def whole(made, key):
    rows = np.concatenate([made.arrays[f"{split}_inds"] for split in ("train", "valid")])
    return np.concatenate([made.arrays[f"{split}_{key}"] for split in ("train", "valid")])[np.argsort(rows)], np.sort(rows)


@pytest.mark.parametrize("chopped", [False, True])
def test_units_and_trials_that_are_not_wanted_are_left_out_and_the_rest_keep_their_numbers(chopped):
    window = WindowOptions(chop_ms=500) if chopped else WindowOptions(event="go", before_ms=100, after_ms=400)
    split = SplitOptions(by="last", valid=0.3)
    plain = make(raw(), MakeOptions(window=window, split=split))
    some = make(raw(), MakeOptions(window=window, split=split, keep_units="quality == 'good'", keep_trials="success"))
    values, _ = whole(plain, "encod_data")
    kept, rows = whole(some, "encod_data")
    assert some.arrays["channel_names"].tolist() == ["a", "c"]
    if chopped:
        assert len(kept) == 12
    else:
        assert rows.tolist() == [1, 2, 4, 5, 7, 8]
        np.testing.assert_array_equal(kept, values[rows][:, :, [0, 2]])
    texts = [problem.text for problem in some.problems]
    assert "2 of 3 channels are kept: quality == 'good'" in texts
    assert "6 of 10 trials are kept: success" in texts


def test_trials_and_channels_of_bins_are_chosen_too():
    values = np.random.default_rng(0).poisson(1.0, (10, 4, 3)).astype(float)
    cut = Cut(where="a.npz", values=values, bin_ms=10.0, names=("a", "b", "c"), per_trial={"rt": np.arange(10.0), "truth": values / 2})
    made = make(cut, MakeOptions(keep_trials="rt >= 4", keep_units="name != 'b'", split=SplitOptions(by="last", valid=0.3)))
    kept, rows = whole(made, "encod_data")
    assert rows.tolist() == [4, 5, 6, 7, 8, 9]
    np.testing.assert_array_equal(kept, values[4:][:, :, [0, 2]])
    np.testing.assert_array_equal(whole(made, "truth")[0], values[4:][:, :, [0, 2]] / 2)


def test_nothing_left_and_nothing_to_choose_from_are_refused():
    for option, text, end in (
        ("units", "quality == 'best'", "3 channels, got none. Here quality is 'good', 'mua'. Loosen it."),
        ("trials", "go > 90 and not success", "10 trials, got none. Here go is from 0.3 to 18.3 and success is 'False', 'True'. Loosen it."),
    ):
        with pytest.raises(DataError, match=f"^{re.escape(f'a.nwb: --{option} {text!r} must hold for at least one of {end}')}$"):
            make(raw(), MakeOptions(**{f"keep_{option}": text}))
    alone = Raw(where="a.nwb", units={"a": np.arange(0, 20, 0.1)})
    with pytest.raises(DataError, match=re.escape("a.nwb: --trials must choose among trials, got a recording without any.")):
        make(alone, MakeOptions(keep_trials="success", window=WindowOptions(chop_ms=500)))


def test_a_table_and_a_condition_of_trials_stand_side_by_side_on_the_command_line(recording, tmp_path):
    spikes, trials, _ = recording.write_csv(tmp_path)
    common = ["data", "make", str(spikes), "--trials", str(trials), "-o", str(tmp_path / "o.h5"), "--event", "go", "--after", "400", "--last"]
    done = CliRunner().invoke(cli, [*common, "--trials", "side == 'left'", "--units", "name in ['3', '12']"])
    assert done.exit_code == 0, done.output
    with h5py.File(tmp_path / "o.h5") as file:
        rows = np.concatenate([file["train_inds"][()], file["valid_inds"][()]])
        assert sorted(rows.tolist()) == np.flatnonzero(recording.side == "left").tolist()
        assert sorted(file["channel_names"].asstr()[()].tolist()) == ["12", "3"]
    done = CliRunner().invoke(cli, [*common, "--trials", "side == 'left'", "--trials", "go > 1", "--force"])
    assert done.output == "error: --trials: must be given one condition at most, got \"side == 'left'\", 'go > 1'; join conditions by 'and'\n"
