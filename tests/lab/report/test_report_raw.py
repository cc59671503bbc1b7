"""From raw recordings of every kind to the page in three commands: make, run, report."""

from __future__ import annotations

import importlib.util
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_plugins_lab.recordings import HoldOutOptions, MakeOptions, Raw, SplitOptions, WindowOptions, from_pynapple, make, write_layout
from raw_files import AROUND, WRITERS, Reaches, reaches

NO_NWB = pytest.mark.skipif(importlib.util.find_spec("pynwb") is None, reason="pynwb, the extra [nwb], is not installed")
FORMATS = [pytest.param(kind, marks=NO_NWB if kind == "nwb" else pytest.mark.slow) for kind in WRITERS]  # one of them stands for all


class Words(HTMLParser):
    """What a reader sees, and the lines in which a section says that it has nothing to show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.missing, self._empty, self._hidden = [], [], False, False
        self.feed(text)
        self.all = " ".join(self.words)

    def handle_starttag(self, tag, attrs):
        self._empty = ("class", "none") in attrs
        self._hidden = tag in {"script", "style"}

    def handle_endtag(self, tag):
        self._empty = self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            (self.missing if self._empty else self.words).append(data)


def lfads(*arguments):
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def run_and_report(made, folder, settings):
    options = [part for text in settings for part in ("--set", text)]
    lfads("run", made, "--runs", folder / "runs", "--name", "r", *options)
    lfads("report", folder / "runs" / "r")
    return Words((folder / "runs" / "r" / "report.html").read_text(encoding="utf-8"))


def check_page(page: Words, of: Reaches, output, names: tuple[str, str], unit: str):
    """Everything that went in stands on the page, and the numbers in the file are those of the recording."""
    assert page.missing == ["This model comes from a single run, not from a search (lfads search)."]
    assert "made: 16 training, 4 validation trials, 40 bins of 20 ms, 6 channels, 2 of them held out from the model's input" in page.all
    for target in ("left", "down"):
        assert page.words.count(f"target {target}") >= 3  # averages, trajectories, initial conditions, inputs
    assert page.words.count("time from go (ms)") >= 10
    assert "Size of inputs around go" in page.words
    for name in names:
        assert any(
            re.fullmatch(rf"{name}, R² -?\d+\.\d+ over all validation trials, (?:\d+ ms (?:after|before)|at the same time as) the rates", word)
            for word in page.words
        )
        assert f"{name} ({unit})" in page.words
    with h5py.File(output) as file:
        rows, order = file["valid_inds"][()], file["channel_order"][()]
        np.testing.assert_array_equal(file["valid_recon_data"][()], of.counts(rows)[:, :, order])
        assert [file["cond_names"].asstr()[()][k] for k in file["valid_cond"][()]] == of.target[rows].tolist()
        assert file["channel_names"].asstr()[()].tolist() == [str(k + 1) for k in order]
        np.testing.assert_allclose(file["time_ms"][()], -200 + 20 * np.arange(40))
        np.testing.assert_allclose(file["valid_trial_stop_s"][()], of.stop[rows])
        np.testing.assert_allclose(file["valid_go_ms"][()], 200.0)
        shown = [name for name in page.words if name.startswith("Channel ")]
        assert len(shown) == 6
        held = {f"Channel {k + 1}, held out" for k in order[4:]}
        assert set(shown) == {f"Channel {k + 1}" for k in order[:4]} | held


@pytest.mark.long
@pytest.mark.parametrize("kind", FORMATS)
def test_three_commands_make_a_page_of_any_file(kind, tmp_path, tiny_settings):
    of = reaches(trials=20, cells=6, conditions=2)
    source, more = WRITERS[kind](of, tmp_path)
    made = tmp_path / "made.h5"
    said = lfads("data", "make", source, *more, *AROUND, "--hold-out", "0.34", "-o", made)
    assert said == f"wrote {made}: 16 train, 4 valid trials, 40 bins of 20 ms, 6 channels\nnext: lfads data check {made}, then lfads run {made}\n"
    page = run_and_report(made, tmp_path, (*tiny_settings, "train.epochs=2"))
    names = ("hand x", "hand y") if kind == "csv" else ("hand 0", "hand 1")
    check_page(page, of, tmp_path / "runs" / "r" / "lfads_output_made.h5", names, "mm/s" if kind == "nwb" else "unit of the file")


def stand_ins(of: Reaches) -> Raw:
    """Objects with the members of pynapple's that are used."""
    units = {int(name): SimpleNamespace(index=times) for name, times in of.units.items()}
    trials = SimpleNamespace(start=of.start, end=of.stop, metadata_columns=("go", "target"), get_info=lambda name: getattr(of, name))
    return from_pynapple(units, trials, {"hand": SimpleNamespace(index=of.hand_times, values=of.hand, columns=["x", "y"])})


def real_ones(of: Reaches) -> Raw:
    """pynapple's own."""
    nap = pytest.importorskip("pynapple", reason="pynapple is not installed")
    support = nap.IntervalSet(start=0, end=of.stop[-1] + 1)
    units = nap.TsGroup({int(name): nap.Ts(t=times) for name, times in of.units.items()}, time_support=support)
    trials = nap.IntervalSet(start=of.start, end=of.stop, metadata={"go": of.go, "target": of.target})
    return from_pynapple(units, trials, {"hand": nap.TsdFrame(t=of.hand_times, d=of.hand, columns=["x", "y"])})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # pynapple's own
@pytest.mark.parametrize("objects", [stand_ins, real_ones])
def test_objects_of_pynapple_make_the_same_page(objects, tmp_path, tiny_settings):
    of = reaches(trials=20, cells=6, conditions=2)
    options = MakeOptions(
        bin_ms=20,
        window=WindowOptions(event="go", before_ms=200, after_ms=600),
        hold_out=HoldOutOptions(fraction=0.34),
        split=SplitOptions(),
        condition=("target",),
        behaviour=("hand",),
    )
    made = make(objects(of), options)
    assert made.problems == ()
    write_layout(tmp_path / "made.h5", made.arrays, made.attributes)
    page = run_and_report(tmp_path / "made.h5", tmp_path, (*tiny_settings, "train.epochs=2"))
    check_page(page, of, tmp_path / "runs" / "r" / "lfads_output_made.h5", ("hand x", "hand y"), "unit of the file")


@pytest.mark.slow
def test_a_trained_model_decodes_the_hand_and_predicts_cells_it_did_not_see(tmp_path):
    of = reaches(trials=120, cells=20)
    source, more = WRITERS["csv"](of, tmp_path)
    made = tmp_path / "made.h5"
    lfads("data", "make", source, *more, *AROUND, "--hold-out", "0.25", "-o", made)
    page = run_and_report(made, tmp_path, ("train.epochs=60", "train.device=cpu", "track.mlflow=false", "infer.figures=false", "infer.samples=10"))
    for name in ("hand x", "hand y"):
        (score,) = (float(found[1]) for word in page.words if (found := re.match(rf"{name}, R² (-?[\d.]+) over all validation trials", word)))
        assert score > 0.8
    place = page.words.index("bits per spike, held-out channels (co-bps)")
    model, best = float(page.words[place - 1]), float(re.match(r"best baseline (-?[\d.]+)", page.words[place + 1])[1])
    assert model > 0.5 * best > 0
    assert any(word.startswith("Condition averages") for word in page.words)
