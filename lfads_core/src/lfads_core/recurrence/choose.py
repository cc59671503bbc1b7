"""Picks the backend of the loops: by name, or the fastest that this device and installation offer."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from lfads_core.errors import ConfigError
from lfads_core.recurrence import fused_controlled, fused_gru, reference
from lfads_core.recurrence.weights import DecoderDrive, DecoderPath, DecoderStart, DecoderWeights, GRUWeights

log = logging.getLogger(__name__)


@runtime_checkable
class SequenceLoop(Protocol):
    """Signature of :func:`lfads_core.recurrence.reference.gru`."""

    def __call__(self, x: Tensor, h0: Tensor, weights: GRUWeights, *, clip: float, reverse: bool = False) -> Tensor:
        """Run a GRU over time."""
        ...


@runtime_checkable
class ControlledLoop(Protocol):
    """Signature of :func:`lfads_core.recurrence.reference.controlled`."""

    def __call__(self, start: DecoderStart, drive: DecoderDrive, weights: DecoderWeights, *, clip: float) -> DecoderPath:
        """Run controller and generator in closed loop."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """The two loops of one backend."""

    name: str
    gru: SequenceLoop
    controlled: ControlledLoop


REFERENCE = Recurrence(name="reference", gru=reference.gru, controlled=reference.controlled)
FUSED = Recurrence(name="fused", gru=fused_gru.gru, controlled=fused_controlled.controlled)
BACKENDS = {backend.name: backend for backend in (REFERENCE, FUSED)}


def choose_recurrence(wanted: str, device: str) -> Recurrence:
    """Return the backend ``wanted``, or for ``auto`` the fastest for ``device``, and log the reason once.

    Raises:
        ConfigError: no backend has that name.
    """
    if wanted == "auto":
        chosen, reason = FUSED, f"hand-written backward, the default on {device}"
    elif wanted in BACKENDS:
        chosen, reason = BACKENDS[wanted], "asked for"
    else:
        raise ConfigError(f"train.recurrence: must be auto or one of {', '.join(sorted(BACKENDS))}, got {wanted!r}")
    _say_once(chosen.name, reason)
    return chosen


@functools.cache
def _say_once(name: str, reason: str) -> None:
    log.info("recurrence: %s (%s)", name, reason)

from lfads_core.recurrence.compiled import gru as _g, controlled as _c
BACKENDS["compiled"] = Recurrence(name="compiled", gru=_g.gru, controlled=_c.controlled)
