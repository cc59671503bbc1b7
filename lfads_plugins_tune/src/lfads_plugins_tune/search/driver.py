"""The driver: sets out generations, has them carried out, journals every outcome, and decides. Killed at any moment, it goes on from the journal."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from lfads_core.config.schema import RunConfig
from lfads_core.errors import RunError
from lfads_plugins_tune.search.executor import AbstractExecutor, Outcome, Task
from lfads_plugins_tune.search.history import Generation
from lfads_plugins_tune.search.plan import SearchRule, next_generation
from lfads_plugins_tune.search.progress import SearchDisplay
from lfads_plugins_tune.search.spaces_of import search_of
from lfads_plugins_tune.search.starts import member_folder, prepare_start, prepare_starts
from lfads_plugins_tune.search.state import Member, SearchState, write_state
from lfads_plugins_tune.search.table import SearchLog

log = logging.getLogger(__name__)


@runtime_checkable
class Watcher(Protocol):
    """What else hears of a search: trackers. Nothing in it may raise."""

    def log(self, member: int, epoch: int, row: Mapping[str, float]) -> None:
        """Take one epoch of one member."""
        ...

    def generation(self, record: Generation) -> None:
        """Take a generation that is over."""
        ...


class Driver:
    """Carries a search from its journal to the end of its generations."""

    def __init__(
        self, folder: Path, base: RunConfig, state: SearchState, executor: AbstractExecutor, rule: SearchRule, display: SearchDisplay
    ) -> None:
        self.folder, self.base, self.state = folder, base, state
        self.executor, self.rule, self.display = executor, rule, display
        self.watchers: list[Watcher] = []
        self.log = SearchLog(folder / "fitlog.csv")
        self._held: set[int] = set()  # members that the executor, or their `last`, has just where this generation starts
        self._since = time.monotonic()
        self._log_failed = False

    def run(self, should_stop: Callable[[], bool]) -> SearchState:
        """Carry out generations until there is none left or ``should_stop`` says so.

        Raises:
            RunError: nobody is left to go on from, or something cannot be written; the journal stands, and the search can go on.
        """
        self._save(replace(self.state, status="running", error=None))
        self._drop_rows()
        while self.state.stopped is None:
            if not self.state.prepared:
                prepare_starts(self.folder, self.state.members)
                self._save(replace(self.state, prepared=True))
            self._carry_out(should_stop)
            if should_stop():
                self._save(replace(self.state, status="interrupted"))
                return self.state
            self._decide()
        return self.state

    def _carry_out(self, should_stop: Callable[[], bool]) -> None:
        """Have every waiting member trained; those that fail are tried again as often as the settings say."""
        while tasks := self._tasks():
            pending = {task.member for task in tasks}
            for outcome in self.executor.generation(tasks, self._report, should_stop):
                if outcome.member in pending:
                    pending.remove(outcome.member)
                    self._take(outcome)
            if should_stop():
                return
            for number in sorted(pending):
                self._take(Outcome(member=number, status="failed", score=None, epochs=0, seconds=0.0, error="the executor gave no outcome"))

    def _tasks(self) -> list[Task]:
        end = self.state.targets[self.state.generation]
        return [
            Task(
                member=member.member,
                path=member_folder(self.folder, member.member),
                overrides=overrides_of(member, self.base),
                epochs=end,
                generation=self.state.generation,
                restart=member.status != "interrupted" and not (member.member in self._held and member.parent == member.member),
            )
            for member in self.state.members
            if member.status in {"waiting", "interrupted"}
        ]

    def _take(self, outcome: Outcome) -> None:
        """Journal an outcome. A score that is no number is a divergence; a failure is tried again until it has been often enough."""
        member = next(m for m in self.state.members if m.member == outcome.member)
        self._held.discard(outcome.member)
        status, score, error, failures = outcome.status, outcome.score, outcome.error, member.failures
        if status == "done" and (score is None or not math.isfinite(score)):
            status, score, error = "diverged", None, error or f"the score must be finite, got {score}"
        if status == "done":
            self._held.add(outcome.member)
        changed = replace(member, status=status, score=score if status == "done" else None, epochs=outcome.epochs, error=error)
        if status == "failed":
            failures += 1
            again = failures <= search_of(self.base).retries
            log.warning("member %d failed%s: %s", outcome.member, ", is tried again" if again else "", error)
            changed = replace(changed, failures=failures, status="waiting" if again else "failed", epochs=member.epochs)
            if again:
                self.log.drop(self.state.generation, {outcome.member})
                if member.parent is None:
                    prepare_start(self.folder, member)
        elif status == "interrupted" and error:  # nothing was saved: it begins its generation again
            changed = replace(member, status="waiting")
            self.log.drop(self.state.generation, {outcome.member})
        elif status == "diverged":
            log.warning("member %d diverged: %s", outcome.member, error)
        self._save(self.state.with_member(changed), journal=not outcome.more)

    def _decide(self) -> None:
        """Record the generation that is over and set out the next one."""
        before, search = self.state, search_of(self.base)
        if before.members and all(member.status == "failed" for member in before.members):
            raise RunError(_all_failed(self.folder, before.members))
        after = next_generation(before, self.rule, patience=search.patience, least=search.min_improvement)
        after = replace(after, seconds=before.seconds + self._lap())
        if after.stopped is None and search.minutes is not None and after.seconds >= 60 * search.minutes:
            after = replace(after, stopped="minutes")
        self._held &= {m.member for m in after.members if m.parent == m.member}
        self.display.generation(before)
        self._save(after)
        for watcher in self.watchers:
            watcher.generation(after.history[-1])

    def _lap(self) -> float:
        now = time.monotonic()
        since, self._since = self._since, now
        return now - since

    def _save(self, state: SearchState, *, journal: bool = True) -> None:
        if journal:
            write_state(self.folder, state)
        self.state = state
        self.display.update(state)

    def _report(self, member: int, epoch: int, row: Mapping[str, float]) -> None:
        """One epoch of one member: to the table, the display and whoever else listens."""
        values = next(m.values for m in self.state.members if m.member == member)
        try:
            self.log.append((member, self.state.generation, epoch), values, row)
        except (OSError, RunError) as err:
            if not self._log_failed:
                log.warning("fitlog.csv: could not be written (%s); the search goes on.", err)
            self._log_failed = True
        self.display.epoch(member, epoch, row)
        for watcher in self.watchers:
            watcher.log(member, epoch, row)

    def _drop_rows(self) -> None:
        """Drop from the table what an interrupted driver had of members that carry this generation out again."""
        again = [m.member for m in self.state.members if m.status == "waiting"]
        try:
            self.log.drop(self.state.generation, again)
        except OSError as err:
            raise RunError(f"{self.folder / 'fitlog.csv'}: must be writable, got: {err.strerror}. Make room, or mend the folder.") from err


def overrides_of(member: Member, base: RunConfig) -> dict[str, object]:
    """A member's hyperparameters, and a seed of its own unless the seed is one of them."""
    return {"train.seed": base.train.seed + member.member, **member.values}


def _all_failed(folder: Path, members: Sequence[Member]) -> str:
    return (
        f"{folder}: a member must get through a generation, but all {len(members)} failed, the first with: {members[0].error} "
        f"Mend it, then `lfads search retry {folder}`."
    )
