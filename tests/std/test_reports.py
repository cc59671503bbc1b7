"""Figures of a run stand on the same axis of time as its report."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from lfads_core.data.hdf5 import read_hdf5
from lfads_core.runs import Run
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.report.words import times_of
from lfads_plugins_std import reports

BINS = 6


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run's folder with nothing in it but the outputs of one session."""
    run, rng = Run.create(tmp_path / "run"), np.random.default_rng(0)
    arrays = {"recon_data": 3, "output_params": 3, "factors": 4, "co_means": 2, "co_stds": 2, "truth": 3}
    with h5py.File(run.output("monday"), "w") as file:
        file.attrs["lfads_session"] = "monday"
        for key, width in arrays.items():
            file[f"valid_{key}"] = rng.gamma(2.0, 0.1, (4, BINS, width))
        file["valid_encod_data"] = file["valid_recon_data"][()]
        file["valid_output_params"].attrs["unit"] = "events/bin"
    return run


@pytest.mark.long
@pytest.mark.parametrize(
    ("attributes", "middles", "label", "event"),
    [
        pytest.param({}, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5], "time in trial (bins)", None, id="no width"),
        pytest.param({"bin_ms": 10.0}, [5, 15, 25, 35, 45, 55], "time in trial (ms)", None, id="no event"),
        pytest.param(
            {"bin_ms": 20.0, "first_bin_ms": -40.0, "aligned_to": "go"}, [-30, -10, 10, 30, 50, 70], "time from go (ms)", 0.0, id="event within"
        ),
        pytest.param(
            {"bin_ms": 20.0, "first_bin_ms": 100.0, "aligned_to": "go"}, [110, 130, 150, 170, 190, 210], "time from go (ms)", None, id="after"
        ),
    ],
)
def test_figures_and_report_have_one_axis_of_time(run, attributes, middles, label, event, monkeypatch):
    with h5py.File(run.output("monday"), "a") as file:
        file.attrs.update(attributes)
    drawn = {}
    monkeypatch.setattr(reports, "save", lambda figure, path: drawn.setdefault(path.stem, figure) and path)
    for render in (reports.render_trials, reports.render_factors, reports.render_inputs, reports.render_truth):
        render(run, run.plots)
    page = times_of(Recorded(session=read_hdf5(run.output("monday"), required=()), support="counts", is_rate=True))
    assert (list(page.middles), page.label, page.event) == (middles, label, event)
    width = middles[1] - middles[0]
    assert drawn["trials_monday"].axes[0].images[0].get_extent()[:2] == [middles[0] - width / 2, middles[-1] + width / 2]
    assert drawn["trials_monday"].axes[-2].get_xlabel() == label
    for name in ("factors_monday", "inputs_monday", "truth_monday"):
        axes = [ax for ax in drawn[name].axes if any(len(line.get_xdata()) == BINS for line in ax.get_lines()) and ax.name != "3d"]
        assert axes
        assert label in {ax.get_xlabel() for ax in axes}
        for ax in axes:
            (line, *_) = [line for line in ax.get_lines() if len(line.get_xdata()) == BINS]
            assert list(line.get_xdata()) == middles
            assert ([0, 0] in [list(line.get_xdata()) for line in ax.get_lines()]) == (event == 0.0)
