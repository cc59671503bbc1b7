"""Jobs as actors of Ray, each with its share of a node's CPUs and GPUs; the only module that imports Ray."""

from __future__ import annotations

import importlib
import os
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lfads_core.errors import ConfigError

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves the machine
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker without GPU sees none
    "RAY_worker_niceness": "0",  # the other executors are not nice either
}
"""What Ray is told where the user has not said otherwise."""


class RayJob:
    """A call of a function in a process of its own, on whatever node has room; the process lasts as long as the call.

    ``function`` must be importable on the nodes. It waits until there is room; it is not begun again when its process or node dies.
    """

    def __init__(self, ray: Any, name: str, function: Callable[..., object], arguments: tuple[object, ...], resources: tuple[float, float]) -> None:
        self.fault = "the process died"  # why it ended otherwise than well
        self._ray = ray
        cpus, gpus = resources
        self._actor = ray.remote(WorkerProcess).options(name=name, num_cpus=cpus, num_gpus=gpus, max_restarts=0).remote()
        self._begun = self._actor.begun.remote()
        self._call = self._actor.run.remote(function, *arguments)

    def waits(self) -> bool:
        """Whether no node has had room for it yet."""
        return not self._ray.wait([self._begun], timeout=0)[0]

    def code(self) -> int | None:
        """See :class:`~lfads_plugins_tune.jobs.running.Job`."""
        if not self._ray.wait([self._call], timeout=0)[0]:
            return None
        try:
            self._ray.get(self._call)
        except Exception as err:  # noqa: BLE001 - whatever the function raised, or Ray in its place
            self.fault = last_line(err)
            return 1
        return 0

    def ask(self) -> None:
        """Nothing: who gave it work tells it that there is no more."""

    def end(self) -> None:
        """Kill the process."""
        with suppress(Exception):  # it may be dead already, or never have lived
            self._ray.kill(self._actor)


class WorkerProcess:
    """What Ray runs; its name stands in lists of processes."""

    def begun(self) -> None:
        """Answer."""

    def run(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function.

        A SIGTERM ends the process at once, as the loss of its node does. Ray would raise SystemExit in whatever runs, and a member whose
        component raises one has failed.
        """
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
        function(*arguments)


def last_line(err: object) -> str:
    """The last line that something says: Ray's errors hold whole tracebacks."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return lines[-1] if lines else type(err).__name__


def load_ray() -> Any:
    """Import Ray; what it would say or send unasked is switched off.

    Raises:
        ConfigError: it is not installed.
    """
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    try:
        with warnings.catch_warnings(action="ignore"):
            import ray
    except ImportError as err:
        raise ConfigError(
            '--executor ray: needs Ray, which is not installed. Run `pip install "lfads-core[tune]"`, or use another executor.'
        ) from err
    return ray


def load_tune() -> tuple[Any, Any]:
    """Ray Tune, for its trials and callbacks, and the class that says where a trial's files are."""
    load_ray()
    return importlib.import_module("ray.tune"), importlib.import_module("ray.train._internal.storage").StorageContext
