"""MLflow's pages in the browser, served from the store of a folder of runs."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from lfads_core.errors import LfadsError, RunError
from lfads_core.processes import SAFE, own_python
from lfads_plugins_tune.mlflow.store import INSTALL, URI_VARIABLE, Store, StoreError, chosen_uri, store_of
from lfads_plugins_tune.mlflow.view import KEY, TAG, view_address

START_SECONDS = 120.0
"""How long the server may take to answer; some seconds are usual."""

_STOP_SECONDS = 10.0


@contextmanager
def serving(runs: Path, host: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server while the block runs; it answers when the block begins. A SIGTERM ends it as Ctrl-C does.

    Raises:
        LfadsError: MLflow is not installed, the port is taken, or the server does not start.
        RunError: the folder has no store, or one that cannot be used.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise LfadsError(f"lfads ui: MLflow must be installed, got none. Run: {INSTALL}")
    store = _usable(runs)
    _check_port(host, port)
    with tempfile.TemporaryDirectory() as folder, _ended_by_sigterm():
        said = Path(folder) / "said.txt"
        process = _start(store, host, port, said)
        try:
            _wait_until_it_answers(process, store, address(host, port), said)
            yield process
        finally:
            _stop(process)


def address(host: str, port: int) -> str:
    """What to type into a browser on this machine."""
    name = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - a test, not a binding
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def searches(runs: Path, url: str) -> dict[str, str]:
    """Addresses of the views that were prepared for searches, by the search's name, the newest first."""
    query = "select experiment_id, key, value from experiment_tags where key like ?"
    with closing(sqlite3.connect(store_of(runs).database)) as connection:
        try:
            found = [(json.loads(value), experiment, key) for experiment, key, value in connection.execute(query, [f"{TAG}{KEY}%"])]
        except (sqlite3.DatabaseError, ValueError):
            return {}
    found.sort(key=lambda item: -item[0]["createdAt"])
    return {view["name"]: view_address(url, str(experiment), key.removeprefix(TAG)) for view, experiment, key in found}


def _usable(runs: Path) -> Store:
    store = store_of(runs)
    if not store.exists:
        elsewhere = f" {URI_VARIABLE} is set, so runs are recorded at {chosen_uri()}: look there." if chosen_uri() else ""
        raise RunError(
            f"{runs}: must hold mlflow.db, which `lfads run` makes, got {'a folder without one' if runs.is_dir() else 'no such folder'}."
            f"{elsewhere or ' Train something first, or give the folder of your runs with --runs.'}"
        )
    try:
        store.check(seconds=5)
    except StoreError as err:
        raise RunError(f"lfads ui: the store must be usable, got: {err}.") from err
    return store


def _check_port(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server stopped a moment ago is no obstacle
            probe.bind(where)
    except OSError as err:
        raise LfadsError(
            f"lfads ui: {host}:{port} must be free to listen on, got: {err.strerror}. Choose another port, as in: lfads ui --port {port + 1}"
        ) from err


def _start(store: Store, host: str, port: int, said: Path) -> subprocess.Popen[bytes]:
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # jobs that judge language models: nothing of ours
    }
    environment = {name: value for name, value in os.environ.items() if name != URI_VARIABLE}
    places = ["--backend-store-uri", store.uri, "--default-artifact-root", store.artifacts.as_uri()]
    with said.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - MLflow in our own Python
            own_python("-m", "mlflow", "server", *places, "--host", host, "--port", str(port), "--workers", "1"),
            cwd=store.folder,
            env={**environment, **quiet, **SAFE},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _wait_until_it_answers(process: subprocess.Popen[bytes], store: Store, url: str, said: Path) -> None:
    ask = build_opener(ProxyHandler({}))  # never through a proxy: it is this machine
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with ask.open(f"{url}/health", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    last = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["nothing"]
    raise LfadsError(
        f"lfads ui: MLflow's server must answer within {START_SECONDS:.0f} s, got: {last[0][:300]}. "
        f"For all that it says, run: python -m mlflow server --backend-store-uri {store.uri}"
    )


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and its worker, which MLflow ends in turn."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
