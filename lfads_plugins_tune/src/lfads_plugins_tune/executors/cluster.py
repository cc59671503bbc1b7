"""A connection to Ray: to a cluster that is there, or to one of our own on this machine. Ray itself is handed in."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lfads_core.errors import ConfigError, RunError
from lfads_plugins_tune.executors import reaper
from lfads_plugins_tune.jobs.on_ray import last_line

STORE = 80 * 2**20
"""Bytes of Ray's object store in a cluster of our own: about the least it takes, for members travel by file."""


REACH = 5.0
"""Seconds in which a cluster must answer at all; Ray itself would try for a quarter of an hour."""

_MODE, _TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"


class Cluster:
    """The cluster at ``address``, the one this process is connected to already, or one of our own, which ends with us.

    Raises:
        ConfigError, RunError: there is no cluster at that address.
    """

    def __init__(self, ray: Any, address: str | None) -> None:
        said, address = ("--address ", address) if address else ("RAY_ADDRESS=", os.environ.get("RAY_ADDRESS") or "local")
        where = said + address
        if "://" in address:
            raise ConfigError(
                f"{said.rstrip(' =')}: must be HOST:PORT or auto, got {address!r}. Start the search on a machine of the cluster, "
                "which sees the same files as its nodes."
            )
        self.ray = ray
        self._found = bool(ray.is_initialized())
        self.local = address == "local" and not self._found
        self._reaper: subprocess.Popen[bytes] | None = None
        if self._found:
            return
        try:
            with _signals_kept(), warnings.catch_warnings(action="ignore"):
                if self.local:
                    self._start()
                else:
                    _must_answer(address, where)
                    self._connect(address)
        except (ConnectionError, RuntimeError, ValueError, OSError) as err:
            self.leave()
            at = "--executor ray" if self.local else where
            hint = "" if self.local else _IF_IT_ASKS
            raise RunError(f"{at}: a Ray cluster must be there, got: {last_line(err)} Look with `ray status`.{hint}") from err
        except BaseException:
            self.leave()
            raise
        _silence(ray)

    def nodes(self) -> list[Mapping[str, float]]:
        """The resources of each node that is there."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def leave(self) -> None:
        """Let go of the cluster; one of our own ends, and nothing of it stays."""
        if self._found:
            return
        with _signals_kept():
            self.ray.shutdown()
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._reaper.wait(20.0)

    def _connect(self, address: str) -> None:
        """Without a token, then with the one that is there, unless the user says which: a cluster without tokens lets nobody work who brings one."""
        said = os.environ.get(_MODE)
        modes = [said] if said is not None else ["disabled", *(["token"] if _has_token() else [])]
        for mode in modes:
            os.environ[_MODE] = mode
            _read_mode_anew()
            try:
                self.ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
            except ConnectionError:
                self.ray.shutdown()
                if mode == modes[-1]:
                    if said is None:
                        del os.environ[_MODE]
                    raise
            else:
                return

    def _start(self) -> None:
        folder, mark = tempfile.mkdtemp(prefix="lfads-ray-"), uuid.uuid4().hex
        # In a session of its own: neither Ctrl-C nor a kill of the driver's process group reaches it.
        command = [sys.executable, "-I", "-S", reaper.__file__, folder, mark]
        self._reaper = subprocess.Popen(  # noqa: S603 - our own file
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=folder
        )
        # A token of its own: Ray would write one into the home folder, for which every later cluster of this user would ask.
        ours = {reaper.VARIABLE: mark, **({} if _MODE in os.environ else {_MODE: "token", _TOKEN: uuid.uuid4().hex * 2})}
        os.environ.update(ours)
        _read_mode_anew()
        try:
            self.ray.init(
                address="local",
                num_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
                object_store_memory=STORE,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                _temp_dir=folder,
            )
        finally:
            for name in ours:
                del os.environ[name]


_IF_IT_ASKS = " If it asks for a token, set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what `ray get-auth-token` says on its head."


def _must_answer(address: str, where: str) -> None:
    """Find out in seconds whether there is anything at all at an address, or where this machine's last cluster was."""
    if address == "auto":
        named = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"
        address = os.environ.get("RAY_ADDRESS") or (named.read_text(encoding="utf-8").strip() if named.is_file() else "")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return  # Ray itself says what is wrong with it
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except OSError as err:
        raise RunError(
            f"{where}: a Ray cluster must be there, but {host}:{port} does not answer ({err.strerror or err}). "
            "Start it, or give another address; without any, and without RAY_ADDRESS, one is started on this machine."
        ) from err


def _has_token() -> bool:
    return bool(os.environ.get(_TOKEN) or os.environ.get("RAY_AUTH_TOKEN_PATH")) or (Path.home() / ".ray" / "auth_token").is_file()


def _read_mode_anew() -> None:
    """Ray reads the environment when it is imported. Where this moves in another version, only what is set before counts."""
    with suppress(ImportError, AttributeError):
        raylet: Any = importlib.import_module("ray._raylet")
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray puts handlers of its own in place; ours decide what Ctrl-C and SIGTERM mean."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _silence(ray: Any) -> None:
    """Deaths of workers are expected, and told where they matter; Ray would print a paragraph about each."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # Nothing public switches this off. Where it moves in another version, the paragraphs are back, and nothing worse happens.
    module = getattr(getattr(ray, "_private", None), "worker", None)
    if module is not None and hasattr(module, "print_to_stdstream"):
        module.print_to_stdstream = lambda *_, **__: None
