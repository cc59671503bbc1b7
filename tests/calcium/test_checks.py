"""What the inspector of deconvolved events says, word by word."""

from __future__ import annotations

import numpy as np
import pytest

from lfads_core.data.inspect import inspect_session
from lfads_core.data.session import Session, Split
from lfads_core.plugins import load_registry
from lfads_plugins_calcium.checks import inspect_events


def session(train, valid=None):
    arrays = {"train": train, "valid": train if valid is None else valid}
    return Session(name="a", path=None, splits={k: Split(encod=x, recon=x, external=np.zeros((*x.shape[:2], 0))) for k, x in arrays.items()})


@pytest.fixture
def events():
    rng = np.random.default_rng(3)
    return np.where(rng.random((20, 50, 4)) < 0.1, rng.gamma(2.0, 1.0, (20, 50, 4)), 0.0)


def said(*args):
    return [(p.severity, p.text) for p in inspect_events(session(*args))]


def test_good_events_pass_in_silence(events):
    assert said(events) == []


def test_negative_values_are_called_fluorescence(events):
    events[0, :10, 0] = -0.1
    text = (
        "'valid_recon_data' must hold deconvolved events, which are never negative, got 0.2% negative values: this looks like "
        "fluorescence (dF/F). Deconvolve the traces first (OASIS, CaImAn or suite2p's 'spks'), or use the reconstruction 'gaussian'."
    )
    assert said(np.abs(events), events) == [("error", text)]


def test_values_that_are_hardly_ever_zero_are_called_fluorescence(events):
    text = (
        "'train_recon_data' should be events, most of them 0, got 0.0% zeros: this looks like fluorescence (dF/F) or smoothed events. "
        "Deconvolve the traces first, and set what is below their noise to 0, or use the reconstruction 'gaussian'."
    )
    assert said(events + 1.0) == [("warning", text)]


def test_cells_without_or_with_few_events_are_named(events):
    events[:, :, 1] = 0
    events[:, :, 3] = 0
    events[0, :4, 3] = 1.0
    assert said(events) == [
        ("warning", "'train_recon_data' has 1 of 4 cells without an event (1). They teach nothing; consider dropping them."),
        ("info", "'train_recon_data' has 1 of 4 cells with fewer than 5 events (3): how large theirs are is mostly taken from the other cells."),
    ]


def test_no_event_at_all_is_an_error(events):
    text = "'train_recon_data' must hold events, got none in any of 4 cells. Look at the deconvolution's threshold."
    assert said(events * 0) == [("error", text)]


def test_many_tiny_events_are_told_with_a_remedy(events):
    happened = events > 0
    events[happened & (np.arange(50)[:, None] < 5)] = 1e-5
    median = np.median(events[happened])
    tiny = (events[happened] < 0.01 * median).mean()
    (problem,) = inspect_events(session(events))
    assert problem.severity == "warning"
    assert problem.text == (
        f"'train_recon_data' has {tiny:.1%} of its events below 1% of the median event ({median:.3g}), down to 1e-05: most likely rounding of the "
        f"deconvolution, and a gamma bends to it. Set values below {0.01 * median:.2g} to 0, or raise zero-inflated-gamma.gamma_loc, "
        "below which events count as the smallest."
    )


def test_cells_of_very_unequal_size_are_told(events):
    (problem,) = inspect_events(session(events * [1.0, 1.0, 90.0, 90.0]))
    assert problem.severity == "warning"
    assert problem.text.startswith("'train_recon_data' has cells whose events differ in size by a factor of ")
    assert problem.text.endswith("the encoders will hear the large ones only. Divide each cell by its mean event.")


def test_what_was_not_observed_is_counted_cell_by_cell(events):
    events[:, ::2, :2] = np.nan
    events[:, :, 3] = np.nan
    assert said(events) == [
        (
            "warning",
            "'train_recon_data' has 1 of 4 cells that were observed in fewer than 2% of bins (3). They teach nothing; consider dropping them.",
        ),
        ("info", "'train_recon_data' was observed (is not NaN) in 0.0% to 100.0% of bins, by cell; 'sbtt' learns from these alone."),
        ("warning", "'train_recon_data' has 1 of 4 cells without an event (3). They teach nothing; consider dropping them."),
    ]


def test_a_split_without_an_observed_value_says_so_and_no_more(events):
    assert [severity for severity, _ in said(events * np.nan)] == ["warning", "info"]


def test_the_reconstruction_brings_its_inspector(events):
    (problem,) = inspect_session(session(events * 0), "zero-inflated-gamma", load_registry())
    assert problem.text.startswith("session 'a': 'train_recon_data' must hold events")


def test_fluorescence_clipped_at_zero_is_recognised_by_how_long_it_lasts():
    rng = np.random.default_rng(0)
    trace = rng.normal(size=(30, 60, 4))
    for t in range(1, 60):
        trace[:, t] = 0.9 * trace[:, t - 1] + 0.45 * trace[:, t]
    clipped = np.maximum(trace, 0.0)
    (problem,) = [p for p in inspect_events(session(clipped)) if "last" in p.text]
    assert problem.severity == "warning"
    assert "fluorescence (dF/F) clipped at 0" in problem.text
    events = rng.gamma(2.0, 0.5, trace.shape) * (rng.random(trace.shape) < 0.1)
    assert not [p for p in inspect_events(session(events)) if "last" in p.text]
