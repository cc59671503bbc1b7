"""Replay of the metrics."""

from __future__ import annotations

from typing import Any

from lfads_core.train.smoothing import SmoothedMetric, epoch_mean
from lfads_plugins_std.metrics.behaviour import speed_tp_correlation, velocity_decoding
from lfads_plugins_std.metrics.psth import eval_psth
from lfads_plugins_std.metrics.r2 import r2_score
from lfads_plugins_std.metrics.spikes import bits_per_spike, bits_per_spike_from_log_rates, regional_bits_per_spike_from_log_rates
from parity.fixture import Fixture
from parity.report import Report


def _compare(fixture: Fixture, report: Report, ours: dict[str, Any]) -> None:
    for name, value in ours.items():
        if name in fixture.arrays:
            report.compare(name, fixture.arrays[name], value)


def replay_metrics(fixture: Fixture, report: Report) -> None:
    """``n_metrics``: scores from log-rates, R2, smoothing over epochs."""
    given = fixture.arrays
    inputs = {"counts", "lograte", "r2/preds", "r2/targets", "regional/encod_data_dim", "regional/encod_seq_len"}
    inputs |= {f"{group}/{name}" for group in fixture.subgroups("exp_smoothed") for name in ("batch_sizes", "coef", "values")}
    report.expected = set(given) - inputs
    log_rates, counts = given["lograte"], given["counts"]
    channels, bins = int(given["regional/encod_data_dim"]), int(given["regional/encod_seq_len"])
    everywhere = regional_bits_per_spike_from_log_rates(log_rates, counts, channels, bins)
    seen = regional_bits_per_spike_from_log_rates(log_rates[:, :bins, :channels], counts[:, :bins, :channels], channels, bins)
    ours: dict[str, Any] = {
        "bits_per_spike": bits_per_spike_from_log_rates(log_rates, counts),
        **{f"regional/{name}": value for name, value in everywhere.items()},
        **{f"regional_without_heldout/{name}": value for name, value in seen.items()},
        "r2/r2_score": r2_score(given["r2/preds"], given["r2/targets"]),
        "r2/r2_score_2d": r2_score(given["r2/preds"][0], given["r2/targets"][0]),
    }
    for group in fixture.subgroups("exp_smoothed"):
        epochs = list(zip(given[f"{group}/values"], given[f"{group}/batch_sizes"], strict=True))
        metric, smoothed = SmoothedMetric(coef=float(given[f"{group}/coef"])), []
        for values, sizes in epochs:
            metric = metric.update(values, sizes)
            smoothed.append(metric.value)
        ours |= {f"{group}/epoch_mean": [epoch_mean(*epoch) for epoch in epochs], f"{group}/smoothed": smoothed}
    _compare(fixture, report, ours)


def replay_benchmark_metrics(fixture: Fixture, report: Report) -> None:
    """``n_nlb_tools``: the Neural Latents Benchmark's scores."""
    given = fixture.arrays
    report.expected = {name for name in given if name.rpartition("/")[2].startswith("value")}
    rates, spikes = given["bits_per_spike/rates"], given["bits_per_spike/spikes"]
    averaged = given["eval_psth/rates"]
    trials = [given[f"eval_psth/cond_idx/{i}"] for i in range(len(given["eval_psth/psth"]))]
    decoding = [given[f"velocity_decoding/{part}_{what}"] for part in ("train", "eval") for what in ("rates", "behavior", "mask")]
    ours = {
        "bits_per_spike/value": bits_per_spike(rates, spikes),
        "bits_per_spike/value_rates_with_zero": bits_per_spike(given["bits_per_spike/rates_with_zero"], spikes),
        "bits_per_spike/value_with_nan": bits_per_spike(rates, given["bits_per_spike/spikes_with_nan"]),
        "eval_psth/value": eval_psth(given["eval_psth/psth"], averaged, trials),
        "eval_psth/value_with_nan": eval_psth(given["eval_psth/psth_with_nan"], averaged, trials),
        "eval_psth/value_with_jitter": eval_psth(given["eval_psth/psth_for_jitter"], averaged, trials, given["eval_psth/jitter"]),
        "speed_tp_correlation/value": speed_tp_correlation(
            *(given[f"speed_tp_correlation/{name}"] for name in ("spikes_heldout", "rates", "behavior"))
        ),
        "velocity_decoding/value_grid_search": velocity_decoding(*decoding),
        "velocity_decoding/value_fixed_alpha": velocity_decoding(*decoding, search=False),
    }
    _compare(fixture, report, ours)
