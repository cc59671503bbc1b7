"""Members dealt out to workers that come and go: simulated workers, a simulated network, no process."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_plugins_tune.executors.dispatch import carry_out
from lfads_plugins_tune.executors.task_queue import Assignment, Dropped, Reply, Row, TaskQueue
from lfads_plugins_tune.search.executor import Outcome, Task

EPOCHS = 3


def task(member, *, restart=False):
    return Task(member=member, path=Path(f"members/{member:03d}"), overrides={}, epochs=EPOCHS, generation=0, restart=restart)


def done(member):
    return Outcome(member=member, status="done", score=float(member), epochs=EPOCHS, seconds=1.0)


def row(member, epoch):
    return Row(member=member, epoch=epoch, values={"x": 10.0 * member + epoch})


def assignment_of(queue, worker, ask=1):
    assignment = queue.take(worker, ask)
    assert isinstance(assignment, Assignment)
    return assignment


@pytest.fixture
def queue():
    made = TaskQueue(60.0)
    made.hello("w")
    return made


def said(queue, number=0):
    return queue.news(number).messages


def test_members_are_dealt_out_in_order_at_most_so_many_at_a_time(queue):
    queue.open([task(m) for m in range(5)], most=2)
    queue.hello("v")
    queue.hello("u")
    given_out = [[t.member for t in assignment_of(queue, worker).tasks] for worker in ("w", "v", "u")]
    assert given_out == [[0, 1], [2, 3], [4]]
    queue.hello("t")
    assert queue.take("t", 1) is Reply.GO_ON


def test_what_a_dead_worker_held_is_given_out_again_first_and_from_the_start_of_the_generation(queue):
    queue.open([task(m) for m in range(3)], most=2)
    assignment = assignment_of(queue, "w")
    queue.hear("w", assignment.lease, [row(0, 0), done(0), row(1, 0)])
    assert queue.lost("w")
    queue.hello("v")
    assert assignment_of(queue, "v").tasks == (task(1, restart=True), task(2))
    assert said(queue) == [row(0, 0), done(0), row(1, 0)]


def test_a_process_that_was_given_up_for_dead_is_told_to_end_and_not_listened_to(queue):
    queue.open([task(0)], most=1)
    assignment = assignment_of(queue, "w")
    assert queue.lost("w")
    assert not queue.lost("w")
    queue.hello("v")
    assert queue.hear("w", assignment.lease, [done(0)]) is Reply.GONE
    assert queue.take("w", 2) is Reply.GONE
    assert said(queue) == []
    assert assignment_of(queue, "v").tasks == (task(0, restart=True),)


def test_an_answer_that_got_lost_is_taken_back_and_an_overtaken_question_gets_nothing(queue):
    queue.open([task(0), task(1)], most=1)
    assignment_of(queue, "w", ask=1)  # never arrives
    assert assignment_of(queue, "w", ask=2).tasks == (task(0, restart=True),)
    assert queue.take("w", 1) is Reply.GO_ON  # the first question, still under way
    queue.hello("v")
    assert assignment_of(queue, "v").tasks == (task(1),)


def test_words_that_are_said_twice_count_once_and_do_no_harm(queue):
    queue.open([task(0)], most=1)
    lease = assignment_of(queue, "w").lease
    assert queue.hear("w", lease, [done(0)]) is Reply.GO_ON
    assert queue.hear("w", lease, [done(0)]) is Reply.GO_ON
    assert said(queue) == [done(0)]


def test_a_member_under_which_workers_die_is_given_out_alone_and_fails_after_three_deaths_alone(queue):
    queue.open([task(0), task(1)], most=2)
    sizes = []
    for life in range(10):
        queue.hello(f"w{life}")
        assignment = queue.take(f"w{life}", 1)
        if not isinstance(assignment, Assignment):
            break
        sizes.append(len(assignment.tasks))
        if [t.member for t in assignment.tasks] == [1]:
            queue.hear(f"w{life}", assignment.lease, [done(1)])
        queue.lost(f"w{life}")
    failed, other = sorted((word for word in said(queue) if isinstance(word, Outcome)), key=lambda o: o.member)
    assert sizes == [2, 2, 1, 1, 1, 1]
    assert other == done(1)
    assert (failed.status, failed.score) == ("failed", None)
    assert failed.error == (
        "members/000: a worker must live until the member's generation is done, but 5 of them died under it, 3 with nothing else to do. "
        "Look for a lack of memory on the nodes, or train this member alone."
    )


def test_a_stop_drops_what_was_not_begun_and_what_dies_while_it_saves(queue):
    queue.open([task(0), task(1), task(2)], most=1)
    lease = assignment_of(queue, "w").lease
    queue.hello("v")
    assignment_of(queue, "v")
    queue.stop()
    interrupted = Outcome(member=0, status="interrupted", score=None, epochs=1, seconds=1.0)
    assert queue.hear("w", lease, []) is Reply.STOP
    queue.hear("w", lease, [interrupted])
    queue.lost("v")
    assert said(queue) == [Dropped(member=2), interrupted, Dropped(member=1)]


def test_silence_is_noticed_of_those_who_hold_members_only():
    now = 0.0
    queue = TaskQueue(60.0, lambda: now)
    queue.hello("w")
    queue.hello("v")
    queue.open([task(0)], most=1)
    lease = assignment_of(queue, "w").lease
    now = 50.0
    queue.hear("w", lease, [])
    now = 100.0
    assert queue.news(0).silent == []
    now = 111.0
    assert queue.news(0).silent == ["w"]


def test_a_new_generation_forgets_what_nobody_asked_for(queue):
    queue.open([task(0), task(1)], most=1)
    lease = assignment_of(queue, "w").lease
    queue.hear("w", lease, [row(0, 0)])
    _, number = queue.open([task(5)], most=1)
    assert number == 1
    assert said(queue, number) == []
    assert queue.hear("w", lease, [done(0)]) is Reply.GONE


def test_after_the_end_workers_are_sent_home(queue):
    queue.open([task(0)], most=1)
    lease = assignment_of(queue, "w").lease
    queue.close()
    assert queue.hear("w", lease, []) is Reply.CLOSED
    assert queue.take("w", 2) is Reply.CLOSED


class Town:
    """Simulated workers and an service that lets them act; a coordinator that may die with all it knows."""

    def __init__(self, dice, workers):
        self.dice, self.workers = dice, workers
        self.queue = TaskQueue(60.0)
        self.lives, self.asks, self.shares, self.queues = {}, {}, {}, {}
        self.trouble = 60  # deaths and lost answers, after which nothing goes wrong any more

    def open(self, tasks, most):
        return self.queue.open(tasks, most)

    def stop(self):
        self.queue.stop()

    def news(self, number, wait):
        for _ in range(self.dice.randint(1, 6)):
            self.act(self.dice.randrange(self.workers))
        return self.queue.news(number)

    def act(self, trial):
        name = self.lives.get(trial)
        kind = self.dice.choice(["work", "work", "work", "die", "lose", "coordinator"])
        if kind != "work" and self.trouble <= 0:
            kind = "work"
        self.trouble -= kind != "work"
        if kind == "coordinator":
            if self.dice.random() < 0.1:
                self.queue = TaskQueue(60.0)
            return
        if name is None:
            self.lives[trial] = name = f"{trial}:{self.dice.random()}"
            self.asks[name], self.shares[name] = 0, None
            self.queue.hello(name)
        elif kind == "die":
            self.bury(trial)
        elif self.shares[name] is None:
            self.asks[name] += 1
            answer = self.queue.take(name, self.asks[name])
            if answer is Reply.GONE:
                self.bury(trial)
            elif isinstance(answer, Assignment) and kind != "lose":
                self.begin(name, answer)
        else:
            self.train(trial, name, heard=kind != "lose")

    def begin(self, name, assignment):
        known = [other for other in self.lives.values() if other in self.queue._workers]
        held = {word.member for other in known for word in self.queues.get(other, ())}
        assert held.isdisjoint(t.member for t in assignment.tasks), "two living workers hold one member"
        self.shares[name] = assignment
        words = [[row(t.member, epoch) for epoch in range(EPOCHS)] + [done(t.member)] for t in assignment.tasks]
        self.queues[name] = [word for step in zip(*words, strict=True) for word in step]

    def train(self, trial, name, *, heard):
        said = self.queues[name][: self.dice.randint(0, 3)]
        answer = self.queue.hear(name, self.shares[name].lease, said)
        if answer is Reply.GONE:
            self.bury(trial)
            return
        if heard:  # else the answer got lost, and all is said again
            del self.queues[name][: len(said)]
        if not self.queues[name]:
            self.shares[name] = None

    def bury(self, trial):
        name, self.lives[trial] = self.lives[trial], None
        self.queues[name], self.shares[name] = [], None
        self.queue.lost(name)


@pytest.mark.property
@given(seed=st.integers(0, 2**32), members=st.integers(1, 7), workers=st.integers(1, 4), most=st.integers(1, 4))
def test_whatever_dies_or_gets_lost_each_member_has_one_outcome_and_each_epoch_is_told_once_in_order(seed, members, workers, most):
    town, told = Town(random.Random(seed), workers), {m: [] for m in range(members)}
    outcomes = list(
        carry_out(
            [task(m) for m in range(members)],
            most,
            lambda member, epoch, values: told[member].append((epoch, values["x"])),
            lambda: False,
            (town, lambda _: None),
        )
    )
    assert sorted(outcome.member for outcome in outcomes) == list(range(members))
    for outcome in outcomes:
        whole = [(epoch, 10.0 * outcome.member + epoch) for epoch in range(EPOCHS)]
        assert outcome.status in {"done", "failed"}
        assert told[outcome.member] == whole[: len(told[outcome.member])]
        assert outcome.status == "failed" or told[outcome.member] == whole


@pytest.mark.property
@given(seed=st.integers(0, 2**32), members=st.integers(1, 6), workers=st.integers(1, 3), after=st.integers(0, 12))
def test_a_stop_at_any_moment_ends_the_generation(seed, members, workers, after):
    town, asked = Town(random.Random(seed), workers), iter(range(10**6))
    outcomes = list(carry_out([task(m) for m in range(members)], 2, lambda *_: None, lambda: next(asked) >= after, (town, lambda _: None)))
    assert len({outcome.member for outcome in outcomes}) == len(outcomes) <= members
