"""Algorithms that are asked for hyperparameters and told scores: trials in rounds, of which some go on at each rung of a round."""

from __future__ import annotations

import abc
import logging
import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lfads_core.config.spaces import SpaceConfig
from lfads_core.errors import ConfigError
from lfads_plugins_tune.search.algorithm import AbstractAlgorithm
from lfads_plugins_tune.search.chance import chance
from lfads_plugins_tune.search.plan import MOST_SAMPLES, Chances, waiting
from lfads_plugins_tune.search.settings_class import SearchConfig
from lfads_plugins_tune.search.state import Member, SearchState

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Told:
    """One trial as those who are asked see it."""

    number: int
    values: Mapping[str, Any]  # by config path
    scores: Mapping[int, float]  # by epochs done; lower is better; empty while it trains its first epochs, or if it failed
    failed: bool = False
    finished: bool = False  # trained to the end, not stopped at a rung


class AbstractAskTell(abc.ABC):
    """Pure functions of what has been told, so that a search that was killed goes on to the same end. All chance comes from ``rng``."""

    @abc.abstractmethod
    def ask(self, spaces: Mapping[str, SpaceConfig], told: Sequence[Told], rng: random.Random) -> Mapping[str, Any]:
        """Hyperparameters of the next trial, by config path; asked again, with other chance, while they do not go together.

        ``told`` are all trials so far, those that are being trained too.
        """

    def goes_on(self, scores: Mapping[int, float], reduction: int) -> Collection[int]:
        """Which trials of a round train on after a rung, given their scores there; by default the best ``1 / reduction``, at least one."""
        return best_share(scores, reduction)


class AskTell(AbstractAlgorithm):
    """Carries an :class:`AbstractAskTell` out: ``search.batch`` trials a round, or all ``at_once``, until there were ``search.members``."""

    def __init__(self, teller: AbstractAskTell, *, at_once: bool = False) -> None:
        self.teller, self.at_once = teller, at_once

    def first(self, spaces: Mapping[str, SpaceConfig], number: int, chances: Chances) -> tuple[Member, ...]:
        """The trials of the first round."""
        return self._asked(spaces, (), number if self.at_once else min(number, chances.settings.batch), chances)

    def following(self, state: SearchState, scores: Mapping[int, float], chances: Chances, *, compete: bool) -> tuple[Member, ...]:
        """At a rung some go on; at the end of a round others are asked for."""
        end, upcoming = state.targets[state.generation], state.targets[state.generation + 1]
        going = set(self.teller.goes_on(scores, chances.settings.reduction)) if upcoming > end else set()
        members = tuple(_after(member, goes_on=member.member in going) for member in state.members)
        if upcoming > end:
            return members
        left = chances.settings.members - len(members)
        asked = self._asked(state.spaces, told_by(replace(state, members=members)), min(left, chances.settings.batch), chances)
        return (*members, *asked)

    def _asked(self, spaces: Mapping[str, SpaceConfig], told: Sequence[Told], count: int, chances: Chances) -> tuple[Member, ...]:
        found: list[Member] = []
        for number in range(len(told), len(told) + count):
            under_way = [Told(number=member.member, values=member.values, scores={}) for member in found]
            found.append(Member(member=number, values=self._ask(spaces, [*told, *under_way], number, chances)))
        return tuple(found)

    def _ask(self, spaces: Mapping[str, SpaceConfig], told: Sequence[Told], number: int, chances: Chances) -> dict[str, Any]:
        faults = ""
        for attempt in range(MOST_SAMPLES):
            values = dict(self.teller.ask(spaces, told, chance(chances.seed, "ask", number, attempt)))
            faults = chances.faults(values)
            if not faults:
                return values
        raise ConfigError(f"search.spaces: {MOST_SAMPLES} answers in a row were hyperparameters that do not go together:\n{faults}")


def told_by(state: SearchState) -> list[Told]:
    """All trials of a search, from its history."""
    scores: dict[int, dict[int, float]] = {member.member: {} for member in state.members}
    for generation in state.history:
        for record in generation.members:
            if record.score is not None and math.isfinite(record.score):
                scores[record.member][generation.epochs] = record.score
    end = state.targets[-1]
    return [
        Told(number=m.member, values=m.values, scores=scores[m.member], failed=m.status == "lost", finished=end in scores[m.member])
        for m in state.members
    ]


def best_share(scores: Mapping[int, float], reduction: int) -> list[int]:
    """The best ``1 / reduction`` of the trials, at least one; of equal ones the first."""
    ranked = sorted(scores, key=lambda number: (scores[number], number))
    return ranked[: max(1, len(ranked) // reduction)]


def rungs(total: int, least: int, reduction: int) -> tuple[int, ...]:
    """Epochs at which trials of a round are compared, each ``reduction`` times the one before, none below ``least``; the last is ``total``."""
    found = [total]
    while reduction > 1 and found[-1] / reduction >= least:
        found.append(math.ceil(found[-1] / reduction))
    return tuple(reversed(found))


def one_round(total: int, least: int, search: SearchConfig) -> tuple[int, ...]:
    """The schedule of an algorithm whose trials all begin at once."""
    found = rungs(total, least, search.reduction)
    if len(found) == 1 and search.reduction > 1:
        log.warning(
            "search: no model ends early, for train.epochs is %d and the first rung may come after %d epochs at the earliest "
            "(search.interval, or the end of the ramps). With %d epochs or more there is one.",
            *(total, least, least * search.reduction),
        )
    return found


def rounds(total: int, least: int, search: SearchConfig) -> tuple[int, ...]:
    """The schedule of one that learns from round to round."""
    return one_round(total, least, search) * math.ceil(search.members / search.batch)


def _after(member: Member, *, goes_on: bool) -> Member:
    if member.status in {"diverged", "failed"}:
        return replace(member, status="lost", score=None)
    if goes_on:
        return waiting(member, values=member.values, parent=member.member, epochs=member.epochs)
    return replace(member, status="ended") if member.status == "done" else member
