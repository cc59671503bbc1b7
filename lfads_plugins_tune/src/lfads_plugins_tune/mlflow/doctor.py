"""What ``lfads doctor`` says about MLflow and Ray."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from lfads_core.doctor.finding import Finding, find_package
from lfads_plugins_tune.mlflow.store import URI_VARIABLE, Store, StoreError


def packages(_runs: Path) -> Iterator[Finding]:
    """MLflow and Ray."""
    yield find_package("mlflow", "track", "runs in MLflow")
    yield find_package("ray", "tune", "searches on Ray")


def store(runs: Path) -> Iterator[Finding]:
    """Whether MLflow's store can be reached, if MLflow is there."""
    if importlib.util.find_spec("mlflow") is None:
        return
    if uri := os.environ.get(URI_VARIABLE):
        yield _reached(uri)
        return
    here = Store(runs.resolve())
    if not here.exists:
        yield Finding(what="mlflow store", status="ok", text=f"none at {here.folder} yet; the first run makes it")
        return
    try:
        here.check(1.0)
    except StoreError as err:
        yield Finding(what="mlflow store", status="warn", text=str(err), remedy="runs go on without; `track.mlflow=false` leaves it out")
    else:
        yield Finding(what="mlflow store", status="ok", text=str(here.database))


def _reached(uri: str) -> Finding:
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"}:
        return Finding(what="mlflow store", status="ok", text=uri)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)), timeout=3):
            return Finding(what="mlflow store", status="ok", text=f"{uri} answers")
    except OSError as err:
        text = f"{uri} does not answer ({err.strerror or err})"
        return Finding(what="mlflow store", status="warn", text=text, remedy="start the server, or unset MLFLOW_TRACKING_URI")
