"""Generators in their place: each of a contract's methods, done for one model or for all members of a population."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial

from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractGenerator, GRUWeights
from lfads_core.model.members import each_member
from lfads_core.recurrence.precision import in_full
from lfads_core.recurrence.stepwise import controlled_stepwise
from lfads_core.recurrence.weights import ControlWeights, DecoderDrive, DecoderPath, DecoderStart


def first_state(generator: AbstractGenerator, first: Float[Tensor, "*B G"]) -> Float[Tensor, "*B G"]:
    """The state before the first bin."""
    if type(generator).start is AbstractGenerator.start:
        return first
    with in_full(first):
        found: Tensor = each_member(generator, generator.start, {"first": first}) if _alone(generator, first, 2) else generator.start(first)
    return found


def run_given(
    generator: AbstractGenerator, inputs: Float[Tensor, "*B T UE"], state: Float[Tensor, "*B G"], *, clip: float
) -> Float[Tensor, "*B T G"]:
    """All states under given inputs."""
    run = partial(generator.run, clip=clip)
    with in_full(state):
        found: Tensor = each_member(generator, run, {"inputs": inputs, "state": state}) if _alone(generator, state, 2) else run(inputs, state)
    return found


def control_stepwise(
    generator: AbstractGenerator,
    start: DecoderStart,
    drive: DecoderDrive,
    weights: ControlWeights,
    *,
    clip: float,
    rates: Callable[[Tensor], Tensor] | None,
) -> DecoderPath:
    """The closed loop bin by bin; of members whose generator knows no axis M it is vectorised as a whole, not bin by bin."""
    loop = partial(controlled_stepwise, step=generator.step, clip=clip, rates=rates)
    if not _alone(generator, start.generator, 2):
        return loop(start, drive, weights)

    def of_one(**given: Tensor) -> dict[str, Tensor]:
        own = {f.name: given.get(f.name) for f in fields(DecoderDrive)}
        con = GRUWeights(**{f.name: given[f"gru_{f.name}"] for f in fields(GRUWeights)})
        others = {f.name: given[f.name] for f in fields(ControlWeights) if f.name != "controller"}
        first = DecoderStart(**{f.name: given[f"start_{f.name}"] for f in fields(DecoderStart)})
        return vars(loop(first, DecoderDrive(**own), ControlWeights(controller=con, **others)))  # type: ignore[arg-type]  # ci and external are there

    given = {f"start_{name}": value for name, value in vars(start).items()} | {
        f"gru_{name}": value for name, value in vars(weights.controller).items()
    }
    given |= {name: value for name, value in (vars(drive) | vars(weights)).items() if isinstance(value, Tensor)}
    return DecoderPath(**each_member(generator, of_one, given))


def _alone(generator: AbstractGenerator, value: Tensor, axes: int) -> bool:
    """Whether there is an axis M before a value's own, of which the generator knows nothing."""
    return value.dim() > axes and not generator.population
