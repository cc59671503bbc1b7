"""Machines of a Ray cluster as people start them, with `ray start`; nodes that see neither the driver's folders nor one another's."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ray_searches import MARK, Searches, all_gone, marked


class Machine:
    """A user with a home folder of their own, who starts clusters and searches; nothing of Ray is set in the environment."""

    def __init__(self, folder: Path) -> None:
        self.home, self.mark = folder / "home", uuid.uuid4().hex
        self.home.mkdir()
        self.nodes: list[str] = []
        self.searches = Searches(folder)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.searches.environment = {
            **kept,
            "HOME": str(self.home),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": self.searches.environment["PYTHONPATH"],
        }

    def ray(self, *arguments: str, **more: str) -> str:
        environment = self.searches.environment | {MARK: self.mark, "RAY_worker_niceness": "0", **more}
        command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def head(self, cpus: int = 1) -> str:
        """Start a head; returns its address."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        self.ray("start", "--head", f"--port={port}", *self.small(cpus))
        return f"127.0.0.1:{port}"

    def small(self, cpus: int = 1) -> list[str]:
        return [f"--num-cpus={cpus}", "--object-store-memory=80000000", "--disable-usage-stats"]

    def stop(self) -> None:
        for mark in (self.mark, *self.nodes):
            self.kill(mark)

    def has_token(self) -> bool:
        return (self.home / ".ray" / "auth_token").exists()

    def node(self, address: str, *, cpus: int, hidden: Sequence[Path] = ()) -> str:
        """Start a node that sees none of the ``hidden`` folders, but empty ones of its own in their place; returns its mark."""
        mark = uuid.uuid4().hex
        environment = self.searches.environment | {MARK: mark, "RAY_worker_niceness": "0", "TMPDIR": str(hidden[0]) if hidden else "/tmp"}
        mounts = "".join(f"mount -t tmpfs none {shlex.quote(str(folder))} && " for folder in hidden)
        start = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", f"--address={address}", f"--num-cpus={cpus}"]
        command = [*start, *self.small()[1:]]
        alone = ["unshare", "--map-root-user", "--mount", "sh", "-c", f"{mounts}exec {shlex.join(command)}"]
        done = subprocess.run(alone, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        self.nodes.append(mark)
        return mark

    def kill(self, mark: str) -> None:
        """End a node as a loss of power does."""
        for number in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        assert all_gone(mark) == {}


def can_hide_folders() -> bool:
    """Whether a process of ours may mount something that others do not see."""
    tried = ["unshare", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"]
    return shutil.which("unshare") is not None and subprocess.run(tried, capture_output=True, check=False).returncode == 0
