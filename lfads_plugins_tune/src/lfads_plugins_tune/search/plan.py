"""Who trains what in the next generation: pure functions of the state, so that the same outcomes give the same decisions in any order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lfads_core.config.spaces import SpaceConfig
from lfads_core.errors import ConfigError, RunError
from lfads_plugins_tune.search.chance import chance
from lfads_plugins_tune.search.decide import Improvement, better_of_two, tournament
from lfads_plugins_tune.search.history import Generation, MemberRecord
from lfads_plugins_tune.search.spaces import explore, points, sample
from lfads_plugins_tune.search.spaces_of import Kind
from lfads_plugins_tune.search.state import Member, State

Faults = Callable[[Mapping[str, Any]], str]
"""What is wrong with a member's hyperparameters as a whole; an empty text if nothing is."""

MOST_SAMPLES = 100
"""Times a member is drawn when its hyperparameters do not go together."""

MOST_ATTEMPTS = 3
"""Times a member of a random search is drawn afresh before its place stays empty."""


@dataclass(frozen=True, kw_only=True)
class Chances:
    """What decisions depend on besides the state."""

    seed: int
    faults: Faults


def first_members(kind: Kind, spaces: Mapping[str, SpaceConfig], number: int, chances: Chances) -> tuple[Member, ...]:
    """The members of the first generation: drawn, at their start where a population's spaces have one, or every point of the grid.

    Raises:
        ConfigError: hyperparameters that do not go together.
    """
    if kind == "grid":
        axes = [[(path, value) for value in points(space, path)] for path, space in spaces.items()]
        members = tuple(Member(member=i, values=dict(point)) for i, point in enumerate(itertools.product(*axes)))
        if faults := [text for member in members if (text := chances.faults(member.values))]:
            raise ConfigError("\n".join(dict.fromkeys(faults)))
        return members
    return tuple(Member(member=i, values=_draw(spaces, chances, i, 0, start=kind == "pbt")) for i in range(number))


def next_generation(state: State, chances: Chances, *, patience: int, least: float | None) -> State:
    """Record the generation that is over and set out the next one, or say why there is none.

    Raises:
        RunError: no member of a population is left to go on from.
    """
    record = record_of(state)
    scores = scores_of(state)
    state = replace(state, history=(*state.history, record), prepared=False)
    end = state.targets[state.generation]
    members = tuple(_settled(member, end) for member in state.members)
    compared = state.kind == "pbt" and end >= state.burn_in
    if state.kind == "pbt" and not scores:
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
    if state.kind == "pbt":
        members = _exploit(state, scores, chances, compete=compared)
    else:
        members = tuple(_replaced(member, state, chances) for member in members)
    state = replace(state, members=members, generation=state.generation + 1)
    return state if any(member.status == "waiting" for member in members) else replace(state, stopped="members")


def with_another_try(state: State) -> State:
    """The same search with every member that failed, diverged or was given up waiting to carry out the last generation again."""
    bad = {"failed", "diverged", "lost"}
    if not any(member.status in bad for member in state.members):
        return state
    members = tuple(replace(m, status="waiting", failures=0, error=None) if m.status in bad else m for m in state.members)
    over = len(state.history) > state.generation  # it was decided on already
    compared = over and state.kind == "pbt" and state.targets[state.generation] >= state.burn_in
    return replace(
        state,
        members=members,
        history=state.history[: state.generation],
        window=state.window[:-1] if compared else state.window,
        prepared=True,
        stopped=None,
        best=None,
    )


def record_of(state: State) -> Generation:
    """The generation that is over, for the history; members that had ended before it are not in it."""
    first = state.targets[state.generation - 1] if state.generation else 0
    return Generation(
        generation=state.generation,
        first_epoch=first,
        epochs=state.targets[state.generation],
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


def scores_of(state: State) -> dict[int, float]:
    """Scores of the members that finished this generation and can go on, by member; those that ended before it compete no more."""
    end = state.targets[state.generation]
    return {m.member: m.score for m in state.members if m.status == "done" and m.score is not None and math.isfinite(m.score) and m.epochs >= end}


def _settled(member: Member, end: int) -> Member:
    """A member after its generation: ``ended`` if it stopped by itself before the end."""
    return replace(member, status="ended") if member.status == "done" and member.epochs < end else member


def _exploit(state: State, scores: Mapping[int, float], chances: Chances, *, compete: bool) -> tuple[Member, ...]:
    """Losers go on from the winner they met; the dead go on from a survivor, the better of two that are drawn."""
    generation = state.generation
    winners: dict[int, int] = {}
    if compete:
        duels = tournament(scores, chance(chances.seed, "tournament", generation))
        winners = {duel.loser: duel.winner for duel in duels}
    by_number = {member.member: member for member in state.members}
    following = []
    for member in state.members:
        number = member.member
        if member.status in {"diverged", "failed"}:
            winners[number] = better_of_two(scores, chance(chances.seed, "replace", generation, number))
        if member.status == "ended":
            following.append(member)
        elif number in winners:
            parent = by_number[winners[number]]
            values = _explored(state.spaces, parent.values, chances, ("explore", generation, number))
            following.append(_waiting(member, values=values, parent=parent.member, epochs=parent.epochs))
        else:
            following.append(_waiting(member, values=member.values, parent=number, epochs=member.epochs))
    return tuple(following)


def _replaced(member: Member, state: State, chances: Chances) -> Member:
    """A member of a random search or grid: goes on, has ended, or is drawn afresh after it failed or diverged."""
    if member.status in {"ended", "lost"}:
        return member
    if member.status == "done":
        return _waiting(member, values=member.values, parent=member.member, epochs=member.epochs)
    attempt = member.attempt + 1
    if state.kind == "grid" or attempt >= MOST_ATTEMPTS:
        return replace(member, status="lost", score=None)
    values = _draw(state.spaces, chances, member.member, attempt, start=False)
    return replace(_waiting(member, values=values, parent=None, epochs=0), attempt=attempt)


def _waiting(member: Member, *, values: Mapping[str, Any], parent: int | None, epochs: int) -> Member:
    return replace(member, values=values, parent=parent, epochs=epochs, status="waiting", failures=0, score=None, error=None)


def _draw(spaces: Mapping[str, SpaceConfig], chances: Chances, member: int, attempt: int, *, start: bool) -> dict[str, Any]:
    """Hyperparameters of one member, drawn again as a whole while they do not go together."""
    rng = chance(chances.seed, "sample", member, attempt)
    faults = ""
    for _ in range(MOST_SAMPLES):
        values = {path: space.init if start and space.init is not None else sample(space, rng) for path, space in spaces.items()}
        faults = chances.faults(values)
        if not faults:
            return values
    raise ConfigError(f"search.spaces: {MOST_SAMPLES} draws in a row gave hyperparameters that do not go together:\n{faults}")


def _explored(spaces: Mapping[str, SpaceConfig], winner: Mapping[str, Any], chances: Chances, name: Sequence[str | int]) -> dict[str, Any]:
    """The winner's hyperparameters, each moved; one that its setting would refuse beside the others is drawn again."""
    rng = chance(chances.seed, *name)
    values = dict(winner)
    for path, space in spaces.items():
        values[path] = explore(space, winner[path], rng, lambda value, path=path: not chances.faults({**values, path: value}))  # type: ignore[misc]
    return values


def _nobody(state: State) -> str:
    told = next((f"member {m.member} {m.status}: {m.error}" for m in state.members if m.error), "no member gave a score")
    return (
        f"search: a population must have a member to go on from, but all of generation {state.generation} failed or diverged ({told}). "
        "Mend the cause, then `lfads search retry`; or search lower learning rates."
    )
