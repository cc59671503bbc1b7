"""Laws of read-ins and read-outs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from lfads_core.components import AbstractReadin, AbstractReadout, SessionInfo
from lfads_core.errors import LfadsError
from lfads_core.plugins.specs import ReadinSpec, ReadoutSpec
from lfads_core.rng import stream
from lfads_core.testing.built import build_faults, copy_faults, memory_faults
from lfads_core.testing.findings import Law
from lfads_core.testing.numbers import differs, gradient_differs, not_finite, trained
from lfads_core.trial.compare import no_shared_chance, same
from lfads_core.trial.kinds import bin_faults

L = TypeVar("L", bound=nn.Module)

_CHANNELS, _FACTORS, _PARAMS = 7, 4, 2


def a_session() -> SessionInfo:
    """A session whose file holds an alignment."""
    rng = np.random.default_rng(0)
    arrays = {"readin_weight": rng.normal(size=(_CHANNELS, _FACTORS)), "readout_bias": rng.normal(size=_CHANNELS)}
    return SessionInfo(name="a", encod_channels=_CHANNELS, recon_channels=_CHANNELS, factors=_FACTORS, n_params=_PARAMS, seed=3, arrays=arrays)


@dataclass(frozen=True)
class LayerCase(Generic[L]):
    """A read-in or read-out with its settings."""

    spec: Any
    settings: Any
    contract: type[L]
    width: int  # of what is fed in

    def fresh(self, session: SessionInfo | None = None) -> L:
        """As the framework builds it."""
        made: L = self.spec.build(self.spec.config() if self.settings is None else self.settings, a_session() if session is None else session)
        return made

    def build(self) -> L:
        """In float64."""
        return self.fresh().double()

    def values(self, *lead: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Something to feed in."""
        return torch.empty(*lead, self.width, dtype=dtype).normal_(generator=stream(0, "values"))


def readin_case(spec: ReadinSpec, settings: Any) -> LayerCase[AbstractReadin]:
    """The case of a read-in."""
    return LayerCase(spec, settings, AbstractReadin, _CHANNELS)


def readout_case(spec: ReadoutSpec, settings: Any) -> LayerCase[AbstractReadout]:
    """The case of a read-out."""
    return LayerCase(spec, settings, AbstractReadout, _FACTORS)


def _built(case: LayerCase[Any]) -> Iterator[str]:
    return build_faults(case.fresh, case.contract)


def _readin_shapes(case: LayerCase[AbstractReadin]) -> Iterator[str]:
    size = getattr(case.build(), "size", None)
    if not isinstance(size, int) or size < 1:
        yield f"size must be a whole number above 0, got {size!r}"
        return
    yield from _shapes(case, size)


def _readout_shapes(case: LayerCase[AbstractReadout]) -> Iterator[str]:
    yield from _shapes(case, _PARAMS * _CHANNELS)


def _shapes(case: LayerCase[Any], width: int) -> Iterator[str]:
    part = case.build()
    for lead in ((6,), (2, 6), (3, 2, 6)):
        values = case.values(*lead)
        got = part(values)
        if got.shape != (*lead, width):
            yield f"{tuple(values.shape)} must become {(*lead, width)}, got {tuple(got.shape)}"
        elif len(lead) > 1:
            yield from differs("several trials and each alone", got[0], part(values[0]))


def _bins(case: LayerCase[Any]) -> Iterator[str]:
    part, values = case.build(), case.values(2, 6)
    yield from bin_faults(part, values, part(values))


def _bare(case: LayerCase[Any]) -> Iterator[str]:
    """A file without further arrays is fine, or refused in words."""
    bare = replace(a_session(), arrays={})
    try:
        case.fresh(bare)
    except LfadsError:
        return
    except (Exception, SystemExit) as err:  # noqa: BLE001 - that is the fault
        yield f"a session whose file lacks what is needed must be refused with a DataError, got {type(err).__name__}: {err}"


def _sessions(case: LayerCase[Any]) -> Iterator[str]:
    """Weights of a session do not depend on what else was built, and other sizes work."""
    first = case.fresh()
    case.fresh(replace(a_session(), name="b", seed=9))
    if not same(dict(first.state_dict()), dict(case.fresh().state_dict())):
        yield "the weights of a session must not depend on what was built before. Draw them from stream(session.seed, ..., session.name)"


def _start(case: LayerCase[AbstractReadout]) -> Iterator[str]:
    part = case.build()
    zero = torch.zeros(1, _FACTORS, dtype=torch.float64)
    before = part(zero).detach().clone()
    params = torch.arange(1.0, 1 + _PARAMS * _CHANNELS, dtype=torch.float64).reshape(_CHANNELS, _PARAMS)
    part.start_at(params)
    after = part(zero).detach()
    if not torch.allclose(after, before) and not torch.allclose(after, params.T.reshape(1, -1)):
        yield "after start_at(params) zero factors must give params, all channels of the first parameter first, or what they gave before"


def _ends(case: LayerCase[Any]) -> Iterator[str]:
    part = case.fresh().float()
    for size in (1e-30, 1e6):
        values = (case.values(2, 6, dtype=torch.float32) * size).requires_grad_()
        got = part(values)
        yield from not_finite(f"the output for values of size {size:g}", got)
        if got.requires_grad:
            for slope in torch.autograd.grad(got.sum(), [values, *trained(part)], allow_unused=True):
                if slope is not None:
                    yield from not_finite(f"a gradient for values of size {size:g}", slope)


def _gradients(case: LayerCase[Any]) -> Iterator[str]:
    part = case.build()
    yield from gradient_differs("the layer", lambda x, *_: part(x), [case.values(2, 3).requires_grad_(), *trained(part)])


def _chance(case: LayerCase[Any]) -> Iterator[str]:
    part, values, faults = case.build(), case.values(2, 6), list[str]()
    with no_shared_chance("forward", faults):
        first, second = part(values), part(values)
    yield from faults
    if not same(first, second):
        yield "the same values must give the same, got something else"


def _copies(case: LayerCase[Any]) -> Iterator[str]:
    return copy_faults(case.build, lambda part: part(case.values(2, 6)).detach())


def _memory(case: LayerCase[Any]) -> Iterator[str]:
    return memory_faults(case.build(), lambda part: part(case.values(2, 6)).detach(), lambda part: part(case.values(5, 3) + 1))


def _laws(noun: str, *own: Law[Any]) -> tuple[Law[Any], ...]:
    return (
        Law(f"building gives an equal {noun} each time", _built, essential=True),
        *own,
        Law("bins do not touch one another", _bins),
        Law("a file without alignment is fine, or refused in words", _bare),
        Law("weights of a session are its own", _sessions),
        Law("output and gradients are finite at the ends", _ends),
        Law("gradients are finite differences", _gradients),
        Law("no chance is used", _chance),
        Law("copies give the same", _copies),
        Law("nothing is remembered between calls", _memory),
    )


READIN_LAWS = _laws("read-in", Law("shapes are right, and trials do not touch one another", _readin_shapes, essential=True))
READOUT_LAWS = _laws(
    "read-out",
    Law("shapes are right, and trials do not touch one another", _readout_shapes, essential=True),
    Law("it starts at the parameters it is given, or ignores them", _start),
)
