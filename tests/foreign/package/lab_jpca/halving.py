"""A search algorithm: after each generation the worse half trains no more."""

from dataclasses import replace

from lfads_plugins_tune.search.algorithm import AbstractAlgorithm
from lfads_plugins_tune.search.plan import draw, waiting
from lfads_plugins_tune.search.state import Member


class Halving(AbstractAlgorithm):
    """Successive halving."""

    def first(self, spaces, number, chances):
        """All are drawn."""
        return [Member(member=i, values=draw(spaces, chances, i, 0, start=False)) for i in range(number)]

    def following(self, state, scores, chances, *, compete):
        """The better half goes on."""
        kept = sorted(scores, key=scores.get)[: max(1, len(scores) // 2)]
        return [
            waiting(member, values=member.values, parent=member.member, epochs=member.epochs)
            if member.member in kept
            else replace(member, status="ended" if member.status == "done" else member.status)
            for member in state.members
        ]
