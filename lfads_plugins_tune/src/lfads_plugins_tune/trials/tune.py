"""Members of a search as trials of Ray Tune: the folder of the search opens as an experiment, and callbacks made for Tune are called.

Tune runs nothing. What it would have written is written from what the driver hears, so that ``ExperimentAnalysis`` and ``ResultGrid`` of the
search's folder have every member: ``result.json``, ``progress.csv`` and ``params.json`` in the members' folders, and one
``experiment_state-*.json`` with Tune's own description of each trial.
"""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lfads_core.errors import ConfigError
from lfads_core.files import write_json, write_text
from lfads_core.plugins.record import imported
from lfads_core.track.fitlog import FitLog
from lfads_plugins_tune.jobs.on_ray import load_tune
from lfads_plugins_tune.mlflow.records import key_of
from lfads_plugins_tune.mlflow.settings import TrackConfig
from lfads_plugins_tune.search.history import Generation
from lfads_plugins_tune.search.starts import member_folder
from lfads_plugins_tune.search.state import Member, SearchState
from lfads_plugins_tune.search.table import numeric

log = logging.getLogger(__name__)

STATE = "experiment_state-lfads.json"
"""Tune takes the newest file that is called so."""


class TuneTrials:
    """Hears the driver. Whatever goes wrong is one warning; nothing raises.

    ``state`` gives the search as it is, with the hyperparameters in force.
    """

    def __init__(self, folder: Path, state: Callable[[], SearchState], callbacks: Sequence[Any]) -> None:
        tune, storage_of = load_tune()
        self.folder, self._state, self._callbacks = folder, state, callbacks
        self._next: dict[int, int] = {}  # member -> epoch that comes next
        self._began, self._warned = time.time(), False
        self._trials: dict[int, Any] = {}
        self._make, self._storage_of, self._key = tune.experiment.Trial, storage_of, str(key_of(folder, make=True))
        for member in state().members:
            self._trial(member)
        self._call("setup", stop=None, num_samples=len(self._trials), total_num_samples=len(self._trials))

    def log(self, member: int, epoch: int, row: Mapping[str, float]) -> None:
        """Take one epoch of one member."""
        self._guard(lambda: self._log(self._member(member), epoch, row))

    def generation(self, record: Generation) -> None:
        """Take a generation that is over."""
        self._guard(self._write)

    def close(self, status: str) -> None:
        """Say how each trial ended, and how all did."""
        for member, trial in self._trials.items():
            failed = status == "failed" or self._member(member).status in {"failed", "lost"}
            trial.set_status(trial.ERROR if failed else trial.TERMINATED if status == "finished" else trial.PAUSED)
            if status == "finished" or failed:
                self._call("on_trial_error" if failed else "on_trial_complete", self._place(trial))
        self._guard(self._write)
        self._call("on_experiment_end", trials=list(self._trials.values()))

    def _trial(self, member: Member) -> Any:
        """A member's trial; members may come later than others."""
        if member.member not in self._trials:
            path, name = self.folder.resolve(), member_folder(self.folder, member.member)
            trial = self._trials[member.member] = self._make(
                "lfads",
                config=dict(member.values),
                trial_id=f"{self._key[:5]}_{member.member:05d}",
                experiment_tag=name.name,
                stub=True,
                storage=self._storage_of(
                    storage_path=str(path.parent), experiment_dir_name=path.name, trial_dir_name=str(name.relative_to(self.folder))
                ),
            )
            trial.create_placement_group_factory()
        return self._trials[member.member]

    def _member(self, member: int) -> Member:
        return next(m for m in self._state().members if m.member == member)

    def _log(self, member: Member, epoch: int, row: Mapping[str, float]) -> None:
        trial, path = self._trial(member), member_folder(self.folder, member.member)
        results, table = path / "result.json", FitLog(path / "progress.csv")
        if self._next.get(member.member) != epoch:  # its first one here, or trained again
            if results.exists():
                lines = results.read_text(encoding="utf-8").splitlines()
                write_text(results, "".join(f"{line}\n" for line in lines if json.loads(line)["epoch"] < epoch))
            table.truncate(epoch)
        if member.member not in self._next:
            trial.set_status(trial.RUNNING)
            self._call("on_trial_start", self._place(trial))
        self._next[member.member] = epoch + 1
        if trial.config != member.values or not (path / "params.json").exists():
            trial.config = dict(member.values)
            write_json(path / "params.json", trial.config)
        result = {
            **row,
            "epoch": epoch,
            "training_iteration": epoch + 1,
            "trial_id": trial.trial_id,
            "timestamp": int(time.time()),
            "time_total_s": time.time() - self._began,
            "hostname": platform.node(),
            "done": False,
            "config": trial.config,
        }
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        config = {name.replace("hp/", "config/"): value for name, value in numeric(member.values).items()}
        table.append(epoch, {"training_iteration": epoch + 1, **row, **config})
        trial.update_last_result(result)
        self._call("on_trial_result", {**self._place(trial), "result": result})

    def _write(self) -> None:
        states = [trial.get_json_state() for trial in self._trials.values()]
        write_json(self.folder / STATE, {"trial_data": states, "runner_data": {}, "stats": {"start_time": self._began}})

    def _place(self, trial: Any) -> dict[str, Any]:
        return {"iteration": sum(self._next.values()), "trials": list(self._trials.values()), "trial": trial}

    def _call(self, hook: str, given: Mapping[str, Any] | None = None, **more: Any) -> None:
        for callback in self._callbacks:
            self._guard(lambda callback=callback: getattr(callback, hook)(**(given or {}), **more))  # type: ignore[misc]

    def _guard(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as err:  # noqa: BLE001 - what is for other tools never stops a search
            if not self._warned:
                log.warning("Ray Tune's files and callbacks: %s: %s; the search goes on.", type(err).__name__, err)
            self._warned = True


def open_trials(folder: Path, track: TrackConfig, state: Callable[[], SearchState]) -> TuneTrials | None:
    """Begin to write trials, if the settings want it. What cannot be begun is one warning.

    Raises:
        ConfigError: Ray is not installed, or a callback is none.
    """
    wanted = track.tune if track.tune is not None else state().executor == "ray" or bool(track.tune_callbacks)
    if not wanted:
        return None
    load_tune()
    callbacks = [_callback(name) for name in track.tune_callbacks]
    try:
        return TuneTrials(folder, state, callbacks)
    except Exception as err:  # noqa: BLE001 - parts of Tune that are not public move between versions
        log.warning("Ray Tune's files: could not be begun (%s: %s); the search goes on.", type(err).__name__, err)
        return None


def _callback(name: str) -> Any:
    try:
        made = imported(name)()
    except Exception as err:
        raise ConfigError(f"track.tune_callbacks: {name!r} must be 'module:Class' of a callback, made without arguments, got: {err}") from err
    if not isinstance(made, load_tune()[0].Callback):
        raise ConfigError(f"track.tune_callbacks: {name!r} must give a ray.tune.Callback, got {type(made).__name__}")
    return made
