"""Clusters as people start them, with `ray start`: tokens, addresses that are stale, bounds on workers, and no room."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from ray_machines import Machine
from ray_searches import all_gone, marked, needs_ray, wait_for

pytestmark = [
    needs_ray,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found by /proc"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


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
