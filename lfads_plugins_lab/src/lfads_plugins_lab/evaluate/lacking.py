"""Why a metric has no number for these data, in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_std.metrics.conditions import labels_of

METRICS = {
    "bps": "bits per spike, seen channels",
    "co_bps": "bits per spike, held-out channels (co-bps)",
    "fp_bps": "bits per spike, later bins (fp-bps)",
    "r2": "R² to the data",
    "co_r2": "R² to the data, held-out channels",
    "gain_over_constant": "gain over constant distributions (nats a value)",
    "bits_per_event": "gain over constant distributions (bits an event)",
    "fp_r2": "R² to the data, later bins",
    "psth_r2": "R² of condition averages (PSTH)",
    "psth_own_r2": "R² of condition averages, own trials alone",
    "velocity_r2": "R² of decoded behaviour, no lag",
    "tp_corr": "speed against time produced, r",
    "r2_truth": "R² to true rates, mean over channels",
    "r2_truth_median": "R² to true rates, median",
    "r2_truth_vw": "R² to true rates, variance-weighted",
}
"""Metrics of the standard package, in the order in which they are shown, and what they are called there."""

_COUNTS = ("bps", "co_bps", "fp_bps")
_OTHERS = ("r2", "co_r2", "fp_r2")
_GAINS = ("gain_over_constant", "bits_per_event")


def title(metric: str) -> str:
    """What a metric is called where people read it."""
    for beginning, more in (("behaviour_r2_", ""), ("behaviour_fold_r2_", ", no lag, own trials alone")):
        if metric.startswith(beginning):
            return f"R² of decoded behaviour, dimension {metric.removeprefix(beginning)}{more}"
    return METRICS.get(metric, _LAGS.get(metric, metric))


_LAGS = {
    "behaviour_lag_ms": "lag of behaviour behind rates (ms)",
    "behaviour_lag_at_edge": "that lag is the first or last tried (1: yes)",
}


def ordered(names: Sequence[str]) -> list[str]:
    """Metrics of the standard package in their order, then the others."""
    known = list(METRICS)
    lag = [name for name in names if name.startswith("behaviour_")]
    place = known.index("velocity_r2")
    order = [*known[:place], *sorted(lag, key=lambda name: ("_lag_" in name, name)), *known[place:]]
    return [name for name in order if name in names] + [name for name in names if name not in order]


def lacking(e: Evaluation, scores: Mapping[str, float]) -> dict[str, str]:
    """Reasons for the standard metrics that are missing from the scores."""
    counts = e.support == "counts" and e.is_rate
    region = {"co": _no_heldout(e), "fp": "" if e.data.shape[1] > e.encod_bins else "no bins beyond the encoded ones"}
    found: dict[str, str] = {}
    for name in METRICS:
        if name in scores or name in _GAINS or name in (_OTHERS if counts else ()) or name == ("psth_r2" if e.train is None else "psth_own_r2"):
            continue
        if name in _COUNTS and not counts:
            found[name] = "the data are no counts"
        elif name in (*_COUNTS, *_OTHERS):
            found[name] = region.get(name.partition("_")[0], "") or "nothing was observed"
        else:
            found[name] = _reason(name, e)
    return found


def _no_heldout(e: Evaluation) -> str:
    return "" if e.data.shape[2] > e.encod_channels else "no channels are held out (--hold-out)"


def _reason(name: str, e: Evaluation) -> str:
    behaviour = next((e.extras[key] for key in ("behavior", "behaviour") if key in e.extras), None)
    if name.startswith("psth_"):
        if e.bin_ms is None and labels_of(e.extras) is not None:
            return "the file does not say how wide bins are (bin_ms)"
        if labels_of(e.extras) is None:
            return "the file names no conditions"
        return "fewer than two conditions with two trials each"
    if name == "velocity_r2":
        if behaviour is None or behaviour.ndim != 3:
            return "the file has no behaviour (trials, bins, dimensions)"
        return "too few trials, or none to fit, or the behaviour is no movement"
    if name == "tp_corr":
        return "the file has no times produced (behaviour of trials by columns)"
    return "the file has no true rates"
