"""Which channels and bins the encoders see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from lfads_core.data.hold_out import pick_channels
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.options import HoldOutOptions
from lfads_plugins_lab.recordings.windows import unknown


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """The channels in the order of the file, those that are seen first, and the bins that are seen."""

    order: Int[np.ndarray, " N"]
    n_in: int
    bins: int
    anything: bool


def hold_out(
    where: str, names: tuple[str, ...], about: Mapping[str, Shaped[np.ndarray, " N"]], options: HoldOutOptions, bin_ms: float, bins: int
) -> Held:
    """Choose what is held out.

    Raises:
        DataError: nothing or everything would be held out, a name is unknown, or the bins to predict are no whole number.
    """
    forward = options.forward_ms / bin_ms
    if abs(forward - round(forward)) > 1e-6 or round(forward) >= bins:
        raise DataError(f"{where}: --forward must be whole bins of {bin_ms:g} ms and less than a trial of {bins}, got {options.forward_ms:g} ms.")
    held_in, held_out = _channels(where, names, about, options)
    if (options.fraction or options.channels or options.column) and not (held_in.size and held_out.size):
        raise DataError(f"{where}: at least one of {len(names)} channels must be held out and one kept, got {held_out.size} held out. Choose others.")
    return Held(
        order=np.concatenate([held_in, held_out]).astype(np.int64),
        n_in=held_in.size,
        bins=bins - round(forward),
        anything=bool(held_out.size or round(forward)),
    )


def _channels(
    where: str, names: tuple[str, ...], about: Mapping[str, Shaped[np.ndarray, " N"]], options: HoldOutOptions
) -> tuple[Int[np.ndarray, " i"], Int[np.ndarray, " o"]]:
    if options.fraction:
        return pick_channels(len(names), options.fraction, options.seed)
    out = np.zeros(len(names), dtype=bool)
    for name in options.channels:
        if name not in names:
            raise DataError(unknown(where, "a channel that is held out must be in the recording", name, names))
        out[names.index(name)] = True
    if options.column is not None:
        if options.column not in about:
            raise DataError(unknown(where, "what says which channels are held out must be known of each", options.column, list(about)))
        out = np.array([str(value).strip().lower() in ("true", "1", "1.0", "yes") for value in about[options.column].tolist()])
    return np.flatnonzero(~out), np.flatnonzero(out)
