"""MLflow as a tracker: hands everything to a process that writes it, and never waits for it before the end."""

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
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lfads_core.runs import Run
from lfads_core.track.job import Job
from lfads_core.track.names import flatten
from lfads_core.track.store import chosen_uri, store_of

log = logging.getLogger(__name__)

CLOSE_SECONDS = 60.0
"""How long the end of a run waits for what is still to be written."""


class MlflowTracker:
    """Fulfils :class:`~lfads_core.track.tracker.Tracker`. Whatever goes wrong is one warning; nothing raises or blocks.

    The store is the sqlite file beside the run, or the one that ``MLFLOW_TRACKING_URI`` names.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.run_id: str | None = None  # MLflow's own name of the run, once the store has given it
        self._outbox: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._closed = self._warned = False
        self._process = _start_writer()
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a process started with pipes must have them")
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._outbox.put(asdict(job))
        for work in (self._send, self._receive):
            threading.Thread(target=work, name="lfads-mlflow", daemon=True).start()

    @classmethod
    def start(cls, run: Run, params: Mapping[str, object], *, experiment: str, key: str, tags: Mapping[str, str] | None = None) -> MlflowTracker:
        """Begin to record a run, or go on with the one that has this ``key``, our own name for it.

        ``params`` are nested settings in plain data.

        Raises:
            StoreError: MLflow cannot use the folder.
            OSError: the writer process cannot be started.
        """
        store, uri = store_of(run.path.resolve().parent), chosen_uri()
        job = Job(
            uri=uri or store.uri,
            folder=None if uri else str(store.folder),
            experiment=experiment,
            run_name=run.name,
            key=key,
            started=_now(),
            params=flatten(params),
            tags={"lfads.path": str(run.path.resolve()), "mlflow.source.name": "lfads run", "mlflow.source.type": "LOCAL", **(tags or {})},
        )
        return cls(job)

    def log(self, epoch: int, row: Mapping[str, float]) -> None:
        """Send one epoch's numbers; they are written some seconds later."""
        self._outbox.put({"epoch": epoch, "row": {name: float(value) for name, value in row.items()}, "time": _now()})

    def artifacts(self, paths: Iterable[Path]) -> None:
        """Have files and folders copied into the store."""
        self._outbox.put({"files": [str(path.resolve()) for path in paths]})

    def close(self, status: str) -> None:
        """Have everything written, and wait for that, but not for ever."""
        if self._closed:
            return
        self._closed = True
        self._outbox.put({"close": status})
        if not self._ended.wait(CLOSE_SECONDS):
            self._process.kill()
            self._warn(f"{self.job.uri} took more than {CLOSE_SECONDS:.0f} s to store what was left of the run")

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
                self.run_id = answer.get("run_id", self.run_id)
                ended_well = ended_well or "closed" in answer
                if "warning" in answer:
                    self._warn(answer["warning"])
        code = self._process.wait()
        if not ended_well:
            self._warn(f"the process that writes to it ended with status {code}; see whether `python -c 'import mlflow'` works")
        self._outbox.put(None)
        self._ended.set()

    def _warn(self, what: str) -> None:
        if not self._warned:
            log.warning("MLflow: %s. The training goes on, and fitlog.csv keeps every epoch.", what)
        self._warned = True


def _start_writer() -> subprocess.Popen[str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)  # what can be imported here can be imported there
    return subprocess.Popen(
        [sys.executable, "-m", "lfads_core.track.writer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C is for the training, which then closes us
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
