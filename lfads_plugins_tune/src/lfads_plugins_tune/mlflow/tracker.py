"""MLflow as a tracker: our end of the process that follows a folder into MLflow."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lfads_core.config.schema import RunConfig
from lfads_core.errors import LfadsError, RunError
from lfads_core.locks import is_locked, only_one
from lfads_core.processes import SAFE, own_python
from lfads_core.runs import Run
from lfads_plugins_tune.mlflow.records import is_search, key_of, settings_of
from lfads_plugins_tune.mlflow.settings import TrackConfig, track_of
from lfads_plugins_tune.mlflow.store import INSTALL, URI_VARIABLE, ExperimentAddress, Store, place_for

log = logging.getLogger(__name__)

PATIENCE = {"training": 15.0, "search": 90.0}
"""Seconds that the end of each waits for a store that is locked or away."""

LATER = 5.0
"""The same when something is written afterwards."""

MORE = 45.0
"""Seconds that writing what is left may take besides."""


class MlflowTracker:
    """Fulfils :class:`~lfads_core.track.tracker.Tracker`, and has MLflow follow what stands in the folder.

    Whatever goes wrong is one warning, and another one at the end if something is missing; nothing raises or blocks. ``what`` goes on
    all the same, says the warning; None says nothing, and leaves it to who asks.
    """

    def __init__(self, folder: Path, experiment: str, what: str | None) -> None:
        self.folder, self.what = folder, what
        self.place = place_for(folder.resolve().parent, experiment)
        self.run_ids: dict[str, str] = {}  # MLflow's names of the runs by ours, once the store has given them
        self.fault = ""  # the first one
        self.last: Mapping[str, Any] = {"missing": f"the rest of {folder.resolve().name}"}  # what the process says at its end
        self._ended, self._closed = threading.Event(), False
        key = key_of(folder, make=True)
        self._process = _start_follower()
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a process started with pipes must have them")
        self._requests, self._answers = self._process.stdin, self._process.stdout
        # what is written afterwards has ended; those that the files call running, though nobody is at work on them, were interrupted
        end = {} if what is not None else {"end": {"close": "interrupted", "seconds": LATER}}
        self._tell(place=asdict(self.place), folder=str(folder.resolve()), key=key, began=time.time_ns() // 1_000_000, **end)
        threading.Thread(target=self._receive, name="lfads-mlflow", daemon=True).start()

    def log(self, epoch: int, row: Mapping[str, float]) -> None:
        """Nothing: ``fitlog.csv`` has it."""

    def artifacts(self, paths: Iterable[Path]) -> None:
        """Nothing: they stand in the folder."""

    def close(self, status: str) -> None:
        """Have everything written, and wait for that, but not for ever; a store that is locked or away is waited for."""
        if self._closed:
            return
        self._closed = True
        patience = LATER if self.what is None else PATIENCE[self.what]
        self._tell(close=status, seconds=patience)
        if not self._ended.wait(patience + MORE):
            self.warn(f"{self.place.shown} took more than {patience + MORE:.0f} s to store what was left")
            self._process.kill()
            self._ended.wait()
        with contextlib.suppress(OSError):
            self._requests.close()
        if self.what is not None and self.last["missing"]:
            log.warning("MLflow lacks %s. Once it can be written to again: %s", self.last["missing"], self.repair)

    @property
    def repair(self) -> str:
        """The command that writes what is missing."""
        setting = f"{URI_VARIABLE}={shlex.quote(self.place.shown)} " if self.place.folder is None else ""
        return f"{setting}lfads ui --sync {shlex.quote(str(self.folder))}"

    def warn(self, fault: str) -> None:
        """Say what is wrong, once."""
        if self.what is not None and not self.fault:
            log.warning("MLflow: %s. The %s goes on, and fitlog.csv keeps every epoch.", fault, self.what)
        self.fault = self.fault or fault

    def _tell(self, **message: Any) -> None:
        with contextlib.suppress(OSError, ValueError):  # the process is gone: _receive says so
            self._requests.write(json.dumps(message) + "\n")
            self._requests.flush()

    def _receive(self) -> None:
        with self._answers:
            for line in self._answers:
                answer = json.loads(line)
                self.run_ids |= answer.get("run_ids", {})
                if "warning" in answer:
                    self.warn(answer["warning"])
                if "closed" in answer:
                    self.last = answer
        code = self._process.wait()
        if "closed" not in self.last:
            self.warn(f"the process that writes to it ended with status {code}; see whether `python -c 'import mlflow'` works")
        self._ended.set()


def open_tracker(run: Run, config: RunConfig, first_epoch: int) -> MlflowTracker | None:
    """Record a run, or go on with it, if the settings want it and MLflow is installed; for ``lfads_trackers``."""
    return open_for(run.path, track_of(config), "training")


def open_for(folder: Path, track: TrackConfig, what: str) -> MlflowTracker | None:
    """The same for any folder. Never raises."""
    if not track.mlflow:
        return None
    if importlib.util.find_spec("mlflow") is None:
        log.info("not recorded in MLflow, which is not installed: %s brings it", INSTALL)
        return None
    try:
        return MlflowTracker(folder, track.experiment, what)
    except Exception as err:  # noqa: BLE001 - tracking never stops a training
        log.warning("MLflow: could not be written (%s); the %s goes on.", err, what)
        return None


def record_evaluation(run: Run, numbers: Mapping[str, float], files: Iterable[Path]) -> bool:
    """Keep an evaluation's numbers in ``run.json``, and bring MLflow up to it if it has the run; whether that was done. Never raises."""
    try:
        state = run.read_state()
        run.update_state(evaluated={"numbers": dict(numbers), "files": [str(path.resolve()) for path in files]})
        folder = run.path.parent if "search" in state and is_search(run.path.parent) else run.path
        if key_of(folder, make=False) is None or importlib.util.find_spec("mlflow") is None or is_locked(folder):
            return False  # never recorded, or somebody is at work on it, and will
        place = _place_of(folder)
        if place.folder is not None and not Store(Path(place.folder)).exists:
            return False
        written = _written(folder)
    except Exception as err:  # noqa: BLE001 - a record costs nobody the numbers themselves
        log.warning("MLflow: the evaluation could not be added (%s); evaluation.json has it.", str(err).splitlines()[0])
        return False
    if written.last["missing"]:
        log.warning("MLflow: the evaluation could not be added (%s); evaluation.json has it. Later: %s", written.fault, written.repair)
    return not written.last["missing"]


def sync(folder: Path) -> MlflowTracker:
    """Write what MLflow lacks of a run or a search that nobody is at work on; neither trains nor infers.

    Raises:
        LfadsError: MLflow is not installed.
        RunError: it is neither, somebody is at work on it, or it could not be written.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise LfadsError(f"lfads ui: MLflow must be installed, got none. Run: {INSTALL}")
    if not is_search(folder):
        Run.open(folder)
    with only_one(folder):
        written = _written(folder)
    if written.last["missing"]:
        raise RunError(f"{folder}: must be written to MLflow, got: {written.fault}. Mend it, then: {written.repair}")
    return written


def _written(folder: Path) -> MlflowTracker:
    tracker = MlflowTracker(folder, _place_of(folder).experiment, None)
    tracker.close("interrupted")
    return tracker


def _place_of(folder: Path) -> ExperimentAddress:
    return place_for(folder.resolve().parent, str((settings_of(folder).get("track") or {}).get("experiment", "lfads")))


def _start_follower() -> subprocess.Popen[str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)  # what can be imported here can be imported there
    return subprocess.Popen(  # noqa: S603 - our own module
        own_python("-m", "lfads_plugins_tune.mlflow.follower"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env={**os.environ, **SAFE, "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C is for the training, which then closes us
    )
