"""LFADS as a framework: the model, the hooks that plugins use, training, inference and the ``lfads`` command.

``import lfads_core as lf``: a recording (:class:`Recording`, :func:`synthetic`), a run trained on it (:func:`run`) or opened (:func:`load`), a search
(:func:`search`), and an estimator after scikit-learn's rules (:class:`LFADS`). Importing this package loads no torch; these names do, once used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lfads_core.errors import ConfigError, DataError, LfadsError, NumericsError, PluginError, RunError

if TYPE_CHECKING:
    from lfads_core.front.recording import Recording, synthetic
    from lfads_core.front.run import load, run
    from lfads_core.front.search import SearchResult, search
    from lfads_core.front.trained import TrainedRun

    LFADS: type[Any]  # scikit-learn's estimator, which a package brings through lfads_functions

__all__ = [
    "LFADS",
    "ConfigError",
    "DataError",
    "LfadsError",
    "NumericsError",
    "PluginError",
    "Recording",
    "RunError",
    "SearchResult",
    "TrainedRun",
    "__version__",
    "load",
    "run",
    "search",
    "synthetic",
]
__version__ = "0.1.0"

_PLACES = {
    "Recording": "recording",
    "SearchResult": "search",
    "TrainedRun": "trained",
    "load": "run",
    "run": "run",
    "search": "search",
    "synthetic": "recording",
}
"""Public name -> module of the front door, imported when it is asked for."""


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name == "LFADS":
        from lfads_core.front.brought import brought
        from lfads_core.plugins.record import Imported

        found = brought("estimator")
        return found.load() if isinstance(found, Imported) else found
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.front.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
