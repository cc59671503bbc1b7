"""What is wrong with deconvolved events before any training; importing this loads no torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from lfads_core.data.checks import Problem
from lfads_core.data.session import Session
from lfads_core.data.summary import FEW_ZEROS, PERSISTENT, summarise_array

TINY = 0.01
"""Events below this share of the median event are tiny; so many of all events may be: ``MANY_TINY``."""
MANY_TINY = 0.05
FEW_EVENTS = 5
"""A cell with fewer events in training teaches little about their size."""
RARELY_SEEN = 0.02
"""A cell observed in a smaller share of training bins teaches little."""
UNEQUAL = 30.0
"""Cells' median events may differ by this factor before their inputs should be scaled (5th to 95th percentile of cells)."""


def inspect_events(session: Session) -> Iterator[Problem]:
    """Negative values (dF/F by mistake), too few zeros, silent cells, tiny events, unequal cells, what was not observed."""
    for name, split in session.splits.items():
        yield from _negative(f"{name}_recon_data", split.recon)
    train = session.splits.get("train")
    if train is None or not train.recon.size:
        return
    key, values = "train_recon_data", train.recon
    observed, events = (~np.isnan(values)).sum(axis=(0, 1)), (values > 0).sum(axis=(0, 1))
    yield from _missing(key, values, observed)
    if not observed.any() or (values < 0).any():
        return
    zeros = 1 - events.sum() / observed.sum()
    if zeros < FEW_ZEROS:
        yield Problem(
            severity="warning",
            text=f"'{key}' should be events, most of them 0, got {zeros:.1%} zeros: this looks like fluorescence (dF/F) or smoothed events. "
            "Deconvolve the traces first, and set what is below their noise to 0, or use the reconstruction 'gaussian'.",
        )
    elif (lasting := summarise_array(key, values).persistence or 0.0) > PERSISTENT:
        yield Problem(
            severity="warning",
            text=f"'{key}' should be events, which are short, got values that last: neighbouring bins are correlated by {lasting:.2f}. This looks "
            "like fluorescence (dF/F) clipped at 0. Deconvolve the traces first, or use the reconstruction 'gaussian'.",
        )
    yield from _silent(key, events)
    if events.any():
        yield from _sizes(key, values, events)


def _negative(key: str, values: Float[np.ndarray, "B T N"]) -> Iterator[Problem]:
    count = int((values < 0).sum())
    if count:
        share = count / max(1, int((~np.isnan(values)).sum()))
        yield Problem(
            severity="error",
            text=f"'{key}' must hold deconvolved events, which are never negative, got {share:.1%} negative values: "
            "this looks like fluorescence (dF/F). Deconvolve the traces first (OASIS, CaImAn or suite2p's 'spks'), "
            "or use the reconstruction 'gaussian'.",
        )


def _missing(key: str, values: Float[np.ndarray, "B T N"], observed: Int[np.ndarray, " N"]) -> Iterator[Problem]:
    bins = values.shape[0] * values.shape[1]
    rare = np.flatnonzero(observed < RARELY_SEEN * bins)
    if rare.size:
        yield Problem(
            severity="warning",
            text=f"'{key}' has {rare.size} of {values.shape[2]} cells that were observed in fewer than {RARELY_SEEN:.0%} of bins ({_few(rare)}). "
            "They teach nothing; consider dropping them.",
        )
    if observed.sum() < values.size:
        low, high = observed.min() / bins, observed.max() / bins
        seen = f"{low:.1%}" if low == high else f"{low:.1%} to {high:.1%}"
        yield Problem(severity="info", text=f"'{key}' was observed (is not NaN) in {seen} of bins, by cell; 'sbtt' learns from these alone.")


def _silent(key: str, events: Int[np.ndarray, " N"]) -> Iterator[Problem]:
    silent, few = np.flatnonzero(events == 0), np.flatnonzero((events > 0) & (events < FEW_EVENTS))
    if silent.size == events.size:
        yield Problem(
            severity="error", text=f"'{key}' must hold events, got none in any of {events.size} cells. Look at the deconvolution's threshold."
        )
    elif silent.size:
        yield Problem(
            severity="warning",
            text=f"'{key}' has {silent.size} of {events.size} cells without an event ({_few(silent)}). They teach nothing; consider dropping them.",
        )
    if few.size:
        yield Problem(
            severity="info",
            text=f"'{key}' has {few.size} of {events.size} cells with fewer than {FEW_EVENTS} events ({_few(few)}): "
            "how large theirs are is mostly taken from the other cells.",
        )


def _sizes(key: str, values: Float[np.ndarray, "B T N"], events: Int[np.ndarray, " N"]) -> Iterator[Problem]:
    sizes = values[values > 0]
    median = float(np.median(sizes))
    tiny = float((sizes < TINY * median).mean())
    if tiny > MANY_TINY:
        yield Problem(
            severity="warning",
            text=f"'{key}' has {tiny:.1%} of its events below {TINY:.0%} of the median event ({median:.3g}), down to {sizes.min():.2g}: "
            f"most likely rounding of the deconvolution, and a gamma bends to it. Set values below {TINY * median:.2g} to 0, "
            "or raise zero-inflated-gamma.gamma_loc, below which events count as the smallest.",
        )
    enough = np.flatnonzero(events >= FEW_EVENTS)
    if enough.size > 1:
        medians = [float(np.median(cell[cell > 0])) for cell in (values[..., n] for n in enough)]
        low, high = np.percentile(medians, (5, 95))
        if high > UNEQUAL * low:
            yield Problem(
                severity="warning",
                text=f"'{key}' has cells whose events differ in size by a factor of {high / low:.0f} ({low:.2g} to {high:.2g}): "
                "the encoders will hear the large ones only. Divide each cell by its mean event.",
            )


def _few(cells: Int[np.ndarray, " n"]) -> str:
    return ", ".join(map(str, cells[:10])) + (", ..." if cells.size > 10 else "")
