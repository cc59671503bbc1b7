"""What is known of a recording that a model was trained on, and in what another one differs from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from lfads_core.data.order import CHANNEL_NAMES
from lfads_core.data.rows import AbstractRows, row_blocks
from lfads_core.data.session import KnownData, Session
from lfads_core.wording import first_few


def know(session: Session) -> KnownData:
    """What a recording says of itself; its contents are left out (:func:`fingerprint`)."""
    said = session.attributes.get("first_bin_ms")
    return KnownData(
        channels=channel_names(session),
        bin_ms=session.bin_ms,
        aligned_to=session.aligned_to,
        first_bin_ms=None if said is None else session.first_bin_ms,
    )


def channel_names(session: Session) -> tuple[str, ...] | None:
    """Names of the channels to reconstruct, if the file gives one to each, in an array or an attribute."""
    channels = next(iter(session.splits.values())).recon.shape[2]
    for key in CHANNEL_NAMES:
        names = session.arrays.get(key, session.attributes.get(key))
        if names is not None and np.shape(names) == (channels,):
            return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in np.asarray(names).tolist())
    return None


def fingerprint(session: Session) -> dict[str, str]:
    """SHA-256 of what each split gives to the model: input, target and external input in single precision, with their shapes."""
    return {name: _digest((session.stored or session.splits)[name]) for name in session.splits}


def _digest(split: Any) -> str:
    digest = hashlib.sha256()
    for key, values in (("encod", split.encod), ("recon", None if split.recon is split.encod else split.recon), ("external", split.external)):
        if values is None or not values.shape[2]:
            continue
        digest.update(f"{key} {tuple(values.shape)}".encode())
        blocks = values.blocks() if isinstance(values, AbstractRows) else ((rows.start, values[rows]) for rows in row_blocks(values.shape, 4))
        for _, block in blocks:
            with np.errstate(invalid="ignore"):  # NaNs that signal
                plain = np.array(block, dtype="<f4", order="C") + np.float32(0)  # one zero, and below one NaN
            plain[np.isnan(plain)] = np.nan
            digest.update(plain.data)
    return digest.hexdigest()


def differences(trained: KnownData, given: KnownData) -> list[str]:
    """In what a recording differs from the one that a model was trained on, each in some words; what either does not say is passed over."""
    found = []
    if trained.channels is not None and given.channels is not None and trained.channels != given.channels:
        found.append(_other_channels(trained.channels, given.channels))
    if None not in (trained.bin_ms, given.bin_ms) and trained.bin_ms != given.bin_ms:
        found.append(f"bins of {given.bin_ms:g} ms (trained on {trained.bin_ms:g} ms)")
    found += other_alignment(trained, given)
    if other := [name for name in trained.contents if name in given.contents and trained.contents[name] != given.contents[name]]:
        found.append(f"other contents in {' and '.join(map(repr, other))}")
    return found


def _other_channels(trained: tuple[str, ...], given: tuple[str, ...]) -> str:
    if sorted(trained) == sorted(given):
        return "channels in another order"
    gone, new = ([name for name in one if name not in other] for one, other in ((trained, given), (given, trained)))
    parts = [f"{what} {first_few(names, 3)}" for what, names in (("without", gone), ("with", new)) if names]
    return f"other channels ({', '.join(parts) or 'names that stand twice'})"


def other_alignment(trained: KnownData, given: KnownData) -> list[str]:
    """In what trials are aligned otherwise than in training."""
    found = []
    if None not in (trained.aligned_to, given.aligned_to) and trained.aligned_to != given.aligned_to:
        found.append(f"trials aligned to '{given.aligned_to}' (trained on '{trained.aligned_to}')")
    if None not in (trained.first_bin_ms, given.first_bin_ms) and trained.first_bin_ms != given.first_bin_ms:
        found.append(f"first bins at {given.first_bin_ms:g} ms (trained on {trained.first_bin_ms:g} ms)")
    return found


def known_to_json(known: KnownData) -> dict[str, Any]:
    """Plain data."""
    return asdict(known)


def known_from_json(data: Mapping[str, Any]) -> KnownData:
    """Read back what :func:`known_to_json` gave."""
    channels = data.get("channels")
    return KnownData(**{**data, "channels": None if channels is None else tuple(channels)})
