"""What decides in a search: which members there are at first, and what each does in the next generation."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence

from lfads_core.config.spaces import SpaceConfig
from lfads_plugins_tune.search.plan import Chances
from lfads_plugins_tune.search.state import Member, SearchState


class AbstractAlgorithm(abc.ABC):
    """Pure functions of the state, so that the same outcomes give the same decisions whoever trains, and after any interruption.

    Chance comes from :func:`lfads_plugins_tune.search.chance.chance`, named after the decision; nothing is remembered between calls.
    """

    @abc.abstractmethod
    def first(self, spaces: Mapping[str, SpaceConfig], number: int, chances: Chances) -> Sequence[Member]:
        """The members of the first generation; ``number`` is the setting ``search.members``.

        Raises:
            ConfigError: hyperparameters that do not go together.
        """

    @abc.abstractmethod
    def following(self, state: SearchState, scores: Mapping[int, float], chances: Chances, *, compete: bool) -> Sequence[Member]:
        """Every member in the next generation, made from ``state.members``, which has it as it ended.

        ``scores`` are those of members that finished and can go on, by member; lower is better. ``compete`` is False during the burn-in. A member
        that goes on is ``waiting``, with its ``parent`` the member whose weights it takes (its own number: its own; None: it starts afresh);
        one that is left as it is, such as ``ended`` or ``lost``, trains no more. :func:`lfads_plugins_tune.search.plan.waiting` makes the former.
        """
