"""Picks the backend of the loops: by name, or the fastest that this device and installation offer."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from lfads_core.config.schema import RunConfig
from lfads_core.errors import ConfigError
from lfads_core.origin import Provenance, mark_function
from lfads_core.plugins import load_registry
from lfads_core.plugins.specs import Imported, RecurrenceSpec
from lfads_core.recurrence import composed, reference
from lfads_core.recurrence.weights import DecoderDrive, DecoderPath, DecoderStart, DecoderWeights, GRUWeights
from lfads_core.wording import one_line

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

    def __deepcopy__(self, memo: object) -> Recurrence:
        """Loops hold no state: copies of a model share them."""
        return self

    @classmethod
    @functools.cache
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


def offers() -> Mapping[str, RecurrenceSpec]:
    """Every backend that is installed, by name."""
    return {spec.name: spec for spec in load_registry().all(RecurrenceSpec)}


REFERENCE = Recurrence.of("reference", reference.gru, reference.controlled, None, None)
"""Plain PyTorch: what every other backend is held to."""


@functools.cache
def _loaded(spec: RecurrenceSpec) -> Recurrence:
    parts: Any = (spec.gru, spec.controlled, spec.last, spec.driven)
    loops = [part.load() if isinstance(part, Imported) else part for part in parts]
    if (origin := foreign_origin(spec.name)) is not None:
        for loop in filter(None, loops):
            mark_function(loop, origin)
    return Recurrence.of(spec.name, *loops)


def foreign_origin(name: str) -> Provenance | None:
    """Who brings a backend, unless it is core's own."""
    registry = load_registry()
    if name not in offers() or (owner := registry.owner(RecurrenceSpec, name)).distribution == "lfads-core":
        return None
    return Provenance(RecurrenceSpec.kind, name, str(owner))


class _Backends(Mapping[str, Recurrence]):
    """Backend by name, imported when it is asked for."""

    def __getitem__(self, name: str) -> Recurrence:
        """Import a backend."""
        return _loaded(load_registry().get(RecurrenceSpec, name))

    def __iter__(self) -> Iterator[str]:
        """Names, in alphabetical order."""
        return iter(offers())

    def __len__(self) -> int:
        """How many there are."""
        return len(offers())


BACKENDS: Mapping[str, Recurrence] = _Backends()


def obstacle(name: str, device: str, *, asked: bool = False) -> str | None:
    """Why a backend cannot run on a device here, in one clause; None if it can."""
    look = offers()[name].obstacle
    try:
        return None if look is None else look(device, asked=asked)
    except (Exception, SystemExit) as err:  # noqa: BLE001 - whatever a stranger's check raises
        return f"{load_registry().owner(RecurrenceSpec, name)} could not look ({one_line(err)})"


def choose_recurrence(wanted: str, device: str, *, make: bool = False) -> Recurrence:
    """Return the backend ``wanted``, or for ``auto`` the fastest for ``device``, and log the reason once.

    A backend that is asked for and cannot run gives way to ``fused``, with one warning. With ``make``, what ``auto`` could take if it were made is
    made: compiled, say.

    Raises:
        ConfigError: no backend has that name.
    """
    if wanted == "auto":
        chosen, reason = _fastest(device, make=make)
    elif wanted not in offers():
        raise ConfigError(f"train.recurrence: must be auto or one of {', '.join(sorted(offers()))}, got {wanted!r}")
    elif (clause := obstacle(wanted, device, asked=True)) is not None:
        _warn_once(f"train.recurrence: {wanted} cannot be used: {clause}. fused takes its place; its numbers are the same to rounding.")
        chosen, reason = "fused", f"{wanted} cannot be used"
    else:
        chosen, reason = wanted, "asked for"
    _say_once(chosen, reason)
    return BACKENDS[chosen]


def recurrence_for(config: RunConfig, device: str, *, make: bool = False) -> Recurrence:
    """Return the loops of a run; a controller that is fed rates back has the reference ones, whose closed loop can hold a read-out.

    ``make`` as in :func:`choose_recurrence`.

    Raises:
        ConfigError: no backend has the name that the settings give.
    """
    control = config.model.controller
    if control is not None and control.feedback == "rates":
        _say_once("reference", "model.controller.feedback is rates, which only this backend can feed back")
        return REFERENCE
    return choose_recurrence(config.train.recurrence, device, make=make)


def _fastest(device: str, *, make: bool) -> tuple[str, str]:
    """Name of the first backend that can run, and why it is that."""
    missed: list[str] = []
    known = offers()
    for name in [name for name, spec in known.items() if device.partition(":")[0] in spec.fastest_on]:
        clause = obstacle(name, device, asked=make)
        if clause is None:
            return name, "; ".join([f"{known[name].summary}, the fastest here on {device}", *missed])
        missed.append(f"{name}: {clause}")
    return "fused", "; ".join([f"{known['fused'].summary}, the default on {device}", *missed])


@functools.cache
def _say_once(name: str, reason: str) -> None:
    log.info("recurrence: %s (%s)", name, reason)


@functools.cache
def _warn_once(message: str) -> None:
    log.warning(message)
