"""The process that brings MLflow up to what a run or search writes, beside it: ``python -m lfads_plugins_tune.mlflow.follower``.

MLflow takes seconds to import and to make its database, waits for a lock or a dead server without asking, and prints what it
likes. In a process of its own none of that reaches the training. Nothing is sent to it but where to look, and later how it ended
(a line of JSON each; the end of standard input says that whoever trained is gone); what is to be written is read from the files
in the folder. So crashes, resumed trainings and servers that were away are one path: look what the store lacks, and write it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from lfads_core.errors import LfadsError
from lfads_plugins_tune.mlflow.recorder import Recorder
from lfads_plugins_tune.mlflow.store import INSTALL, ExperimentAddress, StoreError

PERIOD = 2.0
"""Seconds between two looks, so that many short epochs are written together."""

LONGEST_PERIOD = 60.0
"""Seconds between two attempts once several in a row have failed, or when a write takes long."""

REST = 4.0
"""For each second that writing takes of the processor so many are waited, which leaves it to the training."""

LAST_SECONDS = 60.0
"""How long a process whose training is gone waits for a store that is away."""

RETRY_SECONDS = 0.5

_AWAY = re.compile(
    r"[Cc]onnection refused|[Cc]onnection reset|timed out|Name or service not known|No route|(?:status|error) code 5\d\d|5\d\d error responses"
)

Message = Mapping[str, Any]
Inbox = queue.SimpleQueue[Message | None]


def follow(recorder: Recorder, inbox: Inbox, reply: Callable[[Message], None], *, period: float = PERIOD) -> None:
    """Record until told how it ended, or until ``None`` says that the training is gone. Tells the first fault, and goes on trying."""
    said, wait, end = _Said(recorder, reply), 0.0, None
    while end is None:
        with contextlib.suppress(queue.Empty):  # first of all: what has ended already is not opened again
            end = inbox.get(timeout=wait) or {"close": "interrupted", "seconds": LAST_SECONDS}
            break
        began, opened = time.process_time(), len(recorder.ids)
        if not said.attempt(None):
            wait = min(2 * max(wait, period), LONGEST_PERIOD)
        elif len(recorder.ids) > opened:  # which takes long, and once only
            wait = period
        else:
            wait = min(max(period, REST * (time.process_time() - began)), LONGEST_PERIOD)
    last = time.monotonic() + end["seconds"]
    while not (done := said.attempt(end["close"])) and said.may_pass and time.monotonic() < last:
        time.sleep(min(period, RETRY_SECONDS))
    reply({"closed": True, "missing": "" if done else recorder.missing(), "values": recorder.values, "files": recorder.files})


class _Said:
    """Attempts to write, and what has been said of them."""

    def __init__(self, recorder: Recorder, reply: Callable[[Message], None]) -> None:
        self._recorder, self._reply = recorder, reply
        self._warned = False
        self._ids: dict[str, str] = {}
        self.may_pass = False  # whether the last fault was one that may go away by itself

    def attempt(self, ended: str | None) -> bool:
        """Write; True if all went well."""
        try:
            self._recorder.write(ended)
        except Exception as err:  # noqa: BLE001 - whatever MLflow raises, it is told once
            self.may_pass = may_pass(err)
            if not self._warned:
                self._reply({"warning": reason(err, self._recorder.place)})
            self._warned = True
            return False
        finally:
            if new := {key: value for key, value in self._recorder.ids.items() if key not in self._ids}:
                self._reply({"run_ids": new})
                self._ids |= new
        return True


def may_pass(err: Exception) -> bool:
    """Whether a fault may go away by itself: a store that is locked, full or away; not one that says no."""
    if isinstance(err, StoreError):
        return err.passing
    status = getattr(err, "get_http_status_code", None)  # of MLflow's exceptions, which are not imported for this
    return status() >= 500 or status() in {408, 429} if callable(status) else isinstance(err, OSError)


def reason(err: Exception, place: ExperimentAddress) -> str:
    """One line on what went wrong and what to do."""
    if isinstance(err, StoreError | LfadsError):
        return str(err).rstrip(".")
    first = next(iter(str(err).strip().splitlines()), "")[:200] or type(err).__name__
    if isinstance(err, ImportError):
        return f"it cannot be imported ({first}); {INSTALL} brings it"
    if place.folder is None and (away := _AWAY.search(str(err))):  # the whole text is a paragraph
        first = away[0]
    return f"{place.shown} does not take the run ({first}); see to {'the store' if place.folder else 'MLFLOW_TRACKING_URI and its server'}"


def main() -> None:
    """Follow one training or search, over standard input and output."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what MLflow prints is no answer of ours
    _stay_in_the_background()
    what = json.loads(sys.stdin.readline())
    inbox: Inbox = queue.SimpleQueue()
    if "end" in what:
        inbox.put(what["end"])
    threading.Thread(target=_read, args=(sys.stdin, inbox), daemon=True).start()

    def reply(message: Message) -> None:
        with contextlib.suppress(OSError):  # the training is gone; what it wrote is still recorded
            answers.write(json.dumps(message) + "\n")
            answers.flush()

    follow(Recorder(Path(what["folder"]), what["key"], ExperimentAddress(**what["place"]), steady_clock(what["began"])), inbox, reply)


def steady_clock(began: int) -> Callable[[], int]:
    """Milliseconds since 1970 that never jump: the time at the start, and how long ago that is."""
    start = time.monotonic()
    return lambda: began + round(1000 * (time.monotonic() - start))


def _read(lines: TextIO, inbox: Inbox) -> None:
    with contextlib.suppress(ValueError):  # half a line, from a training that was killed
        for line in lines:
            inbox.put(json.loads(line))
    inbox.put(None)


def _stay_in_the_background() -> None:
    """Leave the processor to the training, the network alone, and no call waiting for long."""
    if hasattr(os, "nice"):
        os.nice(5)
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    }.items():
        os.environ.setdefault(name, value)


if __name__ == "__main__":
    main()
