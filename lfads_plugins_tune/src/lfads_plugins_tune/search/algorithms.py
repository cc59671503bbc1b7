"""The algorithms that come with this package and need no other: random search, grid, successive halving, population-based training."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lfads_core.config.spaces import SpaceConfig
from lfads_core.errors import ConfigError
from lfads_plugins_tune.search.algorithm import AbstractAlgorithm
from lfads_plugins_tune.search.ask_tell import AbstractAskTell, AskTell, Told
from lfads_plugins_tune.search.chance import chance
from lfads_plugins_tune.search.decide import better_of_two, tournament
from lfads_plugins_tune.search.plan import Chances, draw, explored, waiting
from lfads_plugins_tune.search.spaces import points, sample
from lfads_plugins_tune.search.state import Member, SearchState

MOST_ATTEMPTS = 3
"""Times a member of a random search is drawn afresh before its place stays empty."""


class RandomSearch(AbstractAlgorithm):
    """Every member is drawn by itself and trains to its end; one that fails or diverges is drawn afresh, some times."""

    attempts = MOST_ATTEMPTS

    def first(self, spaces: Mapping[str, SpaceConfig], number: int, chances: Chances) -> tuple[Member, ...]:
        """As many as wanted, drawn."""
        return tuple(Member(member=i, values=draw(spaces, chances, i, 0, start=False)) for i in range(number))

    def following(self, state: SearchState, scores: Mapping[int, float], chances: Chances, *, compete: bool) -> tuple[Member, ...]:
        """Each goes on by itself."""
        return tuple(self._replaced(member, state, chances) for member in state.members)

    def _replaced(self, member: Member, state: SearchState, chances: Chances) -> Member:
        """A member that goes on, has ended, or is drawn afresh after it failed or diverged."""
        if member.status in {"ended", "lost"}:
            return member
        if member.status == "done":
            return waiting(member, values=member.values, parent=member.member, epochs=member.epochs)
        attempt = member.attempt + 1
        if attempt >= self.attempts:
            return replace(member, status="lost", score=None)
        values = draw(state.spaces, chances, member.member, attempt, start=False)
        return replace(waiting(member, values=values, parent=None, epochs=0), attempt=attempt)


class GridSearch(RandomSearch):
    """Every combination of the values that the spaces list, once."""

    attempts = 1

    def first(self, spaces: Mapping[str, SpaceConfig], number: int, chances: Chances) -> tuple[Member, ...]:
        """Every point of the grid, however many that are."""
        axes = [[(path, value) for value in points(space, path)] for path, space in spaces.items()]
        members = tuple(Member(member=i, values=dict(point)) for i, point in enumerate(itertools.product(*axes)))
        if faults := [text for member in members if (text := chances.faults(member.values))]:
            raise ConfigError("\n".join(dict.fromkeys(faults)))
        return members


class _Drawn(AbstractAskTell):
    """Whoever is asked draws at random."""

    def ask(self, spaces: Mapping[str, SpaceConfig], told: Sequence[Told], rng: random.Random) -> dict[str, Any]:
        """A draw from every space."""
        return {path: sample(space, rng) for path, space in spaces.items()}


def successive_halving() -> AbstractAlgorithm:
    """All trials begin at once, drawn at random; at each rung the best part trains on.

    Source: Jamieson & Talwalkar 2016 (arXiv:1502.07943). The rungs are those of ASHA (Li et al. 2020, arXiv:1810.05934), but every trial of a rung is
    waited for, so that decisions depend on no order of events.
    """
    return AskTell(_Drawn(), at_once=True)


class PopulationBasedTraining(AbstractAlgorithm):
    """Losers of a binary tournament go on from the winner's weights, with its hyperparameters moved a little.

    Source: Jaderberg et al. 2017 (arXiv:1711.09846), with the tournament of AutoLFADS (Keshtkaran et al. 2022, doi:10.1038/s41592-022-01675-0).
    """

    def first(self, spaces: Mapping[str, SpaceConfig], number: int, chances: Chances) -> tuple[Member, ...]:
        """As many as wanted, at the start of their spaces where these have one, else drawn."""
        return tuple(Member(member=i, values=draw(spaces, chances, i, 0, start=True)) for i in range(number))

    def following(self, state: SearchState, scores: Mapping[int, float], chances: Chances, *, compete: bool) -> tuple[Member, ...]:
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
                values = explored(state.spaces, parent.values, chances, ("explore", generation, number))
                following.append(waiting(member, values=values, parent=parent.member, epochs=parent.epochs))
            else:
                following.append(waiting(member, values=member.values, parent=number, epochs=member.epochs))
        return tuple(following)
