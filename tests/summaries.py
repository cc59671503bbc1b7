"""Numbers about recordings that nobody wrote: of one array, of a split, of a session."""

from __future__ import annotations

from lfads_core.data.summary import ArraySummary, SessionSummary, SplitSummary


def array(key="train_recon_data", shape=(40, 5, 3), **changes):
    """Of counts, 40 trials of 5 bins and 3 channels unless said otherwise."""
    plain = {"missing": 0, "infinite": 0, "zeros": 9, "negative": 0, "fractional": 0, "fraction": None, "low": 0.0, "high": 4.0, "mean": 1.0}
    return ArraySummary(key=key, shape=shape, dtype="float32", constant=(), **plain | changes)


def one(recon=None, *, encod=None, **changes):
    """Of a split whose input is its target unless one is given."""
    recon = recon or array()
    plain = {"external": None, "same": encod is None, "nested": True, "truth_mean": None, "extras": {}}
    return SplitSummary(encod=encod or recon, recon=recon, **plain | changes)


def whole(name="s", *, path=None, bin_ms=None, arrays=None, **splits):
    """Of a session."""
    return SessionSummary(name=name, path=path, bin_ms=bin_ms, splits=splits, arrays=arrays or {})
