"""Laws of a prior."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from lfads_core.components import AbstractPrior, Draw
from lfads_core.plugins.specs import PriorSpec
from lfads_core.rng import stream
from lfads_core.testing.built import build_faults, copy_faults, memory_faults
from lfads_core.testing.findings import Law
from lfads_core.testing.numbers import differs, gradient_differs, mean_differs, not_finite, trained
from lfads_core.trial.compare import no_shared_chance, same

B, T, K = 5, 7, 3
_DRAWS = 20_000
_NARROW = 1e-3  # a posterior so narrow that its divergence is -ln p(mean), but for constants


@dataclass(frozen=True)
class PriorCase:
    """A prior with its settings."""

    spec: PriorSpec
    settings: Any

    def fresh(self) -> Any:
        """As the framework builds it, whatever that is."""
        return self.spec.build(self.spec.config() if self.settings is None else self.settings, K)

    def build(self) -> AbstractPrior:
        """In float64, with weights that training has moved a little, other ones for each dimension."""
        part: AbstractPrior = self.fresh().double()
        with torch.no_grad():
            for value in part.parameters():
                value.add_(0.1 * torch.arange(value.numel(), dtype=value.dtype).reshape(value.shape) / value.numel())
        return part

    @cached_property
    def refusals(self) -> dict[tuple[int, ...], str]:
        """Shapes that the prior does not take, and what it says."""
        found: dict[tuple[int, ...], str] = {}
        for shape in ((B, K), (B, T, K)):
            try:
                divergence(self.build(), *posterior(shape))
            except Exception as err:  # noqa: BLE001 - to refuse a shape is its right
                found[shape] = f"{type(err).__name__}: {' '.join(str(err).split())[:150]}"
        return found

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Vectors (B, K) and paths (B, T, K), as far as the prior takes them."""
        return [shape for shape in ((B, K), (B, T, K)) if shape not in self.refusals]

    @cached_property
    def weights(self) -> dict[tuple[int, ...], float]:
        """How often each dimension counts, by shape: minus the slope of the divergence in ln std for a narrow posterior."""
        found = {}
        for shape in self.shapes:
            mean, std = posterior(shape)
            narrow = torch.full_like(std, _NARROW).requires_grad_()
            kl = divergence(self.build(), mean, narrow)
            slope = torch.autograd.grad(kl.sum(), narrow)[0] * _NARROW if kl.requires_grad else torch.zeros(1)
            found[shape] = -float(slope.mean())
        return found


def posterior(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of ordinary size."""
    rng = stream(seed, "posterior")
    mean, log_std = (torch.empty(shape, dtype=dtype).normal_(generator=rng) for _ in range(2))
    return 0.7 * mean, torch.exp(0.3 * log_std - 0.5)


def divergence(part: AbstractPrior, mean: Tensor, std: Tensor, seed: int = 0) -> Tensor:
    """The divergence at one draw."""
    return part.kl(mean, std, part.draw(mean.detach(), stream(seed, "draw")))


def _shapes(case: PriorCase) -> Iterator[str]:
    if not case.shapes:
        yield f"must take vectors (B, I) or paths (B, T, U), got {'; '.join(case.refusals.values())}"
    for shape in case.shapes:
        mean, std = posterior(shape)
        part = case.build()
        got = divergence(part, mean, std)
        if got.shape != shape[:1]:
            yield f"kl of {shape} must have the shape {shape[:1]}, got {tuple(got.shape)}. Refuse what the prior is not for with an error"
            continue
        yield from not_finite(f"kl of {shape}", got)
        for what, value in (("sample", part.sample(mean, std, part.draw(mean, stream(0)))), ("generate", part.generate(mean, stream(0)))):
            if value.shape != mean.shape:
                yield f"{what} must have the shape {tuple(mean.shape)}, got {tuple(value.shape)}"
        for name, value in part.draw(mean.float(), stream(0)).items():
            if (value.shape, value.dtype) != (mean.shape, torch.float32):
                yield f"draw[{name!r}] must be shaped and typed as the mean, got {tuple(value.shape)} of {value.dtype}"


def _built(case: PriorCase) -> Iterator[str]:
    return build_faults(case.fresh, AbstractPrior)


def _location_and_scale(case: PriorCase) -> Iterator[str]:
    for shape in case.shapes:
        part, (mean, std) = case.build(), posterior(shape)
        draw = part.draw(mean, stream(0))
        yield from differs(
            "sample and mean + std * standardise(draw)", part.sample(mean, std, draw), mean + std * part.standardise(draw), 1e-12, 1e-12
        )


def _alone(case: PriorCase) -> Iterator[str]:
    for shape in case.shapes:
        part, (mean, std) = case.build(), posterior(shape)
        draw = part.draw(mean, stream(0))
        rows = [part.kl(mean[i : i + 1], std[i : i + 1], {k: v[i : i + 1] for k, v in draw.items()}) for i in range(B)]
        yield from differs("the divergences of trials together and alone", part.kl(mean, std, draw), torch.cat(rows))


def _entropy(case: PriorCase) -> Iterator[str]:
    for shape, weight in case.weights.items():
        allowed = [0.0, 1.0, *([1 / T] if len(shape) == 3 else [])]
        if not any(math.isclose(weight, w, abs_tol=2e-3) for w in allowed):
            yield (
                f"in nats the divergence of a narrow posterior falls by 1 per dimension and unit of ln std (1 / T for a mean over bins, "
                f"0 for no price at all), got {weight:.4g} for {shape}"
            )
        elif abs(weight) < 2e-3 and divergence(case.build(), *posterior(shape)).abs().max() > 1e-6:
            yield f"a divergence of {shape} that does not depend on the posterior's std must be 0, for it lacks the entropy, got another number"


def _samples(case: PriorCase) -> Iterator[str]:
    """E KL(m, s) = E KL(m + s e, narrow) + ln(narrow / s): both are E ln q - E ln p, with ln p seen through a narrow posterior."""
    for shape, weight in case.weights.items():
        if abs(weight) < 2e-3:
            continue
        part, (mean, std) = case.build(), posterior(shape)
        many = (_DRAWS, *shape[1:])
        mean, std = (x[:1].expand(many) for x in (mean, std))
        draw, other = (part.draw(mean, stream(seed, "many")) for seed in (0, 1))
        with torch.no_grad():
            x, narrow = part.sample(mean, std, draw), torch.full_like(std, _NARROW)
            wide = part.kl(mean, std, draw)
            seen = part.kl(x, narrow, other) + _per_trial_weight(weight, shape) * (narrow.log() - std.log()).flatten(1).sum(1)
        yield from mean_differs(f"kl of {shape} minus the mean of -ln p over the posterior's samples", wide - seen, 0.0, 1e-4)


def _ratio(case: PriorCase) -> Iterator[str]:
    """The mean of ln q - ln p over the posterior's samples is the divergence, of which a mean over bins is one T-th."""
    for shape, weight in case.weights.items():
        part, (mean, std) = case.build(), posterior(shape)
        mean, std = (x[:1].expand(_DRAWS, *shape[1:]) for x in (mean, std))
        draw = part.draw(mean, stream(0, "many"))
        with torch.no_grad():
            ratio = part.log_ratio(mean, std, draw)
            if ratio is not None and abs(weight) >= 2e-3:
                yield from mean_differs(
                    f"the mean of log_ratio minus kl, for {shape},", ratio * _per_trial_weight(weight, shape) - part.kl(mean, std, draw), 0.0, 1e-4
                )


def _generated(case: PriorCase) -> Iterator[str]:
    """For z from p: E d(-ln p)/dz = 0 and E z d(-ln p)/dz = 1, with -ln p seen through a narrow posterior."""
    for shape, weight in case.weights.items():
        part = case.build()
        with torch.no_grad():
            z = part.generate(torch.empty(_DRAWS, *shape[1:], dtype=torch.float64), stream(0, "generated"))
        if abs(weight) < 2e-3:
            continue
        at = z.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(divergence(part, at, torch.full_like(z, _NARROW)).sum(), at)
        slope = slope / _per_trial_weight(weight, shape)
        yield from mean_differs(f"the mean slope of kl at values generated for {shape}", slope, 0.0, 1e-3)
        yield from mean_differs(f"the mean of value times slope of kl at values generated for {shape}", z * slope, 1.0, 1e-3)


def _per_trial_weight(weight: float, shape: tuple[int, ...]) -> float:
    return 1 / T if len(shape) == 3 and weight < 0.5 else 1.0


def _extremes(case: PriorCase) -> Iterator[str]:
    grid = torch.tensor(list(itertools.product([-1e4, -1.0, 0.0, 1e-20, 1.0, 1e4], [1e-2, 1.0, 1e4])))
    for shape in case.shapes:
        part = case.fresh().float()
        mean, std = (grid[:, i].reshape(-1, *[1] * (len(shape) - 1)).expand(-1, *shape[1:]).clone().requires_grad_() for i in range(2))
        kl = divergence(part, mean, std)
        rows = {"mean": grid[:, 0], "std": grid[:, 1]}
        yield from not_finite("kl", kl, **rows)
        if kl.requires_grad:
            inputs = [mean, std, *trained(part)]
            for name, slope in zip(
                ["mean", "std", *["a parameter"] * len(inputs)], torch.autograd.grad(kl.sum(), inputs, allow_unused=True), strict=False
            ):
                if slope is not None:
                    where = rows if slope.shape == mean.shape else {}
                    total = slope.flatten(1).sum(1) if where else slope
                    yield from not_finite(f"the gradient of kl to {name}", total, **where)


def _gradients(case: PriorCase) -> Iterator[str]:
    for shape in case.shapes:
        part = case.build()
        mean, std = (x.requires_grad_() for x in posterior(shape))
        draw = part.draw(mean.detach(), stream(0))
        yield from gradient_differs(f"kl of {shape}", partial(_kl_of, part, draw), [mean, std, *trained(part)])


def _chance(case: PriorCase) -> Iterator[str]:
    for shape in case.shapes:
        part, (mean, std) = case.build(), posterior(shape)
        faults: list[str] = []
        with no_shared_chance("draw", faults):
            draw, again, other = (part.draw(mean, stream(seed)) for seed in (1, 1, 2))
        with no_shared_chance("kl", faults):
            first, second = part.kl(mean, std, draw), part.kl(mean, std, draw)
        with no_shared_chance("generate", faults):
            value, repeated = part.generate(mean, stream(1)), part.generate(mean, stream(1))
        yield from faults
        if not same(dict(draw), dict(again)):
            yield "draw must give the same with the same seed, got something else"
        if draw and same(dict(draw), dict(other)):
            yield "draw must give something else with another seed, got the same"
        if not same(first, second):
            yield "kl must give the same with the same draw, got something else"
        if not same(value, repeated):
            yield "generate must give the same with the same seed, got something else"


def _kl_of(part: AbstractPrior, draw: Draw, mean: Tensor, std: Tensor, *_: Tensor) -> Tensor:
    return part.kl(mean, std, draw)


def _use(shape: tuple[int, ...], part: AbstractPrior) -> tuple[Tensor, dict[str, float]]:
    return divergence(part, *posterior(shape)).detach(), dict(part.scalars())


def _copies(case: PriorCase) -> Iterator[str]:
    for shape in case.shapes:
        yield from copy_faults(case.build, partial(_use, shape))


def _memory(case: PriorCase) -> Iterator[str]:
    for shape in case.shapes:

        def disturb(part: AbstractPrior, shape: tuple[int, ...] = shape) -> None:
            other = posterior((2, *shape[1:]), seed=9)
            divergence(part, *other, seed=3)
            part.generate(other[0], stream(4))

        yield from memory_faults(case.build(), partial(_use, shape), disturb)


LAWS: tuple[Law[PriorCase], ...] = (
    Law("building gives an equal prior each time", _built, essential=True),
    Law("one number per trial, and everything else shaped as the mean", _shapes, essential=True),
    Law("a sample is location plus scale times standard noise", _location_and_scale),
    Law("trials do not touch one another", _alone),
    Law("the divergence counts the posterior's entropy", _entropy),
    Law("the divergence agrees with the posterior's samples", _samples),
    Law("the ratio of densities, if it gives one, has the divergence as its mean", _ratio),
    Law("the divergence agrees with generated values", _generated),
    Law("divergence and gradients are finite at the ends", _extremes),
    Law("gradients are finite differences", _gradients),
    Law("chance comes from the given generator alone", _chance),
    Law("copies give the same", _copies),
    Law("nothing is remembered between calls", _memory),
)
