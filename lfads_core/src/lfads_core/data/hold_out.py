"""Keep channels from the encoders and reconstruct them all the same (co-smoothing)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from lfads_core.data.order import CHANNEL_ORDER, OF_CHANNELS, of_each_channel
from lfads_core.data.session import Session, Split
from lfads_core.errors import DataError


def pick_channels(channels: int, fraction: float, seed: int) -> tuple[Int[np.ndarray, " Ne"], Int[np.ndarray, " O"]]:
    """Return the sorted indices of held-in and held-out channels.

    The rule is the one benchmarks use, so numbers compare: ``RandomState(seed).permutation(channels)``, of which the
    first ``int(fraction * channels)`` are held out.
    """
    order = np.random.RandomState(seed).permutation(channels)
    n_out = int(fraction * channels)
    return np.sort(order[n_out:]), np.sort(order[:n_out])


def hold_out_channels(session: Session, fraction: float, seed: int) -> Session:
    """Return a session whose encoders see the held-in channels only; held-out ones come last in what is reconstructed.

    The truth, channel names and whatever else is called ``channel_...``, ``readin_weight`` (rows of held-in channels) and
    ``readout_bias`` follow. ``channel_order`` (N) in ``arrays`` gives each channel's index in the file:
    ``original[..., channel_order] == reordered``. A fraction of 0 changes nothing.

    Raises:
        DataError: The file already holds channels out, or the fraction is too small to hold out one.
    """
    if fraction == 0:
        return session
    where = str(session.path) if session.path is not None else f"session '{session.name}'"
    first = next(iter(session.splits.values()))
    n_in, channels = first.encod.shape[2], first.recon.shape[2]
    if not first.nested:
        raise DataError(f"{where}: channels can be held out of one modality only, got another one to reconstruct. Set data.hold_out to null.")
    if n_in != channels:
        raise DataError(
            f"{where}: holding channels out must start from all channels in the encoders' input, got {n_in} of {channels}: "
            "the file holds some out already. Set data.hold_out to null."
        )
    held_in, held_out = pick_channels(channels, fraction, seed)
    if not held_out.size or not held_in.size:
        raise DataError(
            f"{where}: data.hold_out.fraction must hold out at least one of {channels} channels and leave one, got {fraction!r}, "
            f"which holds out {held_out.size}. Choose a fraction of at least {1 / channels:.2g} and below 1."
        )
    return rearranged(session, np.concatenate([held_in, held_out]), held_in.size)


def rearranged(session: Session, order: Int[np.ndarray, " N"], n_in: int) -> Session:
    """The session with its channels in another order, of which the encoders see the first ``n_in``; whatever is said of channels follows."""
    held_in = order[:n_in]
    splits = {name: _reordered(split, held_in, order) for name, split in session.splits.items()}
    arrays = dict(session.arrays)
    before = arrays.pop(CHANNEL_ORDER, np.arange(order.size))
    if "readin_weight" in arrays and arrays["readin_weight"].shape[:1] == next(iter(session.splits.values())).encod.shape[2:]:
        arrays["readin_weight"] = arrays["readin_weight"][held_in]
    if "readout_bias" in arrays and arrays["readout_bias"].shape == order.shape:
        arrays["readout_bias"] = arrays["readout_bias"][order]
    arrays = {**_renamed(arrays, order), CHANNEL_ORDER: np.ravel(before)[order]}
    stored = {name: split.with_channels(held_in, order) for name, split in session.stored.items()}
    return dataclasses.replace(session, splits=splits, stored=stored, arrays=arrays, attributes=_renamed(session.attributes, order))


def _reordered(split: Split, held_in: Int[np.ndarray, " Ne"], order: Int[np.ndarray, " N"]) -> Split:
    """``take`` keeps rows contiguous, which fancy indexing of the last axis does not; held-in channels come first and need no copy of their own."""
    extras = dict(split.extras)
    extras |= {key: np.take(extras[key], order, axis=2) for key in OF_CHANNELS if key in extras and np.shape(extras[key])[2:] == order.shape}
    recon = np.take(split.recon, order, axis=2)
    encod = recon[..., : held_in.size] if split.encod is split.recon else np.take(split.encod, held_in, axis=2)
    return dataclasses.replace(split, encod=encod, recon=recon, extras=extras)


def _renamed(values: Mapping[str, Any], order: Int[np.ndarray, " N"]) -> dict[str, Any]:
    """Put names of channels, and whatever else is said of each, into the new order."""
    moving = {key for key, value in values.items() if of_each_channel(key) and np.shape(value)[:1] == order.shape}
    return {key: np.asarray(value)[order] if key in moving else value for key, value in values.items()}
