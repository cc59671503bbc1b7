"""Synthetic data are refused where they would not fit into memory or take for ever, before anything is made."""

from __future__ import annotations

import time

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli

HUGE = [
    ("lorenz", "bins", 10**9, "sessions x conditions x trials_per_condition x bins x channels: must be at most 50,000,000 together, got 4.16e+13."),
    ("lorenz", "channels", 10**7, "sessions x conditions x trials_per_condition x bins x channels: must be at most 50,000,000 together"),
    ("lorenz", "step", 1e-300, "bins and integration steps: must be at most 1,000,000 together"),
    ("lorenz", "burn_in", 1e300, "bins and integration steps: must be at most 1,000,000 together"),
    ("lorenz", "sessions", 10**18, "sessions x conditions x trials_per_condition x bins x channels: must be at most 50,000,000 together"),
    ("lorenz", "mean_rate", 1e300, "expected counts in a bin (mean_rate x bin_ms / 1000): must be at most 1,000,000 together"),
    ("chaotic-rnn", "seconds", 1e9, "bins of a trial: must be at most 100,000 together"),
    ("chaotic-rnn", "units", 10**6, "units x units: must be at most 50,000,000 together"),
    ("emg", "trials", 10**12, "trials x bins x channels: must be at most 50,000,000 together"),
    ("emg", "timescale_ms", 1e12, "bins of the smoothing kernel (timescale_ms / bin_ms): must be at most 10,000 together"),
    ("calcium", "frames", 10**10, "fine bins of a trial with the warm-up: must be at most 100,000 together"),
    ("calcium", "warm_up_ms", 1e300, "fine bins of a trial with the warm-up: must be at most 100,000 together"),
]


@pytest.mark.parametrize(("name", "key", "value", "text"), HUGE, ids=[f"{name}-{key}" for name, key, *_ in HUGE])
def test_sizes_out_of_all_proportion_are_refused_at_once(name, key, value, text, tmp_path):
    begun = time.process_time()
    result = CliRunner().invoke(cli, ["synth", name, "--set", f"{key}={value}", "-o", str(tmp_path / "a.h5")])
    assert result.exit_code == 2
    assert text in result.output
    assert time.process_time() - begun < 5
    assert not list(tmp_path.iterdir())
