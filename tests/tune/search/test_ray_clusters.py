"""Clusters as people start them, with `ray start`: tokens, addresses that are stale, bounds on workers, and no room."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from ray_searches import MARK, Searches, all_gone, marked, wait_for

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'lfads-core[tune]'"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found by /proc"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


class Machine:
    """A user with a home folder of their own, who starts clusters and searches; nothing of Ray is set in the environment."""

    def __init__(self, folder: Path) -> None:
        self.home, self.mark = folder / "home", uuid.uuid4().hex
        self.home.mkdir()
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

    def head(self) -> str:
        """Start a head with one CPU; returns its address."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        self.ray("start", "--head", f"--port={port}", *self.small())
        return f"127.0.0.1:{port}"

    def small(self) -> list[str]:
        return ["--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats"]

    def stop(self) -> None:
        for number in marked(self.mark):
            os.kill(number, signal.SIGKILL)
        assert all_gone(self.mark) == {}

    def has_token(self) -> bool:
        return (self.home / ".ray" / "auth_token").exists()


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    yield made
    made.searches.close()
    made.stop()


def test_a_search_of_our_own_leaves_no_token_behind_and_disturbs_no_later_cluster(machine):
    code, output = machine.searches.finish(*machine.searches.pbt("own", "--epochs", "6", "--workers", "1"))
    assert code == 0, output
    assert not machine.has_token()
    address = machine.head()
    code, output = machine.searches.finish(*machine.searches.pbt("there", "--epochs", "6", "--address", address))
    assert code == 0, output
    machine.stop()
    name = "RAY_ADDRESS"
    machine.searches.environment[name] = address
    began = time.monotonic()
    code, output = machine.searches.finish(*machine.searches.pbt("stale", executor="ray"))
    assert code == 2
    assert re.search(rf"{name}={address}: a Ray cluster must be there, but {address} does not answer \(Connection refused\)", output), output
    assert time.monotonic() - began < 120  # of which the connection takes none
    assert not (machine.searches.folder / "runs" / "stale").exists()


def test_a_cluster_of_two_nodes_that_asks_for_a_token_is_used_with_as_many_workers_as_were_wanted(machine):
    machine.ray("get-auth-token", "--generate")
    assert machine.has_token()
    address = machine.head()
    machine.ray("start", f"--address={address}", *machine.small(), RAY_AUTH_MODE="token")
    slowed = ("--plugin", "fragile", "--set", "components.train_augmentations.1.seconds=0.05")
    started = machine.searches.pbt("token", "--epochs", "6", "--address", address, "--workers", "1", "--per-worker", "1", *slowed)
    most = 0
    while started[0].poll() is None:
        most = max(most, sum(command.startswith("ray::WorkerProcess") for command in marked(machine.mark).values()))
        time.sleep(0.2)
    code, output = machine.searches.finish(*started)
    assert code == 0, output
    assert most == 1  # where there is room for two
    machine.searches.environment["RAY_AUTH_MODE"] = "disabled"
    code, output = machine.searches.finish(*machine.searches.pbt("without", "--address", address))
    assert code == 2
    assert "If it asks for a token, set RAY_AUTH_MODE=token" in output
    assert not (machine.searches.folder / "runs" / "without").exists()


def test_a_search_that_finds_no_room_says_so_and_names_no_time_left(machine):
    address = machine.head()
    process, mark = machine.searches.pbt("full", "--address", address, "--cpus", "2")
    output: list[str] = []
    for line in process.stdout:
        output.append(line)
        if "found room" in line:
            break
    assert output[-1].strip().endswith("no worker has found room on the cluster yet: 1 wait for 2 CPU each"), output
    assert not [line for line in output if "at most" in line]
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    assert all_gone(mark) == {}
    wait_for(lambda: not [command for command in marked(machine.mark).values() if command.startswith(("ray::WorkerProcess", "ray::TaskQueue"))])
