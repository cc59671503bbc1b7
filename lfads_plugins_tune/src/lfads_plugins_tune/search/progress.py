"""What a search shows while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Mapping
from typing import TextIO

from lfads_core.screen import Screen
from lfads_core.train.progress import clock
from lfads_plugins_tune.search.report import generation_line, headline, lines_of, table_of
from lfads_plugins_tune.search.state import SearchState

PLAIN_SECONDS = 30.0
"""Without a terminal a line within a generation appears at most this often."""

DRAW_SECONDS = 0.25
"""On a terminal the table is drawn again at most this often."""

MOST_ROWS = 24
"""Members that are shown at a time, the best."""

QUIET_SECONDS = 60.0
"""Without an epoch for so long, and for ten times as long as one usually takes, no time left is named."""


class SearchDisplay:
    """Progress of one search; it never raises."""

    def __init__(self, stream: TextIO | io.TextIOBase | None = None) -> None:
        self.screen = Screen(stream)
        self._state: SearchState | None = None
        self._progress: dict[int, int] = {}
        self._done = 0  # epochs of members in this process
        self._began = self._last = self._heard = time.monotonic()

    def start(self, state: SearchState) -> None:
        """Begin to show a search."""
        self._state, self._began, self._done = state, time.monotonic(), 0
        self._heard = self._began
        self.screen.start()

    def update(self, state: SearchState) -> None:
        """Take a state in which something has changed."""
        self._state = state
        self._draw(force=True)

    def epoch(self, member: int, epoch: int, row: Mapping[str, float]) -> None:
        """Take one epoch of one member, counted from 0."""
        self._progress[member] = epoch + 1
        self._done += 1
        self._heard = time.monotonic()
        self._draw(force=False)

    def generation(self, state: SearchState) -> None:
        """Take a generation whose outcomes are all in."""
        self._state = state
        now = time.monotonic()
        self._last = now
        self.screen.say(f"{generation_line(state)}  {clock(now - self._began)}, {self._left(after=True)}")

    def message(self, text: str) -> None:
        """Show a line of its own."""
        self.screen.say(text)

    def stop(self) -> None:
        """Leave the table standing and go on in plain lines."""
        self.screen.stop()

    def _draw(self, *, force: bool) -> None:
        state, now = self._state, time.monotonic()
        if state is None:
            return
        if self.screen.is_live:
            if force or now - self._last >= DRAW_SECONDS:
                self._last = now
                self.screen.guard(lambda: self._draw_table(state, now))
        elif not force and now - self._last >= PLAIN_SECONDS:
            self._last = now
            self.screen.say(f"{headline(state)}  {clock(now - self._began)}, {self._left(after=False)}")

    def _draw_table(self, state: SearchState, now: float) -> None:
        lines = lines_of(state, self._progress)
        more = f"  (the best {MOST_ROWS} of {len(lines)})" if len(lines) > MOST_ROWS else ""
        title = f"{headline(state)}  {clock(now - self._began)}, {self._left(after=False)}{more}"
        self.screen.draw(table_of(state, lines[:MOST_ROWS], title=title, width=self.screen.width))

    def _is_quiet(self) -> bool:
        """Whether nothing is trained, as when workers wait for room: there is no pace then."""
        pace = (self._heard - self._began) / max(self._done, 1)
        return time.monotonic() - self._heard > max(QUIET_SECONDS, 10 * pace)

    def _left(self, *, after: bool) -> str:
        """How long what is left may take, at the pace of this process; ``after`` this generation."""
        state = self._state
        if state is None or not self._done or self._is_quiet():
            return "time left unknown"
        end, now = state.targets[-1], state.targets[min(state.generation, len(state.targets) - 1)]
        going = [m for m in state.members if m.status not in {"lost", "ended"}]
        left = sum(end - (now if after else min(end, max(m.epochs, self._progress.get(m.member, 0)))) for m in going)
        begun = len(state.history[0].members) if state.history else len(state.members)
        rounds = sum(later <= earlier for earlier, later in itertools.pairwise(state.targets[state.generation :]))  # members yet to come
        left += rounds * begun * end
        return f"at most {clock((time.monotonic() - self._began) / self._done * left)} left"
