"""What is wrong with envelopes, for the gamma reconstruction, beyond values that are zero or negative."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Num

from lfads_core.data.checks import Problem
from lfads_core.data.session import Session
from lfads_plugins_emg.rails import spoken_rails

RAIL_SHARE = 1e-3
"""More of a channel's values at its very maximum than this: the amplifier, or the clip, cut it."""
FLOOR_SHARE = 0.5
"""More of a channel's values at its very minimum than this: the floor hides what the muscle does."""
FEW = 5
"""So few equal values are chance."""
DEAD = 1e-3
"""A channel whose spread is less than this share of the typical channel's carries no signal."""
SCALES = 10.0
"""Channels whose means differ by more than this factor do not weigh alike in the encoders' input."""


def inspect_envelopes(session: Session) -> Iterator[Problem]:
    """Missing values are left to the other checks; validation and test trials are looked at for bad values only."""
    for name, split in session.splits.items():
        yield from _bad(f"{name}_recon_data", split.recon)
    train = session.splits.get("train")
    if train is None or not train.recon.size:
        return
    key, channels = "train_recon_data", _names(session, train.recon.shape[2])
    seen = [observed[np.isfinite(observed)] for observed in np.moveaxis(train.recon, 2, 0)]
    yield from _rails(key, seen, channels)
    shares = session.arrays.get("emg_rails")
    if shares is not None and shares.shape == (len(channels),):
        order = np.ravel(session.arrays.get("channel_order", np.arange(len(channels))))  # they stand in the order of the file
        if (text := spoken_rails(shares[order], channels)) is not None:
            yield _warning(f"the raw recording {text}")
    yield from _levels(key, seen, channels)


def _warning(text: str) -> Problem:
    return Problem(severity="warning", text=text)


def _bad(key: str, values: Num[np.ndarray, "B T N"]) -> Iterator[Problem]:
    """Where values that a gamma cannot give are; that there are some is an error of the general checks."""
    bad = (values <= 0).sum(axis=(0, 1))
    if bad.any():
        where = ", ".join(f"{n} ({bad[n]})" for n in np.flatnonzero(bad)[:10])
        yield _warning(
            f"'{key}' has values <= 0 in {int((bad > 0).sum())} of {bad.size} channels: {where}. "
            "Rectify raw EMG and give it a floor: python -m lfads_plugins_emg prepare."
        )


def _rails(key: str, seen: Sequence[np.ndarray], channels: Sequence[str]) -> Iterator[Problem]:
    """Many values at one extreme, of channels that change at all."""
    changing = np.array([x.size > 0 and x.max() > x.min() for x in seen])
    top = np.array([_share(x == x.max()) if ok else 0.0 for x, ok in zip(seen, changing, strict=True)])
    bottom = np.array([_share(x == x.min()) if ok else 0.0 for x, ok in zip(seen, changing, strict=True)])
    if (top > RAIL_SHARE).any():
        yield _warning(
            f"'{key}' is clipped at the rails: {_some(top > RAIL_SHARE, channels, top)} of the values equal the channel's largest. "
            "Drop such trials, or lower the gain in the next recording; the model takes these values at face value."
        )
    if (bottom > FLOOR_SHARE).any():
        yield _warning(
            f"'{key}' lies on its floor: {_some(bottom > FLOOR_SHARE, channels, bottom)} of the values equal the channel's smallest. "
            "Lower the floor of the preparation, or drop these channels."
        )


def _share(at_the_end: Bool[np.ndarray, " v"]) -> float:
    return float(at_the_end.mean()) if np.count_nonzero(at_the_end) > FEW else 0.0


def _levels(key: str, seen: Sequence[np.ndarray], channels: Sequence[str]) -> Iterator[Problem]:
    spread = np.array([x.std(dtype=np.float64) if x.size else 0.0 for x in seen])
    mean = np.array([x.mean(dtype=np.float64) if x.size else 0.0 for x in seen])
    dead = spread <= DEAD * np.median(spread)
    if dead.any():
        yield _warning(f"'{key}' has channels without a signal: {_some(dead, channels)} hardly vary beside the others. Drop them.")
    alive = mean[~dead & (mean > 0)]
    if alive.size and alive.max() > SCALES * alive.min():
        yield _warning(
            f"'{key}' has channels of different scale: means from {alive.min():.3g} to {alive.max():.3g}. "
            "Divide each by a percentile of its own: python -m lfads_plugins_emg prepare."
        )


def _names(session: Session, count: int) -> list[str]:
    """Names of channels if the file gives them, else their numbers."""
    given: Any = session.attributes.get("channels", session.attributes.get("channel_names"))
    return [str(name) for name in given] if given is not None and np.shape(given) == (count,) else [str(n) for n in range(count)]


def _some(which: Bool[np.ndarray, " N"], channels: Sequence[str], shares: np.ndarray | None = None) -> str:
    """The first ten of them, with their shares."""
    numbers = np.flatnonzero(which)
    shown = [channels[n] if shares is None else f"{channels[n]} ({shares[n]:.2g})" for n in numbers[:10]]
    return ", ".join(shown) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")
