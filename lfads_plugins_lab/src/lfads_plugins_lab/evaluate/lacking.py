"""Why a metric has no number for these data, in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_std.metrics.conditions import labels_of
from lfads_plugins_std.metrics.titles import METRICS

_COUNTS = ("bps", "co_bps", "fp_bps")
_OTHERS = ("r2", "co_r2", "fp_r2")
_GAINS = ("gain_over_constant", "bits_per_event")


def ordered(names: Sequence[str]) -> list[str]:
    """Metrics of the standard package in their order, then the others."""
    known = list(METRICS)
    lag = [name for name in names if name.startswith("behaviour_")]
    place = known.index("velocity_r2")
    order = [*known[:place], *sorted(lag, key=lambda name: ("_lag_" in name, name.endswith("_at_edge"), name)), *known[place:]]
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
            found[name] = region.get(name[:2]) or "nothing was observed"
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
