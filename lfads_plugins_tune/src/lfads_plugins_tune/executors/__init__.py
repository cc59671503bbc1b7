"""What carries out generations, by name; each is imported when it is asked for, so that one needs only its own packages."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from lfads_core.config.schema import RunConfig
from lfads_core.errors import ConfigError
from lfads_core.plugins.registry import Registry
from lfads_core.wording import listed
from lfads_plugins_tune.search.executor import AbstractExecutor

EXECUTORS: Mapping[str, str] = {
    "serial": "lfads_plugins_tune.executors.serial:SerialExecutor",
    "batched": "lfads_plugins_tune.executors.batched:BatchedExecutor",
    "ray": "lfads_plugins_tune.executors.ray:RayExecutor",
}
"""Name -> where its class is. Each is made as ``Class(base, patterns, registry, options)``."""

DEFAULT = "batched"


@dataclass(frozen=True, kw_only=True)
class ExecutorOptions:
    """What an executor is told beside settings and data; each takes what concerns it."""

    score: str = "valid/recon_smooth"  # column of the members' logs that is the score; with a leading '-' most wins
    folder: Path | None = None  # the search's own
    address: str | None = None  # of a Ray cluster; None starts one on this machine
    workers: int | None = None  # worker processes, or threads of one; None: as many as there is room for
    members_per_worker: int | None = None  # members that one batch or worker process holds; None: as many as there are
    cpus_per_worker: float | None = None
    gpus_per_worker: float | None = None


def make_executor(name: str, base: RunConfig, patterns: Sequence[str], registry: Registry, options: ExecutorOptions) -> AbstractExecutor:
    """Make the executor of this name.

    Raises:
        ConfigError: there is none, or it cannot be imported here.
    """
    if name not in EXECUTORS:
        raise ConfigError(f"--executor: must be {listed(EXECUTORS)}, got {name!r}.")
    module, _, cls = EXECUTORS[name].partition(":")
    try:
        made = getattr(importlib.import_module(module), cls)(base, patterns, registry, options)
    except ImportError as err:
        raise ConfigError(
            f"--executor: {name!r} must be importable here, got: {err}. Use another, such as serial, or install what is missing."
        ) from err
    return cast("AbstractExecutor", made)
