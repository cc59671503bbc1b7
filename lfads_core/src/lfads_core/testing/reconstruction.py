"""Laws of a reconstruction."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import torch
from torch import Tensor

from lfads_core.components import AbstractReconstruction, Support
from lfads_core.plugins.specs import ReconstructionSpec
from lfads_core.rng import stream
from lfads_core.testing.built import build_faults, copy_faults, memory_faults
from lfads_core.testing.findings import Law
from lfads_core.testing.numbers import differs, gradient_differs, mean_differs, not_finite, trained
from lfads_core.trial.compare import no_shared_chance, same

N = 3
_DRAWS = 20_000
_PARAMS = [-1e4, -100.0, -10.0, 0.0, 10.0, 40.0, 1e4]
_DATA = {
    "counts": [0.0, 1.0, 2.0, 170.0, 1e6],
    "real": [0.0, 1e-45, -1e-20, 1.0, -1.0, 1e6, -1e6],
    "nonnegative": [0.0, 1e-45, 1e-30, 1e-6, 1.0, 1e6],
    "positive": [1e-45, 1e-30, 1e-6, 1.0, 1e6],
}


@dataclass(frozen=True)
class ReconstructionCase:
    """A reconstruction with its settings."""

    spec: ReconstructionSpec
    settings: Any

    def fresh(self, channels: int = N) -> Any:
        """As the framework builds it, whatever that is."""
        return self.spec.build(self.spec.config() if self.settings is None else self.settings, channels)

    def build(self, channels: int = N) -> AbstractReconstruction:
        """In float64."""
        part: AbstractReconstruction = self.fresh(channels).double()
        return part

    @cached_property
    def ends(self) -> tuple[Tensor, Tensor]:
        """Every combination of extreme parameters and data, a channel each: (1, 1, K, P) and (1, 1, K), float32."""
        part = self.fresh()
        few = _PARAMS if part.n_params <= 3 else [-1e4, 0.0, 1e4]
        grid = torch.tensor(list(itertools.product(*[few] * part.n_params, _DATA[part.support])), dtype=torch.float32)
        return grid[:, :-1].reshape(1, 1, -1, part.n_params), grid[:, -1].reshape(1, 1, -1)


def ordinary(part: AbstractReconstruction, *shape: int, seed: int = 0) -> Tensor:
    """Parameters of ordinary size, float64."""
    return torch.empty(*shape, part.n_params, dtype=torch.float64).uniform_(-1, 1.5, generator=stream(seed, "params"))


def drawn(part: AbstractReconstruction, params: Tensor, seed: int = 0) -> Tensor:
    """Data drawn from them."""
    return part.sample(params, stream(seed, "data")).detach()


def _built(case: ReconstructionCase) -> Iterator[str]:
    yield from build_faults(case.fresh, AbstractReconstruction)
    part = case.fresh()
    count, support = getattr(part, "n_params", None), getattr(part, "support", None)
    if not isinstance(count, int) or count < 1:
        yield f"n_params must be a whole number above 0, got {count!r}"
    if support not in get_args(Support):
        yield f"support must be one of {', '.join(get_args(Support))}, got {support!r}"


def _shapes(case: ReconstructionCase) -> Iterator[str]:
    part = case.build()
    for lead in ((2,), (4, 2), (2, 3, 2)):
        params = ordinary(part, *lead, 5, N)
        data = drawn(part, params)
        loss, mean = part.nll(params, data), part.mean(params)
        described = {f"distribution_params' {name!r}": value for name, value in part.distribution_params(params).items()}
        for what, value in (("sample", data), ("nll", loss), ("mean", mean), *described.items()):
            if value.shape != params.shape[:-1]:
                yield f"{what} must have the shape {tuple(params.shape[:-1])}, got {tuple(value.shape)}"
                return
        for at in itertools.product(*map(range, lead[:-1])):
            yield from differs("nll of several batches and of each alone", loss[at], part.nll(params[at], data[at]))
            yield from differs("mean of several batches and of each alone", mean[at], part.mean(params[at]))


def _means(case: ReconstructionCase) -> Iterator[str]:
    part = case.build()
    params = ordinary(part, 1, 4, N)
    expected = part.mean(params)[0].detach()
    yield from mean_differs("the mean of samples", drawn(part, params.expand(_DRAWS, -1, -1, -1)), expected)


def _density(case: ReconstructionCase) -> Iterator[str]:
    """E d nll / d params = 0 under the parameters that the data were drawn from, for every density."""
    part = case.build()
    params = ordinary(part, 1, 4, N, seed=1).expand(_DRAWS, -1, -1, -1).clone().requires_grad_()
    (score,) = torch.autograd.grad(part.nll(params, drawn(part, params.detach())).sum(), params)
    yield from mean_differs("the mean slope of nll at data that it was drawn for", score, 0.0)


def _support(case: ReconstructionCase) -> Iterator[str]:
    part = case.build()
    data = drawn(part, ordinary(part, 500, 4, N))
    yield from _outside(part, data, "samples")
    params, _ = case.ends
    extreme = case.fresh(params.shape[2])
    yield from _outside(extreme, drawn(extreme, params), "samples at extreme parameters")


def _outside(part: AbstractReconstruction, data: Tensor, what: str) -> Iterator[str]:
    yield from not_finite(f"one of the {what}", data)
    allowed = {
        "counts": (data >= 0) & (data == data.round()),
        "real": data == data,  # noqa: PLR0124 - not NaN
        "nonnegative": data >= 0,
        "positive": data > 0,
    }[part.support]
    if not allowed.all():
        yield f"{what} must be {part.support}, got {data[~allowed].reshape(-1)[0].item():g}"


def _extremes(case: ReconstructionCase) -> Iterator[str]:
    params, data = case.ends
    part = case.fresh(params.shape[2])
    params = params.clone().requires_grad_()
    where = {"params": params, "data": data}
    loss, mean = part.nll(params, data), part.mean(params)
    for name, value in part.distribution_params(params).items():
        yield from not_finite(f"distribution_params' {name!r}", value, **where)
    for what, value in (("nll", loss), ("mean", mean)):
        yield from not_finite(what, value, **where)
        inputs = [params, *trained(part)]
        for slope in torch.autograd.grad(value.sum(), inputs, allow_unused=True, retain_graph=True):
            if slope is not None and slope.shape == params.shape:
                yield from not_finite(f"the gradient of {what}", slope.sum(-1), **where)
            elif slope is not None:
                yield from not_finite(f"the gradient of {what} to a parameter of its own", slope)


def _gradients(case: ReconstructionCase) -> Iterator[str]:
    part = case.build()
    params = ordinary(part, 2, 3, N)
    data = drawn(part, params)
    free = params.clone().requires_grad_()
    yield from gradient_differs("nll", lambda p, *_: part.nll(p, data), [free, *trained(part)])
    yield from gradient_differs("mean", lambda p, *_: part.mean(p), [free, *trained(part)])
    if trained(part):
        yield from gradient_differs("penalty", lambda *_: part.penalty(), trained(part))


def _chance(case: ReconstructionCase) -> Iterator[str]:
    part = case.build()
    params = ordinary(part, 20, 4, N)
    faults: list[str] = []
    with no_shared_chance("sample", faults):
        one, again, other = (drawn(part, params, seed) for seed in (1, 1, 2))
    with no_shared_chance("nll", faults):
        first, second = part.nll(params, one), part.nll(params, one)
    yield from faults
    if not same(one, again):
        yield "sample must give the same with the same seed, got something else"
    if same(one, other):
        yield "sample must give something else with another seed, got the same"
    if not same(first, second):
        yield "nll must give the same for the same data, got something else"


def _start(case: ReconstructionCase) -> Iterator[str]:
    part = case.build(4)
    wanted = torch.tensor([0.02, 0.2, 0.5, 0.9], dtype=torch.float64)
    params = part.params_from_mean(wanted)
    data = drawn(part, ordinary(part, 30, 5, 4))
    data[0, 2] = torch.nan
    fitted, again = part.start_from(data), part.start_from(data)
    for what, value in (("params_from_mean", params), ("start_from", fitted)):
        if value is None:
            continue
        if value.shape != (4, part.n_params):
            yield f"{what} must have the shape (N, P) = {(4, part.n_params)}, got {tuple(value.shape)}"
        else:
            yield from not_finite(what, value)
    if not same(fitted, again):
        yield "start_from must give the same for the same data"
    fresh = case.build(4)
    if params is not None and params.shape == (4, part.n_params):
        yield from differs("the mean of params_from_mean(mean) and mean", fresh.mean(params[None, None])[0, 0].detach(), wanted, 1e-6, 1e-6)
        silent = fresh.params_from_mean(torch.zeros(4, dtype=torch.float64))
        if silent is not None:
            yield from not_finite("params_from_mean of silent channels", silent)


def _use(part: AbstractReconstruction) -> tuple[Tensor, Tensor, Tensor]:
    params = ordinary(part, 2, 4, N)
    data = drawn(part, params)
    return data, part.nll(params, data).detach(), part.mean(params).detach()


def _copies(case: ReconstructionCase) -> Iterator[str]:
    return copy_faults(case.build, _use)


def _memory(case: ReconstructionCase) -> Iterator[str]:
    def disturb(part: AbstractReconstruction) -> None:
        params = ordinary(part, 5, 2, N, seed=7)
        part.nll(params, drawn(part, params, 8))
        part.mean(params)
        part.penalty()

    return memory_faults(case.build(), _use, disturb)


LAWS: tuple[Law[ReconstructionCase], ...] = (
    Law("building gives an equal reconstruction each time, its sizes declared", _built, essential=True),
    Law("shapes are right, and batches do not touch one another", _shapes, essential=True),
    Law("samples have the mean that is promised", _means),
    Law("samples follow the likelihood", _density),
    Law("samples are finite values of the support", _support),
    Law("loss, mean and gradients are finite at the ends", _extremes),
    Law("gradients are finite differences", _gradients),
    Law("chance comes from the given generator alone", _chance),
    Law("the start suits the data", _start),
    Law("copies give the same", _copies),
    Law("nothing is remembered between calls", _memory),
)
