"""Jobs of any kind end in one way: asked first, each once, and made to when their time is up."""

from __future__ import annotations

import time

from lfads_plugins_tune.jobs.running import Jobs


class Played:
    """A job that ends when it is asked, if it wants to."""

    def __init__(self, *, willing: bool) -> None:
        self.willing, self.said, self.left = willing, [], None

    def code(self) -> int | None:
        return self.left

    def ask(self) -> None:
        self.said.append("ask")
        if self.willing:
            self.left = 0

    def end(self) -> None:
        self.said.append("end")
        self.left = -9


def test_those_that_shall_end_are_asked_once_and_ended_when_their_time_is_up():
    jobs: Jobs[Played] = Jobs(0.05)
    willing, deaf = Played(willing=True), Played(willing=False)
    jobs.running = {"willing": willing, "deaf": deaf}
    assert jobs.ended() == []
    jobs.stop()
    jobs.stop()
    assert jobs.ended() == [("willing", willing, 0)]
    late = jobs.running["late"] = Played(willing=True)
    jobs.stop()
    time.sleep(0.06)
    jobs.stop()
    assert (willing.said, late.said[:1], deaf.said) == (["ask"], ["ask"], ["ask", "end"])
    assert {name for name, *_ in jobs.ended()} == {"late", "deaf"}
    assert jobs.running == {}


def test_now_means_at_once():
    jobs: Jobs[Played] = Jobs(60.0)
    jobs.running = {"deaf": (deaf := Played(willing=False))}
    jobs.stop(now=True)
    assert (deaf.said, jobs.ended()) == (["end"], [("deaf", deaf, -9)])
