"""A driver over toys: same decisions in any order of events, whatever is interrupted; nobody is waited for; lineage is true."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lfads_core.errors import RunError
from lfads_core.track.fitlog import read_fitlog
from lfads_plugins_tune.search import driver as driver_module
from lfads_plugins_tune.search import starts, table
from lfads_plugins_tune.search.plan import with_another_try
from lfads_plugins_tune.search.state import read_state, write_state
from lfads_plugins_tune.search.table import lineage
from toy_search import SPACES, Toy, toy_step


def never():
    return False


def test_the_order_in_which_outcomes_arrive_decides_nothing(toy_search, ending):
    runs = []
    for order in (None, 1, 2):
        driver = toy_search(f"order-{order}", Toy(order=order))
        driver.run(never)
        runs.append(ending(driver))
    assert runs[0] == runs[1] == runs[2]


def test_another_seed_decides_otherwise(toy_search, ending):
    first, second = toy_search("a", Toy()), toy_search("b", Toy(), seed=1)
    first.run(never)
    second.run(never)
    assert ending(first)["state"].history != ending(second)["state"].history


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


KILLABLE = (
    (driver_module, "write_state"),
    (driver_module, "prepare_starts"),
    (starts, "prepare_start"),
    (starts, "copy_checkpoints"),
    (table.SearchLog, "append"),
    (table.SearchLog, "drop"),
)
"""Every call with which a driver changes the disk."""


@pytest.fixture
def kill_at(monkeypatch):
    """``kill_at(3)``: die instead of the third change of the disk from here on; returns how many there have been so far."""
    count = {"now": 0, "at": 0}

    def counted(function):
        def call(*arguments, **more):
            count["now"] += 1
            if count["now"] == count["at"]:
                raise Killed
            return function(*arguments, **more)

        return call

    for owner, name in KILLABLE:
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))

    def arm(at):
        before = count["now"]
        count.update(now=0, at=at)
        return before

    return arm


@pytest.mark.long
@pytest.mark.parametrize("fates", [{}, {(1, 0): "diverged", (0, 1): "nan", (2, 1): "fails once"}], ids=["all live", "some die"])
def test_killed_at_any_change_of_the_disk_it_goes_on_with_the_same_decisions_and_numbers(fates, toy_search, ending, kill_at):
    def fate(task, tried):
        told = fates.get((task.member, task.generation), "done")
        return told if told != "fails once" else "done" if tried else "failed"

    def search(name, order=None, tries=None):
        executor = Toy(order=order, fate=fate)
        executor.tries = {} if tries is None else tries  # a failure that passes is one of the world, not of the process
        return toy_search(name, executor, members=3, targets=(1, 2, 3), burn_in=1)

    whole = search("whole")
    kill_at(0)
    whole.run(never)
    changes, expected = kill_at(0), ending(whole)
    assert changes > 30
    for moment in range(1, changes + 1):
        tries = {}
        first = search(f"killed-{moment}", moment, tries)
        kill_at(moment)
        with pytest.raises(Killed):
            first.run(never)
        kill_at(0)
        resumed = search(f"killed-{moment}", -moment, tries)
        resumed.run(never)
        assert ending(resumed) == expected, moment


class InPairs(Toy):
    """Hands back two at a time, as batches end."""

    def generation(self, tasks, report, should_stop):
        for number, outcome in enumerate(super().generation(tasks, report, should_stop)):
            yield replace(outcome, more=number % 2 == 0)


def test_of_a_batch_the_journal_never_has_some_ended_and_others_not(toy_search, ending, monkeypatch):
    whole = toy_search("whole", Toy())
    whole.run(never)
    written, write = [], driver_module.write_state

    def kept(folder, state):
        written.append([member.status for member in state.members])
        write(folder, state)

    monkeypatch.setattr(driver_module, "write_state", kept)
    paired = toy_search("paired", InPairs())
    paired.run(never)
    assert ending(paired) == ending(whole)
    done = [statuses.count("done") for statuses in written]
    assert {2, 4, 6} <= set(done) <= {0, 2, 4, 6}
    assert all(statuses[:2].count("done") != 1 and statuses[2:4].count("done") != 1 for statuses in written)


def test_an_interrupted_generation_is_continued_where_each_member_was(toy_search, ending):
    whole = toy_search("whole", Toy())
    whole.run(never)
    for after in range(1, 40, 8):
        asked = iter(range(10**6))
        executor = Toy()
        first = toy_search(f"stopped-{after}", executor)
        state = first.run(lambda asked=asked, after=after: next(asked) >= after)
        assert state.status == "interrupted"
        resumed_by = Toy(order=after)
        resumed = toy_search(f"stopped-{after}", resumed_by)
        resumed.run(never)
        assert ending(resumed) == ending(whole)
        again = [(task.member, task.restart) for task in resumed_by.seen if task.generation == state.generation]
        interrupted = {m.member for m in state.members if m.status == "interrupted"}
        assert {member for member, restart in again if not restart} == interrupted


def test_an_interruption_that_saved_nothing_begins_the_generation_again(toy_search, ending):
    whole = toy_search("whole", Toy())
    whole.run(never)
    asked, executor = iter(range(10**6)), Toy()
    executor.forgets = True
    state = toy_search("a", executor).run(lambda: next(asked) >= 21)
    assert {m.status for m in state.members} == {"done", "waiting"}
    resumed_by = Toy()
    resumed = toy_search("a", resumed_by)
    resumed.run(never)
    assert ending(resumed) == ending(whole)
    assert all(task.restart for task in resumed_by.seen if task.generation == state.generation)


def test_weights_and_hyperparameters_follow_the_lineage(toy_search):
    """Replay every member's history from the lineage alone: the numbers must be those that the search came to."""
    driver = toy_search("a", Toy(), members=8)
    state = driver.run(never)
    for member in state.members:
        way = lineage(state.history, member.member)
        assert sorted(way) == [0, 1, 2, 3]
        weight = 1.0 + way[0] * 1e-2
        for generation, at in way.items():
            record = next(r for r in state.history[generation].members if r.member == at)
            for epoch in range(state.history[generation].first_epoch, state.history[generation].epochs):
                weight = toy_step(weight, {"train.seed": at, **record.hyperparameters}, epoch)
            assert record.score == weight
        assert json.loads((driver.folder / f"members/{member.member:03d}/checkpoints/last.json").read_text())["weight"] == weight


def test_a_loser_takes_the_weights_of_the_winner_it_met_and_moves_every_hyperparameter(toy_search):
    driver = toy_search("a", Toy(), members=8)
    state = driver.run(never)
    exploits = 0
    for before, after in zip(state.history, state.history[1:], strict=False):
        was = {r.member: r for r in before.members}
        for record in after.members:
            parent = was[record.parent]
            if record.parent == record.member:
                assert record.hyperparameters == parent.hyperparameters
                continue
            exploits += 1
            assert parent.score <= was[record.member].score
            for path, value in record.hyperparameters.items():
                assert value != parent.hyperparameters[path]
                assert abs(value / parent.hyperparameters[path] - 1) <= SPACES[path].explore + 1e-12
    assert exploits == 3 * 4  # half of the members after each generation but the last


@pytest.mark.long
@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**20), deaths=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.sampled_from(["diverged", "nan", "failed"]))))
def test_the_dead_are_always_replaced_by_survivors_and_bounds_are_never_left(seed, deaths, toy_search, tmp_path_factory):
    died = {(member, generation): fate for member, generation, fate in deaths}
    alive_somewhere = all({m for m, g in died if g == generation} != set(range(6)) for generation in range(4))
    driver = toy_search(tmp_path_factory.mktemp("x").name, Toy(fate=lambda task, _: died.get((task.member, task.generation), "done")), seed=seed)
    if not alive_somewhere:
        with pytest.raises(RunError):
            driver.run(never)
        return
    state = driver.run(never)
    assert len(state.history) == 4
    for generation, record in enumerate(state.history):
        scores = {r.member: r.score for r in record.members}
        assert sorted(scores) == list(range(6))
        assert {m for m, score in scores.items() if score is None} == {m for m, g in died if g == generation}
        for r in record.members:
            for path, value in r.hyperparameters.items():
                assert SPACES[path].low <= value <= SPACES[path].high
        if generation + 1 < 4:
            for r in state.history[generation + 1].members:
                assert scores[r.parent] is not None


def test_a_member_that_fails_is_tried_again_before_it_is_replaced(toy_search, caplog):
    executor = Toy(fate=lambda task, tried: "failed" if (task.member, task.generation) == (2, 1) and tried < 1 else "done")
    with caplog.at_level("WARNING"):
        state = toy_search("a", executor).run(never)
    assert [r.status for r in state.history[1].members] == ["done"] * 6
    assert [t.restart for t in executor.seen if (t.member, t.generation) == (2, 1)][1:] == [True]
    assert caplog.messages == ["member 2 failed, is tried again: toy 2 failed"]


def test_what_is_tried_again_goes_on_from_the_same_start_and_logs_each_epoch_once(toy_search, ending):
    whole = toy_search("whole", Toy())
    whole.run(never)
    shaky = toy_search("shaky", Toy(fate=lambda _task, tried: "failed" if tried == 0 else "done"))
    shaky.run(never)
    assert ending(shaky)["rows"] == ending(whole)["rows"]
    assert ending(shaky)["weights"] == ending(whole)["weights"]


def test_a_member_without_an_outcome_has_failed(toy_search):
    state = toy_search("a", Toy(fate=lambda task, _: "silent" if task.member == 3 and task.generation == 1 else "done")).run(never)
    record = state.history[1].members[3]
    assert (record.status, record.error) == ("failed", "the executor gave no outcome")
    assert state.history[2].members[3].parent not in {3, None}


def test_when_all_fail_it_stops_with_a_sentence_and_the_next_driver_tries_again(toy_search, tmp_path):
    broken = toy_search("a", Toy(fate=lambda task, _: "failed" if task.generation == 1 else "done"), "search.retries=0")
    folder = tmp_path / "a"
    message = (
        f"{folder}: a member must get through a generation, but all 6 failed, the first with: toy 0 failed "
        f"Mend it, then `lfads search retry {folder}`."
    )
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        broken.run(never)
    write_state(folder, with_another_try(read_state(folder), compares=True))
    mended, whole = toy_search("a", Toy()), toy_search("whole", Toy())
    assert mended.run(never).history == whole.run(never).history


@pytest.mark.parametrize("retries", [0, 2])
def test_a_member_is_tried_again_as_often_as_the_settings_say(toy_search, retries):
    executor = Toy(fate=lambda task, _: "failed" if (task.member, task.generation) == (2, 1) else "done")
    toy_search("a", executor, f"search.retries={retries}").run(never)
    assert sum((task.member, task.generation) == (2, 1) for task in executor.seen) == 1 + retries


def test_another_try_is_for_all_that_failed_or_diverged_or_were_given_up(toy_search):
    state = toy_search("a", Toy()).state
    before = ("done", "failed", "diverged", "lost", "ended", "interrupted")
    members = tuple(replace(member, status=status) for member, status in zip(state.members, before, strict=True))
    again = with_another_try(replace(state, members=members), compares=True)
    assert [member.status for member in again.members] == ["done", "waiting", "waiting", "waiting", "ended", "interrupted"]


def test_nobody_goes_on_from_another_before_the_burn_in_has_ended(toy_search):
    state = toy_search("a", Toy(), burn_in=6).run(never)
    assert [sum(r.parent not in {None, r.member} for r in generation.members) for generation in state.history] == [0, 0, 0, 3]


def test_when_all_diverge_it_says_so(toy_search):
    message = (
        "search: a population must have a member to go on from, but all of generation 0 failed or diverged (member 0 diverged: toy 0 diverged). "
        "Mend the cause, then `lfads search retry`; or search lower learning rates."
    )
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        toy_search("a", Toy(fate=lambda *_: "diverged")).run(never)


def test_a_random_search_draws_dead_members_afresh_a_few_times_and_waits_for_none(toy_search):
    fates = {(1, 0): "diverged", (1, 1): "diverged", (1, 2): "diverged", (4, 1): "failed"}
    executor = Toy(fate=lambda task, _: fates.get((task.member, task.generation), "done"))
    state = toy_search("a", executor, kind="random", burn_in=0).run(never)
    assert [m.status for m in state.members] == ["done", "lost", "done", "done", "done", "done"]
    assert [m.attempt for m in state.members] == [0, 2, 0, 0, 1, 0]
    drawn = [r.hyperparameters for g in state.history for r in g.members if r.member == 1]
    assert len({v["model.dropout"] for v in drawn}) == 3
    assert [place for place in executor.fresh if place[1]] == [(1, 1), (1, 2), (4, 2)]
    log = read_fitlog(toy_search("a", Toy()).folder / "fitlog.csv")
    assert [int(e) for m, g, e in zip(log["member"], log["generation"], log["epoch"], strict=True) if (m, g) == (4, 2)] == [0, 1, 2, 3, 4, 5]
    assert all(r.parent is None for r in state.history[2].members if r.member == 4)


def test_a_grid_leaves_a_dead_point_empty(toy_search):
    from lfads_core.config.spaces import SpaceConfig

    spaces = {"optim.lr": SpaceConfig(kind="choice", values=(1e-3, 2e-3)), "model.dropout": SpaceConfig(kind="choice", values=(0.1, 0.2, 0.3))}
    state = toy_search("a", Toy(fate=lambda task, _: "diverged" if task.member == 2 else "done"), kind="grid", spaces=spaces, burn_in=0).run(never)
    assert [tuple(m.values.values()) for m in state.members] == [(1e-3, 0.1), (1e-3, 0.2), (1e-3, 0.3), (2e-3, 0.1), (2e-3, 0.2), (2e-3, 0.3)]
    assert [m.status for m in state.members] == ["done", "done", "lost", "done", "done", "done"]


def test_members_that_stop_by_themselves_get_no_further_task_and_compete_no_more(toy_search):
    executor = Toy(ends_at={0: 3, 1: 3})
    state = toy_search("a", executor, kind="random", burn_in=0).run(never)
    assert [m.status for m in state.members[:3]] == ["ended", "ended", "done"]
    assert [t.generation for t in executor.seen if t.member == 0] == [0, 1]
    assert state.members[0].score is not None
    assert toy_search("b", Toy(ends_at=dict.fromkeys(range(6), 3)), kind="random", burn_in=0).run(never).stopped == "members"
    population = toy_search("c", Toy(ends_at={0: 3})).run(never)
    assert all(r.parent != 0 for g in population.history[2:] for r in g.members)


def test_it_stops_when_the_best_score_no_longer_improves(toy_search):
    def flat(driver):
        return driver.run(never)

    state = flat(toy_search("a", Toy(), "search.patience=2", "search.min_improvement=0.9"))
    assert (state.stopped, len(state.history)) == ("improvement", 2)
    assert math.isfinite(state.window[0])


def test_it_stops_after_its_minutes_at_the_end_of_a_generation(toy_search, monkeypatch):
    clock = iter(range(0, 10**6, 45))
    monkeypatch.setattr(driver_module, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    state = toy_search("a", Toy(), "search.minutes=1").run(never)
    assert (state.stopped, len(state.history)) == ("minutes", 2)


def test_the_table_has_every_epoch_of_every_member_once_with_its_hyperparameters(toy_search):
    driver = toy_search("a", Toy(order=3))
    state = driver.run(never)
    log = read_fitlog(driver.folder / "fitlog.csv")
    assert list(log)[:3] == ["epoch", "member", "generation"]
    assert sorted(zip(log["member"], log["epoch"], strict=True)) == [(m, e) for m in range(6) for e in range(8)]
    for i, (member, generation) in enumerate(zip(log["member"], log["generation"], strict=True)):
        record = next(r for r in state.history[int(generation)].members if r.member == member)
        assert {path: log[f"hp/{path}"][i] for path in SPACES} == dict(record.hyperparameters)


def test_a_table_that_cannot_be_written_is_one_warning(toy_search, monkeypatch, caplog):
    driver = toy_search("a", Toy())
    monkeypatch.setattr(driver.log, "append", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    driver.run(never)
    assert caplog.messages == ["fitlog.csv: could not be written ([Errno 28] No space left on device); the search goes on."]


def test_a_journal_that_cannot_be_written_stops_the_search_and_loses_nothing(toy_search, ending, monkeypatch):
    from lfads_core import files

    whole = toy_search("whole", Toy())
    whole.run(never)
    driver = toy_search("a", Toy())
    write, writes = files.write_bytes, iter(range(10**6))

    def full(path, content):
        if path.name == "search.json" and next(writes) >= 9:
            raise RunError(f"{path}: must be written in full, got: No space left on device.")
        write(path, content)

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(RunError, match="No space left on device"):
        driver.run(never)
    monkeypatch.undo()
    again = toy_search("a", Toy())
    again.run(never)
    assert ending(again) == ending(whole)
