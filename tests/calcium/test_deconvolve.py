"""Deconvolution against brute force: non-negative least squares by scipy."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg, optimize

from lfads_core.errors import DataError
from lfads_plugins_calcium.deconvolve import deconvolve


def brute_force(trace, decay, penalty):
    """½|y - K s|² + penalty Σ s = ½|(y - penalty K'^-1 1) - K s|² + const, K invertible."""
    kernel = linalg.toeplitz(decay ** np.arange(len(trace)), np.zeros(len(trace)))
    target = trace - penalty * np.linalg.solve(kernel.T, np.ones(len(trace)))
    events, _ = optimize.nnls(kernel, target)
    return events, kernel @ events


@given(
    seed=st.integers(0, 2**16),
    frames=st.integers(1, 40),
    decay=st.floats(0.05, 0.97),
    penalty=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_events_are_those_of_non_negative_least_squares(seed, frames, decay, penalty):
    trace = np.random.default_rng(seed).normal(0.2, 1.0, frames)
    found = deconvolve(trace, decay, penalty=penalty)
    events, calcium = brute_force(trace, decay, penalty)
    np.testing.assert_allclose(found.calcium, calcium, atol=1e-8)
    np.testing.assert_allclose(found.events, events, atol=1e-8)
    assert (found.events >= 0).all()


def test_a_trace_without_noise_gives_its_events_back():
    events = np.zeros(60)
    events[[5, 6, 30, 58]] = [1.0, 2.0, 0.5, 1.5]
    trace = np.convolve(events, 0.8 ** np.arange(60))[:60]
    np.testing.assert_allclose(deconvolve(trace, 0.8).events, events, atol=1e-12)


def test_every_event_is_as_large_as_asked_for_or_absent():
    rng = np.random.default_rng(0)
    trace = np.convolve(rng.poisson(0.1, 300), 0.9 ** np.arange(300))[:300] + rng.normal(0, 0.2, 300)
    events = deconvolve(trace, 0.9, smallest=0.5).events[1:]
    assert events[events > 0].min() >= 0.5
    assert (events > 0).sum() > 10


def test_traces_of_many_cells_are_taken_one_by_one():
    traces = np.random.default_rng(1).normal(size=(3, 4, 20))
    both = deconvolve(traces, 0.7)
    assert both.events.shape == traces.shape
    np.testing.assert_array_equal(both.events[2, 1], deconvolve(traces[2, 1], 0.7).events)
    assert deconvolve(np.zeros((0, 5)), 0.7).events.shape == (0, 5)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_is_none_is_refused(decay):
    text = f"deconvolution: the decay per frame must be >= 0 and < 1, got {decay!r}. It is exp(-frame / tau)."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        deconvolve(np.zeros(3), decay)


def test_missing_frames_are_refused():
    text = "deconvolution: traces must be finite, got NaN or infinite values. Cut the trace where frames are missing."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        deconvolve(np.array([0.0, np.nan]), 0.5)
