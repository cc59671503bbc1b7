"""Picks the backend of the loops: by name, or the fastest that this device and installation offer."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from lfads_core.config.schema import RunConfig
from lfads_core.errors import ConfigError
from lfads_core.recurrence import composed
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


@runtime_checkable
class LastState(Protocol):
    """Signature of :func:`lfads_core.recurrence.composed.last` without its first argument."""

    def __call__(self, x: Tensor, h0: Tensor, weights: GRUWeights, *, clip: float) -> Tensor:
        """Run a GRU over time for its last state."""
        ...


@runtime_checkable
class DrivenLoop(Protocol):
    """Signature of :func:`lfads_core.recurrence.composed.driven` without its first argument."""

    def __call__(
        self, x: Tensor, h0: Tensor, weights: GRUWeights, factors: Tensor, *, clip: float, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run a generator under given inputs."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """The loops of one backend. What it does not bring is put together from its GRU."""

    name: str
    gru: SequenceLoop
    controlled: ControlledLoop
    last: LastState
    driven: DrivenLoop

    @classmethod
    def of(
        cls, name: str, gru: SequenceLoop, controlled: ControlledLoop, last: LastState | None = None, driven: DrivenLoop | None = None
    ) -> Recurrence:
        """A backend of two loops or of all."""
        return cls(
            name=name,
            gru=gru,
            controlled=controlled,
            last=functools.partial(composed.last, gru) if last is None else last,
            driven=functools.partial(composed.driven, gru) if driven is None else driven,
        )


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A backend before it is imported: where its loops lie, why one would take it, and what may stand in its way.

    ``obstacle`` names a function ``(device, asked) -> clause``: why this backend cannot run on a device here, or None. ``asked`` says that
    the user named the backend, so that something may be done about it.
    """

    gru: str
    controlled: str
    reason: str
    obstacle: str | None = None
    last: str | None = None
    driven: str | None = None


HERE = "lfads_core.recurrence"
OFFERS = {
    "reference": Offer(gru=f"{HERE}.reference:gru", controlled=f"{HERE}.reference:controlled", reason="plain PyTorch"),
    "fused": Offer(gru=f"{HERE}.fused_gru:gru", controlled=f"{HERE}.fused_controlled:controlled", reason="hand-written backward"),
    "compiled": Offer(
        gru=f"{HERE}.compiled.gru:gru",
        controlled=f"{HERE}.compiled.controlled:controlled",
        last=f"{HERE}.compiled.gru:last",
        driven=f"{HERE}.compiled.driven:driven",
        reason="compiled for this processor",
        obstacle=f"{HERE}.compiled.obstacle:obstacle",
    ),
    **{
        name: Offer(
            gru=f"{HERE}.triton_gru:gru{suffix}",
            controlled=f"{HERE}.triton_controlled:controlled{suffix}",
            reason=f"one launch each way, products in {products}",
            obstacle=f"{HERE}.triton_launch:obstacle",
        )
        for name, suffix, products in (("triton", "", "float32"), ("triton-bf16", "_bf16", "bfloat16"), ("triton-tf32", "_tf32", "tf32"))
    },
}
FASTEST_FIRST = {"cpu": ("compiled",), "cuda": ("triton",)}
"""What ``auto`` tries on a type of device before it takes ``fused``."""


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


@functools.cache
def _loaded(name: str) -> Recurrence:
    offer = OFFERS[name]
    last, driven = (None if path is None else _imported(path) for path in (offer.last, offer.driven))
    return Recurrence.of(name, _imported(offer.gru), _imported(offer.controlled), last, driven)


class _Backends(Mapping[str, Recurrence]):
    """Backend by name, imported when it is asked for."""

    def __getitem__(self, name: str) -> Recurrence:
        """Import a backend."""
        return _loaded(name)

    def __iter__(self) -> Iterator[str]:
        """Names, in the order of the table."""
        return iter(OFFERS)

    def __len__(self) -> int:
        """How many there are."""
        return len(OFFERS)


BACKENDS: Mapping[str, Recurrence] = _Backends()
REFERENCE = BACKENDS["reference"]


def obstacle(name: str, device: str, *, asked: bool = False) -> str | None:
    """Why a backend cannot run on a device here, in one clause; None if it can."""
    where = OFFERS[name].obstacle
    clause: str | None = None if where is None else _imported(where)(device, asked=asked)
    return clause


def choose_recurrence(wanted: str, device: str) -> Recurrence:
    """Return the backend ``wanted``, or for ``auto`` the fastest for ``device``, and log the reason once.

    A backend that is asked for and cannot run gives way to ``fused``, with one warning.

    Raises:
        ConfigError: no backend has that name.
    """
    if wanted == "auto":
        chosen, reason = _fastest(device)
    elif wanted not in OFFERS:
        raise ConfigError(f"train.recurrence: must be auto or one of {', '.join(sorted(OFFERS))}, got {wanted!r}")
    elif (clause := obstacle(wanted, device, asked=True)) is not None:
        _warn_once(f"train.recurrence: {wanted} cannot be used: {clause}. fused takes its place; its numbers are the same to rounding.")
        chosen, reason = "fused", f"{wanted} cannot be used"
    else:
        chosen, reason = wanted, "asked for"
    _say_once(chosen, reason)
    return BACKENDS[chosen]


def recurrence_for(config: RunConfig, device: str) -> Recurrence:
    """Return the loops of a run; a controller that is fed rates back has the reference ones, whose closed loop can hold a read-out.

    Raises:
        ConfigError: no backend has the name that the settings give.
    """
    control = config.model.controller
    if control is not None and control.feedback == "rates":
        _say_once("reference", "model.controller.feedback is rates, which only this backend can feed back")
        return REFERENCE
    return choose_recurrence(config.train.recurrence, device)


def _fastest(device: str) -> tuple[str, str]:
    """Name of the first backend that can run, and why it is that."""
    missed: list[str] = []
    for name in FASTEST_FIRST.get(device.partition(":")[0], ()):
        clause = obstacle(name, device)
        if clause is None:
            return name, "; ".join([f"{OFFERS[name].reason}, the fastest here on {device}", *missed])
        missed.append(f"{name}: {clause}")
    return "fused", "; ".join([f"{OFFERS['fused'].reason}, the default on {device}", *missed])


@functools.cache
def _say_once(name: str, reason: str) -> None:
    log.info("recurrence: %s (%s)", name, reason)


@functools.cache
def _warn_once(message: str) -> None:
    log.warning(message)
