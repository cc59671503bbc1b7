"""The process that writes runs to MLflow, beside the training or search: ``python -m lfads_plugins_tune.mlflow.writer``.

MLflow takes seconds to import and to make its database, waits for a lock or a dead server without asking, and prints what it
likes. In a process of its own none of that reaches the training, and a training that dies leaves runs that are closed properly:
the end of standard input says so. Input and output are lines of JSON: first an
:class:`~lfads_plugins_tune.mlflow.job.ExperimentAddress`, then messages.

==========================================  =====================================================
message                                     meaning
==========================================  =====================================================
``{"open": {...}}``                         a :class:`~lfads_plugins_tune.mlflow.job.Job`, one more run
``{"run", "epoch", "row", "time"}``         one epoch's numbers
``{"run", "table", "before", "time"}``      the epochs before one from a ``fitlog.csv``
``{"run", "files"}``                        files and folders to be copied
``{"run", "tags", "links"}``                tags; links take the id of the run they name
``{"run", "view"}``                         a :class:`~lfads_plugins_tune.mlflow.view.View` of the pages
``{"run", "close", "time"}``                one run has ended
``{"close", "time", "seconds"}``            all have; write what is left, for so long at most
==========================================  =====================================================
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from lfads_plugins_tune.mlflow.job import ExperimentAddress, Job
from lfads_plugins_tune.mlflow.recorder import Recorder
from lfads_plugins_tune.mlflow.store import INSTALL, StoreError
from lfads_plugins_tune.mlflow.view import View

PERIOD = 2.0
"""Seconds between two writes, so that many short epochs are written together."""

LONGEST_PERIOD = 60.0
"""Seconds between two attempts once several in a row have failed, or when a write takes long."""

REST = 4.0
"""For each second that writing takes of the processor so many are waited, which leaves it to the training."""

LAST_SECONDS = 60.0
"""How long a writer whose training is gone waits for a store that is locked."""

_RETRY_SECONDS = 1.0

Message = Mapping[str, Any]
Inbox = queue.SimpleQueue[Message | None]


@dataclass(frozen=True, kw_only=True)
class _End:
    """How everything ended, and how long what is left may take to be written."""

    status: str
    time: int
    seconds: float


def serve(recorder: Recorder, inbox: Inbox, reply: Callable[[Message], None], *, period: float = PERIOD) -> None:
    """Record until told to close, or until ``None`` says that the training is gone. Tells the first fault, and goes on trying."""
    said = _Said(recorder, reply)
    wait, end = period, None
    while end is None:
        began, opened = time.process_time(), len(recorder.ids)
        if not said.attempt():
            wait = min(2 * wait, LONGEST_PERIOD)
        elif len(recorder.ids) > opened:  # which takes long, and once only
            wait = period
        else:
            wait = min(max(period, REST * (time.process_time() - began)), LONGEST_PERIOD)
        end = _take(recorder, inbox, wait)
        if recorder.thin():
            said.warn("too much waits to be written, and every second waiting epoch was let go; see to the store")
    recorder.end(end.status, end.time)
    last = time.monotonic() + end.seconds
    while not said.attempt() and said.may_pass and time.monotonic() < last:
        time.sleep(min(period, _RETRY_SECONDS))
    reply({"closed": True})


class _Said:
    """Attempts to write, and what has been said of them."""

    def __init__(self, recorder: Recorder, reply: Callable[[Message], None]) -> None:
        self._recorder, self._reply = recorder, reply
        self._warned = False
        self._ids: dict[str, str] = {}
        self.may_pass = False  # whether the last fault was one that may go away by itself

    def attempt(self) -> bool:
        """Write; True if all went well."""
        try:
            self._recorder.write()
        except Exception as err:  # noqa: BLE001 - whatever MLflow raises, it is told once
            self.may_pass = isinstance(err, StoreError) and err.passing
            self.warn(reason(err, self._recorder.place))
            return False
        finally:
            if new := {key: value for key, value in self._recorder.ids.items() if key not in self._ids}:
                self._reply({"run_ids": new})
                self._ids |= new
        return True

    def warn(self, what: str) -> None:
        """Tell the first fault."""
        if not self._warned:
            self._reply({"warning": what})
        self._warned = True


def reason(err: Exception, place: ExperimentAddress) -> str:
    """One line on what went wrong and what to do."""
    if isinstance(err, StoreError):
        return str(err)
    first = next(iter(str(err).strip().splitlines()), "")[:200] or type(err).__name__
    if isinstance(err, ImportError):
        return f"it cannot be imported ({first}); {INSTALL} brings it"
    where = re.sub(r"//[^/@]*@", "//", place.uri)  # a password may stand before the @
    return f"{where} does not take the run ({first}); see to {'the store' if place.folder else 'MLFLOW_TRACKING_URI and its server'}"


def _take(recorder: Recorder, inbox: Inbox, seconds: float) -> _End | None:
    """Hand messages on for some seconds; returns the end as soon as it is told."""
    last = time.monotonic() + seconds
    while (left := last - time.monotonic()) > 0:
        try:
            message = inbox.get(timeout=left)
        except queue.Empty:
            return None
        if message is None:
            return _End(status="interrupted", time=time.time_ns() // 1_000_000, seconds=LAST_SECONDS)
        if "close" in message and "run" not in message:
            return _End(status=message["close"], time=message["time"], seconds=message["seconds"])
        _hand_on(recorder, message)
    return None


def _hand_on(recorder: Recorder, message: Message) -> None:
    if "open" in message:
        recorder.add_run(Job(**message["open"]))
        return
    run = recorder.runs[message["run"]]
    if "row" in message:
        run.add(message["epoch"], message["row"], message["time"])
    elif "table" in message:
        run.add_table(Path(message["table"]), message["before"], message["time"])
    elif "files" in message:
        run.add_files(message["files"])
    elif "tags" in message:
        run.add_tags(message["tags"], message["links"])
    elif "view" in message:
        run.add_view(View(**message["view"]))
    else:
        run.end(message["close"], message["time"])


def main() -> None:
    """Serve one training or search over standard input and output."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what MLflow prints is no answer of ours
    _stay_in_the_background()
    place = ExperimentAddress(**json.loads(sys.stdin.readline()))
    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, inbox), daemon=True).start()

    def reply(message: Message) -> None:
        with contextlib.suppress(OSError):  # the training is gone; what it sent is still written
            answers.write(json.dumps(message) + "\n")
            answers.flush()

    serve(Recorder(place), inbox, reply)


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
