"""Python processes of our own, which import nothing from the folder they happen to be started in."""

from __future__ import annotations

import sys

SAFE = {"PYTHONSAFEPATH": "1"}
"""Environment that holds for what a process starts in turn, such as the workers of MLflow's server."""


def own_python(*words: str) -> list[str]:
    """The command of this Python with ``words``; a ``mlflow.py`` in the current folder or among the runs is not taken for MLflow (``-P``)."""
    return [sys.executable, "-P", *words]
