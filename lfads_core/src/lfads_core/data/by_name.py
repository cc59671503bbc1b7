"""A recording whose channels stand in another order than in training: taken by their names, where these say which is which."""

from __future__ import annotations

import logging

import numpy as np

from lfads_core.data.hold_out import rearranged
from lfads_core.data.known import differences, know
from lfads_core.data.session import KnownData, Session
from lfads_core.errors import DataError

log = logging.getLogger(__name__)


def as_trained(session: Session, trained: KnownData) -> Session:
    """The recording with its channels in the order of training; a warning says so, and in what else it differs.

    Raises:
        DataError: it has other channels or another width of bins, or names do not say which channel is which.
    """
    where, given = session.path or session.name, know(session)
    if trained.channels is not None and given.channels is None:
        log.warning("%s: its channels have no names: they are taken in the order of training.", where)
    if trained.bin_ms is not None and given.bin_ms is None:
        log.warning("%s: does not say how wide its bins are: they are taken as %g ms, as in training.", where, trained.bin_ms)
    other = differences(trained, given)
    refused = [text for text in other if text.startswith(("other channels", "bins of"))]
    if refused:
        raise DataError(
            f"{where}: must have the channels and the bins that the model was trained on, got {' and '.join(refused)}. "
            "Other channels need `lfads adapt`, other bins `lfads data rebin`."
        )
    for text in other:
        if not text.startswith("channels in"):
            log.warning("%s: has %s.", where, text)
    if trained.channels is None or given.channels is None or trained.channels == given.channels:
        return session
    return _by_name(session, given.channels, trained.channels)


def _by_name(session: Session, have: tuple[str, ...], want: tuple[str, ...]) -> Session:
    where, first = session.path or session.name, next(iter(session.splits.values()))
    n_in = first.encod.shape[2]
    if len(set(have)) < len(have) or not first.nested:
        why = "names stand twice" if len(set(have)) < len(have) else "the encoders read other values than are reconstructed"
        raise DataError(f"{where}: channels must stand in the order of training, got another, and {why}. Put them in that order.")
    order = np.array([have.index(name) for name in want])
    if set(order[:n_in].tolist()) != set(range(n_in)):
        raise DataError(f"{where}: must hold out the channels that were held out in training, got others. Write the file as that one was written.")
    log.warning("%s: channels stand in another order than in training: they are taken by their names.", where)
    return rearranged(session, order, n_in)
