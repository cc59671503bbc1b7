"""Our end of the process that writes to MLflow: hands everything on, and never waits for it before the end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lfads_core.processes import SAFE, own_python
from lfads_plugins_tune.mlflow.job import ExperimentAddress, Job
from lfads_plugins_tune.mlflow.store import chosen_uri, store_of
from lfads_plugins_tune.mlflow.view import View

log = logging.getLogger(__name__)

MOST_MESSAGES = 20_000
"""Rows that wait for a writer that takes none; more are left out. It reads at once what it is sent, unless the machine is worn out."""


class WriterProcess:
    """Sends messages to :mod:`lfads_plugins_tune.mlflow.writer`. Whatever goes wrong is one warning; nothing raises or blocks.

    ``what`` goes on all the same, says the warning: the training, the search.
    """

    def __init__(self, place: ExperimentAddress, what: str) -> None:
        self.place, self.what = place, what
        self.run_ids: dict[str, str] = {}  # MLflow's names of the runs by ours, once the store has given them
        self._outbox: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._closed = self._warned = False
        self._clock = _MessageClock()
        self._process = _start_writer()
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a process started with pipes must have them")
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._outbox.put(asdict(place))
        for work in (self._send, self._receive):
            threading.Thread(target=work, name="lfads-mlflow", daemon=True).start()

    @property
    def started(self) -> int:
        """When recording began, in milliseconds since 1970."""
        return self._clock.began

    def open(self, job: Job) -> None:
        """Begin a run, or go on with the one of this key."""
        self._outbox.put({"open": asdict(job)})

    def log(self, key: str, epoch: int, row: Mapping[str, float]) -> None:
        """Send one epoch's numbers; they are written some seconds later."""
        if self._outbox.qsize() > MOST_MESSAGES:
            self.warn("the process that writes to it takes nothing more, and epochs are left out; see how busy the machine is")
            return
        self._outbox.put({"run": key, "epoch": epoch, "row": {name: float(value) for name, value in row.items()}, "time": self._clock()})

    def refill(self, key: str, fitlog: Path, before: int) -> None:
        """Have the epochs before one, of which the table knows, written unless the store has them."""
        self._outbox.put({"run": key, "table": str(fitlog.resolve()), "before": before, "time": self._clock()})

    def artifacts(self, key: str, paths: list[Path]) -> None:
        """Have files and folders copied into the store."""
        self._outbox.put({"run": key, "files": [str(path.resolve()) for path in paths]})

    def tags(self, key: str, tags: Mapping[str, str], links: Mapping[str, str] | None = None) -> None:
        """Set tags; those in ``links`` get MLflow's id of the run whose key they name."""
        self._outbox.put({"run": key, "tags": dict(tags), "links": dict(links or {})})

    def view(self, key: str, view: View) -> None:
        """Prepare a view of MLflow's pages, in which this run shows its members."""
        self._outbox.put({"run": key, "view": asdict(view)})

    def end(self, key: str, status: str) -> None:
        """Give one run its final status, before the others."""
        self._outbox.put({"run": key, "close": status, "time": self._clock()})

    def close(self, status: str, *, seconds: float, patience: float) -> None:
        """Have everything written, and wait for that, but not for ever.

        Waits ``seconds`` at most, of which ``patience`` are spent on a store that is locked.
        """
        if self._closed:
            return
        self._closed = True
        self._outbox.put({"close": status, "time": self._clock(), "seconds": patience})
        if not self._ended.wait(seconds):
            self._process.kill()
            self.warn(f"{self.place.uri} took more than {seconds:.0f} s to store what was left of the {self.what}")

    def warn(self, fault: str) -> None:
        """Say what is wrong, once."""
        if not self._warned:
            log.warning("MLflow: %s. The %s goes on, and fitlog.csv keeps every epoch.", fault, self.what)
        self._warned = True

    def _send(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the writer is gone: _receive says so
            while (message := self._outbox.get()) is not None:
                self._requests.write(json.dumps(message) + "\n")
                self._requests.flush()
        with contextlib.suppress(OSError, ValueError):
            self._requests.close()

    def _receive(self) -> None:
        ended_well = False
        with self._answers:
            for line in self._answers:
                answer = json.loads(line)
                self.run_ids |= answer.get("run_ids", {})
                ended_well = ended_well or "closed" in answer
                if "warning" in answer:
                    self.warn(answer["warning"])
        code = self._process.wait()
        if not ended_well:
            self.warn(f"the process that writes to it ended with status {code}; see whether `python -c 'import mlflow'` works")
        self._outbox.put(None)
        self._ended.set()


def place_for(runs: Path, experiment: str) -> ExperimentAddress:
    """Where the runs of a folder are recorded: in the sqlite file beside them, or where ``MLFLOW_TRACKING_URI`` says.

    Raises:
        StoreError: MLflow cannot use the folder.
    """
    store, uri = store_of(runs), chosen_uri()
    return ExperimentAddress(uri=uri or store.uri, folder=None if uri else str(store.folder), experiment=experiment)


class _MessageClock:
    """Milliseconds since 1970 that never jump: the time at the start, and how long ago that is."""

    def __init__(self) -> None:
        self.began = time.time_ns() // 1_000_000
        self._monotonic = time.monotonic()

    def __call__(self) -> int:
        return self.began + round(1000 * (time.monotonic() - self._monotonic))


def _start_writer() -> subprocess.Popen[str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)  # what can be imported here can be imported there
    return subprocess.Popen(  # noqa: S603 - our own module
        own_python("-m", "lfads_plugins_tune.mlflow.writer"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env={**os.environ, **SAFE, "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C is for the training, which then closes us
    )
