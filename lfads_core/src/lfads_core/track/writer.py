"""The process that writes a run to MLflow, beside the training: ``python -m lfads_core.track.writer``.

MLflow takes seconds to import and to make its database, waits for a lock or a dead server without asking, and prints what it
likes. In a process of its own none of that reaches the training, and a training that dies leaves a run that is closed properly:
the end of standard input says so. Input and output are lines of JSON: first a :class:`~lfads_core.track.job.Job`, then messages.
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
from typing import Any, TextIO

from lfads_core.track.job import Job
from lfads_core.track.recorder import Recorder
from lfads_core.track.store import INSTALL, StoreError

PERIOD = 2.0
"""Seconds between two writes, so that a training of many short epochs writes them together."""

LONGEST_PERIOD = 60.0
"""Seconds between two attempts once several in a row have failed."""

Message = Mapping[str, Any]
Inbox = queue.SimpleQueue[Message | None]


def serve(recorder: Recorder, inbox: Inbox, reply: Callable[[Message], None], *, period: float = PERIOD) -> None:
    """Record until told to close, or until ``None`` says that the training is gone. Tells the first fault, and goes on trying."""
    wait, told, announced = period, False, False
    status: str | None = None
    while True:
        try:
            recorder.write() if status is None else recorder.finish(status)
            wait = period
        except Exception as err:  # noqa: BLE001 - whatever MLflow raises, it is told once
            wait = min(2 * wait, LONGEST_PERIOD)
            if not told:
                reply({"warning": reason(err, recorder.job)})
            told = True
        if recorder.run_id is not None and not announced:
            reply({"run_id": recorder.run_id})
            announced = True
        if status is not None:
            reply({"closed": True})
            return
        status = _take(recorder, inbox, wait)


def reason(err: Exception, job: Job) -> str:
    """One line on what went wrong and what to do."""
    if isinstance(err, StoreError):
        return str(err)
    first = next(iter(str(err).strip().splitlines()), "")[:200] or type(err).__name__
    if isinstance(err, ImportError):
        return f"it cannot be imported ({first}); {INSTALL} brings it"
    where = re.sub(r"//[^/@]*@", "//", job.uri)  # a password may stand before the @
    return f"{where} does not take the run ({first}); see to {'the store' if job.folder else 'MLFLOW_TRACKING_URI and its server'}"


def _take(recorder: Recorder, inbox: Inbox, seconds: float) -> str | None:
    """Collect messages for some seconds; returns the status as soon as the run is over."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            message = inbox.get(timeout=left)
        except queue.Empty:
            return None
        if message is None:
            return "interrupted"
        if "row" in message:
            recorder.add(message["epoch"], message["row"], message["time"])
        elif "files" in message:
            recorder.add_files(message["files"])
        else:
            return str(message["close"])
    return None


def main() -> None:
    """Serve one training over standard input and output."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what MLflow prints is no answer of ours
    _stay_in_the_background()
    job = Job(**json.loads(sys.stdin.readline()))
    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, inbox), daemon=True).start()

    def reply(message: Message) -> None:
        with contextlib.suppress(OSError):  # the training is gone; what it sent is still written
            answers.write(json.dumps(message) + "\n")
            answers.flush()

    serve(Recorder(job), inbox, reply)


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
