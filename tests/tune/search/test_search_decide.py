"""Tournaments, replacements and the end of improvement, against what can be worked out by hand."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_core.config.spaces import SpaceConfig
from lfads_plugins_tune.search.algorithms import GridSearch
from lfads_plugins_tune.search.chance import chance
from lfads_plugins_tune.search.decide import Duel, Improvement, better_of_two, targets, tournament
from lfads_plugins_tune.search.plan import Chances

SCORES = st.dictionaries(st.integers(0, 30), st.floats(-5, 5), max_size=12)


@given(scores=SCORES, seed=st.integers(0, 2**30))
def test_everybody_meets_at_most_one_other_and_nobody_loses_to_a_worse(scores, seed):
    duels = tournament(scores, chance(seed))
    met = [m for duel in duels for m in (duel.loser, duel.winner)]
    assert len(duels) == len(scores) // 2
    assert len(set(met)) == len(met)
    assert all(scores[duel.winner] <= scores[duel.loser] for duel in duels)


def test_every_pair_meets_equally_often_and_each_sits_out_equally_often():
    rng = chance(0)
    met, out = {}, dict.fromkeys(range(5), 0)
    for _ in range(5000):
        duels = tournament(dict.fromkeys(range(5), 0.0), rng)
        for duel in duels:
            pair = frozenset((duel.loser, duel.winner))
            met[pair] = met.get(pair, 0) + 1
        (alone,) = set(range(5)) - {m for d in duels for m in (d.loser, d.winner)}
        out[alone] += 1
    assert len(met) == 10
    assert max(met.values()) < 1.15 * min(met.values())
    assert max(out.values()) < 1.15 * min(out.values())


def test_in_a_tie_the_second_wins():
    scores = {4: 1.0, 7: 1.0}
    order = [4, 7]
    random.Random(3).shuffle(order)
    assert tournament(scores, random.Random(3)) == [Duel(loser=order[0], winner=order[1])]


@given(scores=SCORES.filter(bool), seed=st.integers(0, 2**30))
def test_a_donor_is_a_survivor_and_never_the_worst_of_several(scores, seed):
    donor = better_of_two(scores, chance(seed))
    assert donor in scores
    assert len(scores) == 1 or donor != max(scores, key=lambda member: (scores[member], member))


def test_a_donor_does_not_depend_on_the_order_in_which_scores_are_known():
    scores = {1: 0.5, 2: 0.4, 3: 0.6}
    for seed in range(20):
        assert better_of_two(scores, chance(seed)) == better_of_two(dict(reversed(scores.items())), chance(seed))
    assert {better_of_two(scores, chance(seed)) for seed in range(200)} == {1, 2}


@pytest.mark.parametrize(
    ("bests", "least", "ends"),
    [
        ([4.0, 3.0], 0.1, [False, False]),
        ([4.0, 3.0, 2.9], 0.1, [False, False, False]),  # (4 - 2.9) / 3.3 = 0.33
        ([4.0, 3.9, 3.9], 0.1, [False, False, True]),  # 0.1 / 3.93
        ([4.0, 3.0, 3.0, 2.95], 0.1, [False, False, False, True]),  # 0.05 / 2.98
        ([1.0, 2.0, 3.0], 0.0, [False, False, True]),  # it only got worse
        ([-1.0, -1.5, -2.0], 0.5, [False, False, False]),  # below zero: 1 / 1.5
        ([4.0, 4.0, 4.0], None, [False, False, False]),
    ],
)
def test_improvement_has_ended_when_it_is_a_small_share_of_the_scores(bests, least, ends):
    improvement, said = Improvement(patience=3, least=least), []
    for best in bests:
        improvement = improvement.update([best + 1.0, best, best + 0.5])
        said.append(improvement.ended)
    assert said == ends


@given(total=st.integers(1, 200), interval=st.integers(1, 60), burn_in=st.integers(0, 150))
def test_generations_end_every_interval_one_of_them_with_the_burn_in_and_the_last_with_the_search(total, interval, burn_in):
    ends = targets(total, interval, burn_in)
    assert ends == sorted(set(ends))
    assert ends[-1] == total
    steps = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    assert all(0 < step <= interval for step in steps)
    if 0 < burn_in < total:
        assert burn_in in ends
    assert all((end - burn_in) % interval == 0 for end in ends[:-1])


def test_a_grid_has_every_combination_of_its_values_once():
    spaces = {"a": SpaceConfig(kind="choice", values=("x", "y", "z")), "b": SpaceConfig(kind="int", low=4, high=5)}
    members = GridSearch().first(spaces, 0, Chances(seed=0, faults=lambda _: ""))
    assert [member.values for member in members] == [{"a": a, "b": b} for a in "xyz" for b in (4, 5)]
    assert [member.member for member in members] == list(range(6))
