"""Who trains what in the next generation: pure functions of the state, so that the same outcomes give the same decisions in any order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from lfads_core.config.spaces import SpaceConfig
from lfads_core.errors import ConfigError, RunError
from lfads_plugins_tune.search.chance import chance
from lfads_plugins_tune.search.decide import Improvement
from lfads_plugins_tune.search.history import Generation, MemberRecord
from lfads_plugins_tune.search.settings_class import SearchConfig
from lfads_plugins_tune.search.spaces import explore, sample
from lfads_plugins_tune.search.state import Member, SearchState

Faults = Callable[[Mapping[str, Any]], str]
"""What is wrong with a member's hyperparameters as a whole; an empty text if nothing is."""

MOST_SAMPLES = 100
"""Times a member is drawn when its hyperparameters do not go together."""


@dataclass(frozen=True, kw_only=True)
class Chances:
    """What decisions depend on besides the state."""

    seed: int
    faults: Faults
    settings: SearchConfig = SearchConfig()


@runtime_checkable
class Follows(Protocol):
    """The part of an algorithm that a generation's end needs."""

    def following(self, state: SearchState, scores: Mapping[int, float], chances: Chances, *, compete: bool) -> Sequence[Member]:
        """See :class:`lfads_plugins_tune.search.algorithm.AbstractAlgorithm`."""


@dataclass(frozen=True, kw_only=True)
class SearchRule:
    """How a search goes on: its algorithm, whether that compares members after the burn-in, and what its decisions depend on."""

    algorithm: Follows
    compares: bool
    chances: Chances


def next_generation(state: SearchState, rule: SearchRule, *, patience: int, least: float | None) -> SearchState:
    """Record the generation that is over and set out the next one, or say why there is none.

    Raises:
        RunError: no member of a population is left to go on from.
    """
    record = record_of(state)
    scores = scores_of(state)
    state = replace(state, history=(*state.history, record), prepared=False)
    end = state.targets[state.generation]
    members = tuple(_settled(member, end) for member in state.members)
    compared = rule.compares and end >= state.burn_in
    if rule.compares and not scores:
        if any(member.status == "ended" for member in members):
            return replace(state, members=members, stopped="members")
        raise RunError(_nobody(state))
    improvement = Improvement(patience=patience, least=least, window=state.window)
    if compared and scores:
        improvement = improvement.update(list(scores.values()))
    state = replace(state, window=improvement.window, members=members)
    if compared and improvement.ended:
        return replace(state, stopped="improvement")
    if state.generation + 1 == len(state.targets):
        return replace(state, stopped="epochs")
    members = tuple(rule.algorithm.following(state, scores, rule.chances, compete=compared))
    state = replace(state, members=members, generation=state.generation + 1)
    return state if any(member.status == "waiting" for member in members) else replace(state, stopped="members")


def with_another_try(state: SearchState, *, compares: bool) -> SearchState:
    """The same search with every member that failed, diverged or was given up waiting to carry out the last generation again."""
    bad = {"failed", "diverged", "lost"}
    if not any(member.status in bad for member in state.members):
        return state
    members = tuple(replace(m, status="waiting", failures=0, error=None) if m.status in bad else m for m in state.members)
    over = len(state.history) > state.generation  # it was decided on already
    compared = over and compares and state.targets[state.generation] >= state.burn_in
    return replace(
        state,
        members=members,
        history=state.history[: state.generation],
        window=state.window[:-1] if compared else state.window,
        prepared=True,
        stopped=None,
        best=None,
    )


def record_of(state: SearchState) -> Generation:
    """The generation that is over, for the history; members that had ended before it are not in it."""
    end, first = state.targets[state.generation], state.targets[state.generation - 1] if state.generation else 0
    if first >= end:  # a round of trials that begin afresh
        first = 0
    return Generation(
        generation=state.generation,
        first_epoch=first,
        epochs=end,
        members=tuple(
            MemberRecord(
                member=member.member,
                parent=member.parent,
                score=member.score if member.status == "done" else None,
                status=member.status,
                hyperparameters=member.values,
                error=member.error,
            )
            for member in state.members
            if member.status in {"done", "diverged", "failed", "interrupted"}
        ),
    )


def scores_of(state: SearchState) -> dict[int, float]:
    """Scores of the members that finished this generation and can go on, by member; those that ended before it compete no more."""
    end = state.targets[state.generation]
    return {m.member: m.score for m in state.members if m.status == "done" and m.score is not None and math.isfinite(m.score) and m.epochs >= end}


def _settled(member: Member, end: int) -> Member:
    """A member after its generation: ``ended`` if it stopped by itself before the end."""
    return replace(member, status="ended") if member.status == "done" and member.epochs < end else member


def waiting(member: Member, *, values: Mapping[str, Any], parent: int | None, epochs: int) -> Member:
    """A member that trains in the next generation, from the weights of ``parent``; None starts it afresh."""
    return replace(member, values=values, parent=parent, epochs=epochs, status="waiting", failures=0, score=None, error=None)


def draw(spaces: Mapping[str, SpaceConfig], chances: Chances, member: int, attempt: int, *, start: bool) -> dict[str, Any]:
    """Hyperparameters of one member, drawn again as a whole while they do not go together."""
    rng = chance(chances.seed, "sample", member, attempt)
    for _ in range(MOST_SAMPLES):
        values = {path: space.init if start and space.init is not None else sample(space, rng) for path, space in spaces.items()}
        faults = chances.faults(values)
        if not faults:
            return values
    raise ConfigError(f"search.spaces: {MOST_SAMPLES} draws in a row gave hyperparameters that do not go together:\n{faults}")


def explored(spaces: Mapping[str, SpaceConfig], winner: Mapping[str, Any], chances: Chances, name: Sequence[str | int]) -> dict[str, Any]:
    """The winner's hyperparameters, each moved; one that its setting would refuse beside the others is drawn again."""
    rng = chance(chances.seed, *name)
    values = dict(winner)
    for path, space in spaces.items():
        values[path] = explore(space, winner[path], rng, lambda value, path=path: not chances.faults({**values, path: value}))  # type: ignore[misc]
    return values


def _nobody(state: SearchState) -> str:
    told = next((f"member {m.member} {m.status}: {m.error}" for m in state.members if m.error), "no member gave a score")
    return (
        f"search: a population must have a member to go on from, but all of generation {state.generation} failed or diverged ({told}). "
        "Mend the cause, then `lfads search retry`; or search lower learning rates."
    )
