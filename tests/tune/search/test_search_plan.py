"""Who trains what in the next generation, against decisions worked out by hand from journals written by hand."""

from __future__ import annotations

import hashlib
import math
import random
import re
from dataclasses import replace

import pytest

from lfads_core.config.spaces import SpaceConfig, log, uniform
from lfads_core.errors import ConfigError, RunError
from lfads_plugins_tune.search.algorithms import GridSearch, PopulationBasedTraining, RandomSearch
from lfads_plugins_tune.search.history import Generation, MemberRecord
from lfads_plugins_tune.search.plan import Chances, SearchRule, draw, explored, next_generation, record_of, scores_of, waiting, with_another_try
from lfads_plugins_tune.search.spaces import explore, sample
from lfads_plugins_tune.search.state import Best, Member, SearchState

SPACES = {"rate": log(1e-4, 1e-2), "share": SpaceConfig(kind="uniform", low=0.0, high=1.0, init=0.25)}
CHANCES = Chances(seed=5, faults=lambda _: "")


def stream(*name):
    """The numbers of one decision: those of the SHA-256 of the seed and its name."""
    return random.Random(int.from_bytes(hashlib.sha256("/".join(map(str, name)).encode()).digest(), "big"))


def drawn(member, attempt=0):
    rng = stream(5, "sample", member, attempt)
    return {path: sample(space, rng) for path, space in SPACES.items()}


def journal(*members, **fields):
    plain = {"kind": "pbt", "executor": "local", "data": ("a.h5",), "spaces": SPACES, "score": "valid/recon", "targets": (10, 20, 30), "burn_in": 10}
    return SearchState(**{**plain, "generation": 1, "prepared": True, **fields}, members=members)


def member(number, status="done", score=None, **fields):
    return Member(
        **{"member": number, "values": {"rate": 1e-3 * (number + 1), "share": 0.5}, "epochs": 20, "status": status, "score": score, **fields}
    )


def rule(algorithm=None, *, compares=True):
    return SearchRule(algorithm=algorithm or PopulationBasedTraining(), compares=compares, chances=CHANCES)


def following(state, *, patience=2, least=None, **how):
    return next_generation(state, rule(**how), patience=patience, least=least)


def test_a_generation_that_is_over_is_recorded_with_what_became_of_each_member():
    state = journal(
        member(0, "done", 1.5, parent=1),
        member(1, "diverged", 0.3, error="NaN"),
        member(2, "failed"),
        member(3, "interrupted", 2.0),
        member(4, "ended", 1.0),
        member(5, "lost"),
        member(6, "waiting"),
    )
    values = {number: {"rate": 1e-3 * (number + 1), "share": 0.5} for number in range(7)}
    assert record_of(state) == Generation(
        generation=1,
        first_epoch=10,
        epochs=20,
        members=(
            MemberRecord(member=0, parent=1, score=1.5, status="done", hyperparameters=values[0]),
            MemberRecord(member=1, parent=None, score=None, status="diverged", hyperparameters=values[1], error="NaN"),
            MemberRecord(member=2, parent=None, score=None, status="failed", hyperparameters=values[2]),
            MemberRecord(member=3, parent=None, score=None, status="interrupted", hyperparameters=values[3]),
        ),
    )
    assert record_of(replace(state, generation=0)).first_epoch == 0
    rounds = replace(state, targets=(10, 30, 10, 30))
    assert [(record.first_epoch, record.epochs) for record in (record_of(replace(rounds, generation=g)) for g in range(4))] == [
        (0, 10),
        (10, 30),
        (0, 10),
        (10, 30),
    ]
    assert record_of(replace(state, targets=(10, 10))).first_epoch == 0


def test_scores_are_of_those_that_got_to_the_end_of_the_generation_with_a_finite_number():
    state = journal(
        member(0, "done", 1.5),
        member(1, "done", math.nan),
        member(2, "done", math.inf),
        member(3, "done"),
        member(4, "done", 0.5, epochs=19),
        member(5, "done", 0.7, epochs=21),
        member(6, "ended", 0.1),
        member(7, "failed", 0.2),
    )
    assert scores_of(state) == {0: 1.5, 5: 0.7}


def test_losers_of_the_tournament_go_on_from_winners_with_their_hyperparameters_moved_and_the_dead_from_the_better_of_two():
    scores = {0: 3.0, 1: 1.0, 2: 2.0, 3: 4.0, 6: 2.5}
    state = journal(
        *(member(number, "done", score, attempt=2, failures=1, epochs=20 + number) for number, score in scores.items()),
        member(4, "diverged", 0.1, error="NaN", epochs=13),
        member(5, "failed", error="broken", epochs=12),
        member(7, "done", 0.0, epochs=15),
        member(8, "ended", 0.05, epochs=5),
        *(member(number, "failed", error="broken") for number in range(9, 14)),
    )
    order = list(scores)
    stream(5, "tournament", 1).shuffle(order)
    parents = {number: number for number in scores}
    for first, second in ((order[0], order[3]), (order[1], order[4])):
        loser, winner = (first, second) if scores[first] >= scores[second] else (second, first)
        parents[loser] = winner
    for dead in (4, 5, *range(9, 14)):
        two = stream(5, "replace", 1, dead).sample(sorted(scores), 2)
        parents[dead] = min(two, key=scores.__getitem__)
    found = following(state)
    assert (found.generation, found.stopped, found.prepared) == (2, None, False)
    assert found.history == (record_of(state),)
    assert len([number for number, parent in parents.items() if parent != number]) == 9
    by_number = {m.member: m for m in found.members}
    assert [m.member for m in found.members] == [m.member for m in state.members]
    for number, parent in parents.items():
        before, now = next(m for m in state.members if m.member == parent), by_number[number]
        values = dict(before.values)
        if parent != number:
            rng = stream(5, "explore", 1, number)
            values = {path: explore(SPACES[path], values[path], rng) for path in SPACES}
        own = next(m for m in state.members if m.member == number)
        assert now == Member(member=number, values=values, parent=parent, attempt=own.attempt, status="waiting", epochs=before.epochs)
    assert by_number[7] == replace(state.members[7], status="ended")
    assert by_number[8] == state.members[8]


def test_before_the_burn_in_has_ended_nobody_competes_and_only_the_dead_are_replaced():
    state = journal(member(0, "done", 2.0), member(1, "done", 1.0), member(2, "failed"), burn_in=21)
    found = following(state)
    assert [m.parent for m in found.members][:2] == [0, 1]
    assert found.members[2].parent in {0, 1}
    assert found.window == ()
    assert following(replace(state, burn_in=20)).window == (1.0,)


@pytest.mark.parametrize(("least", "window", "stopped"), [(0.1, (1.0,), "improvement"), (0.1, (9.0,), None), (None, (1.0,), None), (0.1, (), None)])
def test_a_population_ends_when_its_best_score_improves_no_more(least, window, stopped):
    found = following(journal(member(0, "done", 1.0), member(1, "done", 2.0), window=window), least=least)
    assert (found.stopped, found.window) == (stopped, (*window, 1.0))
    assert found.generation == (1 if stopped else 2)
    alone = following(journal(member(0, "done", 1.0), member(1, "done", 2.0), window=window), least=least, algorithm=RandomSearch(), compares=False)
    assert (alone.stopped, alone.window) == (None, window)


def test_a_search_ends_with_its_epochs():
    state = journal(member(0, "done", 1.0), member(1, "done", 2.0), targets=(10, 20))
    found = following(state)
    assert (found.stopped, found.generation, found.members) == ("epochs", 1, state.members)
    assert len(found.history) == 1


def test_a_search_ends_when_every_member_has_ended_by_itself():
    state = journal(member(0, "done", 1.0, epochs=15), member(1, "ended", 2.0, epochs=5), member(2, "failed"))
    assert (following(state).stopped, [m.status for m in following(state).members]) == ("members", ["ended", "ended", "failed"])
    alone = following(replace(state, members=state.members[:2]), algorithm=RandomSearch(), compares=False)
    assert (alone.stopped, alone.generation, [m.status for m in alone.members]) == ("members", 2, ["ended", "ended"])


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ((member(0, "diverged", error="loss is NaN"), member(1, "failed", error="no memory")), "member 0 diverged: loss is NaN"),
        ((member(0, "diverged"), member(1, "failed", error="no memory")), "member 1 failed: no memory"),
        ((member(0, "diverged"), member(1, "done", math.nan)), "no member gave a score"),
    ],
)
def test_a_population_of_which_nobody_is_left_says_why(members, why):
    text = (
        f"search: a population must have a member to go on from, but all of generation 1 failed or diverged ({why}). "
        "Mend the cause, then `lfads search retry`; or search lower learning rates."
    )
    with pytest.raises(RunError, match=f"^{re.escape(text)}$"):
        following(journal(*members))


def test_members_of_a_random_search_go_on_by_themselves_and_the_dead_are_drawn_afresh_twice():
    state = journal(
        member(0, "done", 3.0, attempt=1),
        member(1, "ended", 1.0, epochs=12),
        member(2, "lost", 4.0, attempt=2, error="NaN"),
        member(3, "diverged", 0.5, error="NaN", failures=2),
        member(4, "failed", error="broken", attempt=1),
        member(5, "failed", 0.1, error="broken", attempt=2),
    )
    found = following(state, algorithm=RandomSearch(), compares=False)
    assert found.members == (
        Member(member=0, values=state.members[0].values, parent=0, attempt=1, epochs=20),
        state.members[1],
        state.members[2],
        Member(member=3, values=drawn(3, 1), attempt=1),
        Member(member=4, values=drawn(4, 2), attempt=2),
        replace(state.members[5], status="lost", score=None),
    )
    assert found.members[0].status == "waiting"


def test_a_grid_draws_nobody_afresh():
    state = journal(member(0, "done", 3.0), member(1, "failed", 1.0, error="broken"))
    found = following(state, algorithm=GridSearch(), compares=False)
    assert found.members == (
        Member(member=0, values=state.members[0].values, parent=0, epochs=20),
        replace(state.members[1], status="lost", score=None),
    )


def test_first_members_are_drawn_each_from_its_own_stream_and_a_population_begins_at_the_start_of_its_spaces():
    assert RandomSearch().first(SPACES, 3, CHANCES) == tuple(Member(member=i, values=drawn(i)) for i in range(3))
    population = PopulationBasedTraining().first(SPACES, 3, CHANCES)
    for i in range(3):
        assert population[i] == Member(member=i, values={"rate": sample(SPACES["rate"], stream(5, "sample", i, 0)), "share": 0.25})


def test_hyperparameters_are_drawn_again_as_a_whole_while_they_do_not_go_together():
    spaces = {"a": uniform(0.0, 1.0), "b": uniform(0.0, 1.0)}
    picky = Chances(seed=5, faults=lambda values: "" if values["a"] < values["b"] / 4 else "too much of a")
    rng = stream(5, "sample", 7, 2)
    while True:
        expected = {"a": rng.uniform(0.0, 1.0), "b": rng.uniform(0.0, 1.0)}
        if expected["a"] < expected["b"] / 4:
            break
    assert draw(spaces, picky, 7, 2, start=False) == expected
    asked = []
    never = Chances(seed=5, faults=lambda values: asked.append(values) or "no a at all")
    text = "search.spaces: 100 draws in a row gave hyperparameters that do not go together:\nno a at all"
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        draw(spaces, never, 7, 2, start=False)
    assert len({tuple(values.values()) for values in asked}) == 100


def test_a_grid_whose_points_do_not_go_together_says_each_fault_once():
    spaces = {"a": SpaceConfig(kind="choice", values=(1, 2)), "b": SpaceConfig(kind="choice", values=(1, 2, 3))}
    picky = Chances(seed=0, faults=lambda values: f"a must not be {values['a']}" if values["b"] > 1 else "")
    with pytest.raises(ConfigError, match=r"^a must not be 1\na must not be 2$"):
        GridSearch().first(spaces, 0, picky)
    with pytest.raises(ConfigError, match=r"^search\.spaces: rate: a grid must know every value"):
        GridSearch().first(SPACES, 0, CHANCES)


def test_what_a_setting_would_refuse_beside_the_others_is_moved_again():
    spaces = {"a": uniform(0.0, 1.0), "b": uniform(0.0, 1.0)}
    picky = Chances(seed=5, faults=lambda values: "" if values["a"] > 0.5 > values["b"] else "no")
    winner = {"a": 0.5000001, "b": 0.4999999, "kept": "as it is"}
    for number in range(20):
        moved = explored(spaces, winner, picky, ("explore", 1, number))
        assert moved["a"] > winner["a"]
        assert moved["b"] < winner["b"]
        assert moved["kept"] == "as it is"
    assert winner["a"] == 0.5000001


def test_a_member_that_waits_keeps_nothing_of_its_last_generation():
    before = member(3, "failed", 1.0, error="broken", failures=2, attempt=1, parent=2)
    assert waiting(before, values={"x": 1}, parent=None, epochs=7) == Member(member=3, values={"x": 1}, attempt=1, epochs=7)


def over(*members, **fields):
    """A journal whose generation 1 was decided on, and ended the search."""
    records = tuple(Generation(generation=g, first_epoch=10 * g, epochs=10 * g + 10, members=()) for g in range(2))
    best = Best(member=0, score=1.0, scores={})
    return journal(*members, **{"history": records, "window": (3.0, 2.0, 1.0), "stopped": "epochs", "best": best, "prepared": False, **fields})


BAD = (member(1, "failed", error="broken", failures=3), member(2, "diverged", error="NaN"), member(3, "lost", error="NaN", attempt=2))


def test_another_try_carries_out_the_last_generation_again_for_those_that_did_not_get_through():
    state = over(member(0, "done", 1.0), *BAD, member(4, "ended", 2.0))
    again = with_another_try(state, compares=True)
    assert [m.status for m in again.members] == ["done", "waiting", "waiting", "waiting", "ended"]
    assert again.members[1] == replace(state.members[1], status="waiting", failures=0, error=None)
    assert again.members[3] == replace(state.members[3], status="waiting", error=None)
    assert again.history == state.history[:1]
    assert again.window == (3.0, 2.0)
    assert (again.prepared, again.stopped, again.best) == (True, None, None)


def test_the_window_of_best_scores_keeps_what_the_last_generation_did_not_add():
    for fields, compares in (({}, False), ({"burn_in": 21}, True), ({"history": over().history[:1]}, True)):
        assert with_another_try(over(*BAD, **fields), compares=compares).window == (3.0, 2.0, 1.0)
    assert with_another_try(over(*BAD, burn_in=20), compares=True).window == (3.0, 2.0)


def test_without_a_member_that_needs_it_another_try_changes_nothing():
    state = over(member(0, "done", 1.0), member(4, "ended", 2.0))
    assert with_another_try(state, compares=True) is state
