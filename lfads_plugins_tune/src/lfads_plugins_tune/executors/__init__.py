"""What carries out generations: executors of ``lfads_executors``, each imported when it is asked for, so that one needs only its own packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lfads_core.config.schema import RunConfig
from lfads_core.errors import ConfigError, PluginError
from lfads_core.plugins.registry import Registry
from lfads_core.wording import a
from lfads_plugins_tune.search.executor import AbstractExecutor
from lfads_plugins_tune.specs import ExecutorSpec

DEFAULT = "batched"


@dataclass(frozen=True, kw_only=True)
class ExecutorOptions:
    """What an executor is told beside settings and data; each takes what concerns it."""

    score: str = "valid/recon_smooth"  # column of the members' logs that is the score; with a leading '-' most wins
    folder: Path | None = None  # the search's own
    address: str | None = None  # of a Ray cluster; None starts one on this machine
    storage: str | None = None  # where recordings and members travel through; None: by folders that all machines see
    workers: int | None = None  # worker processes, or threads of one; None: as many as there is room for
    members_per_worker: int | None = None  # members that one batch or worker process holds; None: as many as there are
    cpus_per_worker: float | None = None
    gpus_per_worker: float | None = None


def make_executor(name: str, base: RunConfig, patterns: Sequence[str], registry: Registry, options: ExecutorOptions) -> AbstractExecutor:
    """Make the executor of this name.

    Raises:
        ConfigError: there is none, or it cannot be made here.
    """
    try:
        spec = registry.get(ExecutorSpec, name)
        return registry.blame(ExecutorSpec, name, lambda: _an_executor(spec.build(base, patterns, registry, options)))
    except PluginError as err:
        raise ConfigError(f"--executor: {err}") from err


def _an_executor(built: object) -> AbstractExecutor:
    if not isinstance(built, AbstractExecutor):
        raise TypeError(f"build must give an AbstractExecutor, got {a(type(built).__name__)}")
    return built
