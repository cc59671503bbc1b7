"""Raw EMG to envelopes against scipy, and back."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from lfads_core.errors import DataError
from lfads_plugins_emg.envelope import bin_means, fit_scale, highpass, lines, notch, prepare, rectify
from lfads_plugins_emg.envelope_settings import EnvelopeConfig

FS = 1000.0


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def wave(hz, seconds=6.0, phase=0.3):
    t = np.arange(round(seconds * FS)) / FS
    return np.sin(2 * np.pi * hz * t + phase)[None, :, None]


def gain(before, after):
    """Ratio of sizes away from the ends, where a narrow notch rings for a second."""
    middle = slice(2000, -2000)
    return after[:, middle].std() / before[:, middle].std()


@pytest.mark.parametrize("line", [50.0, 60.0, 180.0])
def test_a_notch_removes_its_line_and_leaves_its_neighbours(line):
    at, off = wave(line), wave(line + 15)
    assert gain(at, notch(at, FS, line, 2.0)) < 1e-3
    assert gain(off, notch(off, FS, line, 2.0)) > 0.95


def test_a_notch_is_scipys_filtfilt(rng):
    values = rng.normal(size=(2, 600, 3))
    b, a = signal.iirnotch(50.0, 25.0, fs=FS)
    np.testing.assert_allclose(notch(values, FS, 50.0, 2.0)[:, 100:-100], signal.filtfilt(b, a, values, axis=1)[:, 100:-100], atol=2e-3)


def test_the_high_pass_is_scipys_response_squared():
    """Forwards and backwards: half the power at the corner is lost twice."""
    assert gain(wave(65.0), highpass(wave(65.0), FS, 65.0, 4)) == pytest.approx(0.5, rel=0.01)
    assert gain(wave(10.0), highpass(wave(10.0), FS, 65.0, 4)) < 1e-5
    sections = signal.butter(4, 65.0, "highpass", fs=FS, output="sos")
    _, response = signal.sosfreqz(sections, worN=[120.0], fs=FS)
    assert gain(wave(120.0), highpass(wave(120.0), FS, 65.0, 4)) == pytest.approx(abs(response[0]) ** 2, rel=1e-3)


def test_filters_delay_nothing():
    passed = notch(highpass(wave(150.0), FS, 65.0, 4), FS, 50.0, 2.0)
    reference, moved = wave(150.0)[0, 2000:-2000, 0], passed[0, 2000:-2000, 0]
    lags = signal.correlation_lags(len(reference), len(moved))
    assert lags[np.argmax(signal.correlate(moved, reference))] == 0
    np.testing.assert_allclose(moved, reference, atol=0.01)


def test_lines_are_the_multiples_of_the_mains_that_the_sampling_rate_holds():
    assert lines(60.0, 5, 1000.0) == [60.0, 120.0, 180.0, 240.0, 300.0]
    assert lines(60.0, 5, 400.0) == [60.0, 120.0, 180.0]


def test_bins_of_whole_samples_are_means_and_the_rest_is_dropped(rng):
    values = rng.random((2, 23, 3))
    np.testing.assert_allclose(bin_means(values, 4.0), values[:, :20].reshape(2, 5, 4, 3).mean(axis=2), rtol=1e-12)


@pytest.mark.property
@given(samples=st.integers(1, 40), per_bin=st.floats(1.0, 12.0), seed=st.integers(0, 2**16))
def test_bins_that_share_samples_take_each_by_its_share(samples, per_bin, seed):
    values = np.random.default_rng(seed).random((1, samples, 2))
    if per_bin > samples:
        with pytest.raises(DataError):
            bin_means(values, per_bin)
        return
    got = bin_means(values, per_bin)
    for t in range(got.shape[1]):
        overlap = np.clip(np.minimum(np.arange(samples) + 1, (t + 1) * per_bin) - np.maximum(np.arange(samples), t * per_bin), 0, None)
        np.testing.assert_allclose(got[0, t], overlap @ values[0] / per_bin, rtol=1e-9, atol=1e-12)


def test_the_whole_way_is_the_chain_of_its_steps(rng):
    raw = [100 * rng.standard_t(4, size=(trials, 900, 3)) * [1.0, 5.0, 0.2] for trials in (6, 2)]
    settings = EnvelopeConfig(mains_hz=50.0, harmonics=2, bin_ms=3.0, clip_percentile=99.0, scale_percentile=90.0, floor=0.01)
    (train, valid), scale = prepare(raw, FS, settings)
    expected = []
    for values in raw:
        filtered = signal.sosfiltfilt(signal.butter(4, 65.0, "highpass", fs=FS, output="sos"), values, axis=1)
        for line in (50.0, 100.0):
            filtered = signal.sosfiltfilt(signal.tf2sos(*signal.iirnotch(line, line / 2, fs=FS)), filtered, axis=1)
        expected.append(np.abs(filtered).reshape(len(values), 300, 3, 3).mean(axis=2))
    top, unit = (np.percentile(expected[0], q, axis=(0, 1)) for q in (99.0, 90.0))
    for got, values in zip((train, valid), expected, strict=True):
        np.testing.assert_allclose(got, np.maximum(np.minimum(values, top) / unit, 0.01), rtol=1e-9)
    np.testing.assert_allclose(scale.scale, unit, rtol=1e-12)


def test_the_inverse_brings_back_what_was_neither_cut_nor_raised(rng):
    values = rng.gamma(2.0, 30.0, (5, 200, 4)) * [1.0, 10.0, 0.1, 3.0]
    scale = fit_scale(values, EnvelopeConfig())
    back = scale.invert(scale.apply(values))
    kept = (values < scale.clip) & (values / scale.scale > scale.floor)
    assert kept.mean() > 0.99
    np.testing.assert_allclose(back[kept], values[kept], rtol=1e-12)
    np.testing.assert_allclose(back[values > scale.clip], np.broadcast_to(scale.clip, values.shape)[values > scale.clip], rtol=1e-12)


def test_without_filters_and_clip_rectifying_is_all(rng):
    raw = rng.normal(size=(2, 10, 3))
    settings = EnvelopeConfig(highpass_hz=None, mains_hz=None, bin_ms=1.0, clip_percentile=None)
    np.testing.assert_allclose(rectify(raw, FS, settings), np.abs(raw), rtol=1e-12)
    assert np.isinf(fit_scale(np.abs(raw), settings).clip).all()


def refuse(raw, text, fs=FS, **settings):
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        prepare([raw], fs, EnvelopeConfig(**settings))


def test_what_cannot_be_prepared_is_refused_in_one_line(rng):
    raw = rng.normal(size=(2, 500, 3))
    holes = raw.copy()
    holes[0, :4, 0] = np.nan
    refuse(holes, "raw EMG: must be finite, got 4 NaN or infinite samples. Mend or drop these trials.")
    refuse(raw, "raw EMG: highpass_hz must be below half the sampling rate (50 Hz), got 65. Lower it, or set it to null.", fs=100.0)
    refuse(raw[:, :15], "raw EMG: trials must be longer than the filters' 15 samples, got 15. Cut longer trials.")
    refuse(raw, "raw EMG: a bin must hold at least one sample and fit into a trial of 500, got 0.5 samples. Change bin_ms.", bin_ms=0.5)
    refuse(raw, "raw EMG: a bin must hold at least one sample and fit into a trial of 500, got 501 samples. Change bin_ms.", bin_ms=501.0)
    raw[..., 1] = 7.0
    refuse(raw, "raw EMG: every channel must carry a signal, got none in 1. Drop these channels.")
    refuse(raw[:0], "raw EMG: the training split must have trials, bins and channels, got (0, 250, 3). Fill it.")
