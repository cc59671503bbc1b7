"""LFADS as a framework: the model, the hooks that plugins use, training, inference and the ``lfads`` command.

Importing this package loads no torch; :func:`load` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfads_core.errors import ConfigError, DataError, LfadsError, NumericsError, PluginError, RunError

if TYPE_CHECKING:
    from lfads_core.infer.loading import LoadedRun

__all__ = ["ConfigError", "DataError", "LfadsError", "NumericsError", "PluginError", "RunError", "__version__", "load"]
__version__ = "0.1.0"


def load(path: str | Path, checkpoint: str | None = None, *, device: str = "cpu") -> LoadedRun:
    """Load a run's trained model, settings, outputs and log from its folder.

    ``checkpoint`` is ``best``, ``last`` or an epoch that was kept, ``epoch-12``; None takes the one the run's settings
    name. See :class:`lfads_core.infer.loading.LoadedRun`.

    Raises:
        RunError: the folder is no run, or its checkpoint is missing or damaged.
        ConfigError: its settings cannot be read by this version.
        PluginError: a component's package is not installed.
    """
    from lfads_core.infer.loading import load as load_run

    return load_run(path, checkpoint, device=device)
