"""Laws of losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from lfads_core.components import AbstractLoss, Latents, LossInfo, LossInputs, Posterior, SessionInfo
from lfads_core.components.batch import Batch
from lfads_core.errors import LfadsError
from lfads_core.plugins.specs import LossSpec
from lfads_core.rng import stream
from lfads_core.testing.built import build_faults, copy_faults, memory_faults
from lfads_core.testing.findings import Law
from lfads_core.testing.numbers import not_finite, trained
from lfads_core.trial.compare import no_shared_chance, same
from lfads_core.trial.kinds import sum_faults

_B, _T, _N, _F, _G, _U, _I = 3, 6, 4, 3, 5, 2, 2
ARRAYS = {"behavior": (_T, 2)}
"""What rides along with the trials of the kit, by key."""


@dataclass(frozen=True)
class LossCase:
    """A loss with its settings."""

    spec: LossSpec
    settings: Any

    def fresh(self, extras: Mapping[str, tuple[int, ...]] | None = None) -> AbstractLoss:
        """As the framework builds it."""
        return self.spec.build(self.spec.config() if self.settings is None else self.settings, info_of_kit(extras))

    def build(self) -> AbstractLoss:
        """In float64, suited to data."""
        part = self.fresh().double()
        part.start_from(dict(seen_by(part).batch.extras))
        return part


def info_of_kit(extras: Mapping[str, tuple[int, ...]] | None = None) -> LossInfo:
    """What a loss is built for."""
    session = SessionInfo(name="a", encod_channels=_N, recon_channels=_N, factors=_F, extras=ARRAYS if extras is None else extras)
    return LossInfo(session=session, bins=_T, states=_G, inputs=_U, rng=stream(0, "loss"))


def seen_by(part: AbstractLoss, dtype: torch.dtype = torch.float64, size: float = 1.0) -> LossInputs:
    """What it gets to see of a few trials."""
    rng = stream(0, "seen")

    def values(*shape: int) -> Tensor:
        return torch.empty(*shape, dtype=dtype).normal_(generator=rng) * size

    counts = torch.poisson(torch.ones(_B, _T, _N, dtype=dtype), generator=rng)
    extras = {key: values(_B, *shape) for key, shape in ARRAYS.items()}
    batch = Batch(encod=counts, recon=counts, external=counts[..., :0], trials=torch.arange(_B), extras=extras)
    latents = Latents(
        ic=Posterior(mean=values(_B, _I), std=values(_B, _I).abs() + 0.1),
        inputs=Posterior(mean=values(_B, _T, _U), std=values(_B, _T, _U).abs() + 0.1),
        ci=values(_B, _T, 4),
        gen_init=values(_B, _G),
        gen_states=values(_B, _T, _G),
        gen_inputs=values(_B, _T, _U),
        con_states=values(_B, _T, 4),
        factors=values(_B, _T, _F),
    )
    return LossInputs(batch=batch, latents=latents, params=values(_B, _T, _N, 1), draw=part.draw(batch, stream(0, "draw")))


def _built(case: LossCase) -> Iterator[str]:
    return build_faults(case.fresh, AbstractLoss)


def _terms(case: Any) -> Iterator[str]:
    part = case.build()
    for what, found in (("a pass", part(seen_by(part))), ("measure()", part.measure(seen_by(part)))):
        if not isinstance(found, Mapping):
            yield f"{what} must give numbers by name, got {type(found).__name__}"
            return
        for name, value in found.items():
            if not isinstance(name, str) or "/" in name or not name:
                yield f"{what}: names must be words without '/', got {name!r}"
            if not isinstance(value, Tensor) or value.shape != ():
                got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                yield f"{what}: {name!r} must be one number for all trials, a tensor without axes, got {got}"


def _means(case: Any) -> Iterator[str]:
    part = case.build()
    for call in (part, part.measure):
        seen = seen_by(part)
        yield from sum_faults(call, seen, call(seen))


def _reaches(case: Any) -> Iterator[str]:
    """Something must feel it."""
    part = case.build()
    seen = _with_gradients(seen_by(part))
    terms = part(seen)
    if terms and not any(value.requires_grad for value in terms.values()):
        yield "a term must depend on latents, parameters or trained weights, but has no gradient"


def _gradients(case: Any) -> Iterator[str]:
    part = case.build()
    seen = _with_gradients(seen_by(part))
    leaves = [*_floating(seen.latents), seen.params]

    def total(*_: Tensor) -> Tensor:
        terms = part(seen)
        return torch.stack([*terms.values()]).sum() if terms else seen.params.sum() * 0

    if not total().requires_grad:
        return
    try:
        torch.autograd.gradcheck(total, (*leaves, *trained(part)), fast_mode=True)
    except RuntimeError as err:  # gradcheck's own way to say no
        yield f"the gradient must be that of finite differences, got {' '.join(str(err).split())[:200]}"


def _ends(case: Any) -> Iterator[str]:
    part = case.fresh().float()
    for size in (1e-30, 1e4):
        seen = _with_gradients(seen_by(part, torch.float32, size))
        for name, value in part(seen).items():
            yield from not_finite(f"{name} for latents of size {size:g}", value)
            if value.requires_grad:
                for slope in torch.autograd.grad(value, [*_floating(seen.latents), seen.params], allow_unused=True, retain_graph=True):
                    if slope is not None:
                        yield from not_finite(f"a gradient of {name} for latents of size {size:g}", slope)


def _chance(case: Any) -> Iterator[str]:
    part, faults = case.build(), list[str]()
    seen = seen_by(part)
    with no_shared_chance("a pass", faults):
        first, second = dict(part(seen)), dict(part(seen))
        drawn = [part.draw(seen.batch, stream(5)) for _ in range(2)]
    yield from faults
    if not same(first, second):
        yield "the same trials and draw must give the same, got something else"
    if not same(*drawn):
        yield "draw() must give the same for the same random numbers"


def _untouched(case: Any) -> Iterator[str]:
    part = case.build()
    seen, kept = seen_by(part), seen_by(part)
    part(seen)
    part.measure(seen)
    for name in ("encod", "recon", "extras"):
        if not same(getattr(seen.batch, name), getattr(kept.batch, name)):
            yield f"batch.{name} must not be changed in place"
    if not same(_tensors(seen.latents), _tensors(kept.latents)):
        yield "latents must not be changed in place"


def _bare(case: Any) -> Iterator[str]:
    try:
        case.fresh({})
    except LfadsError:
        return
    except (Exception, SystemExit) as err:  # noqa: BLE001 - that is the fault
        yield f"a session whose file lacks what is needed must be refused with a DataError, got {type(err).__name__}: {err}"


def _copies(case: Any) -> Iterator[str]:
    return copy_faults(case.build, lambda part: {name: value.detach() for name, value in part(seen_by(part)).items()})


def _memory(case: Any) -> Iterator[str]:
    return memory_faults(
        case.build(), lambda part: {name: value.detach() for name, value in part(seen_by(part)).items()}, lambda part: part(seen_by(part, size=2.0))
    )


def _tensors(latents: Latents) -> dict[str, Any]:
    return {f.name: vars(value) if isinstance(value := getattr(latents, f.name), Posterior) else value for f in fields(latents)}


def _floating(latents: Latents) -> list[Tensor]:
    values = _tensors(latents).values()
    return [tensor for value in values for tensor in (value.values() if isinstance(value, dict) else [value]) if tensor is not None]


def _with_gradients(seen: LossInputs) -> LossInputs:
    for value in (*_floating(seen.latents), seen.params):
        value.requires_grad_()
    return replace(seen)


COMMON_LAWS: tuple[Law[Any], ...] = (
    Law("terms are single numbers by name", _terms, essential=True),
    Law("terms are means over trials", _means),
    Law("something can be learnt from it", _reaches),
    Law("terms and gradients are finite at the ends", _ends),
    Law("gradients are finite differences", _gradients),
    Law("chance comes from the given generator alone", _chance),
    Law("what it sees stays as it is", _untouched),
    Law("a file without further arrays is fine, or refused in words", _bare),
    Law("copies give the same", _copies),
    Law("nothing is remembered between calls", _memory),
)
"""Of what is a loss, and more than that."""

LAWS: tuple[Law[Any], ...] = (Law("building gives an equal loss each time", _built, essential=True), *COMMON_LAWS)
