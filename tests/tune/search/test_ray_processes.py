"""The executor ``ray`` with real processes, on this machine and on clusters of three nodes, and what happens when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import numpy as np
import pytest

from ray_searches import MARK, Searches, all_gone, marked, needs_ray, wait_for

pytestmark = [
    pytest.mark.long,
    needs_ray,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found by /proc"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    made = Searches(tmp_path_factory.mktemp("searches"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def serial(searches):
    """The same search, one member after another in one process."""
    code, output = searches.finish(*searches.pbt("serial", executor="serial"))
    assert code == 0, output
    return {"history": searches.journal("serial")["history"], "rows": searches.rows("serial"), "weights": searches.weights("serial")}


@pytest.fixture(scope="module")
def ray(searches):
    """The same search with a process for each member at a time; what it said."""
    code, output = searches.finish(*searches.pbt("ray", "--per-worker", 1))
    assert code == 0, output
    return output


def largest_difference(one, other):
    """Of all weights of all members, relative to the largest of their tensor or 1."""
    assert one.keys() == other.keys()
    pairs = [(value, other[member][key]) for member, tensors in one.items() for key, value in tensors.items() if value.size]
    return max(float(np.abs(a - b).max() / max(1.0, np.abs(a).max())) for a, b in pairs)


def check_same(searches, name, serial):
    assert searches.journal(name)["history"] == serial["history"]
    assert searches.rows(name) == serial["rows"]
    assert largest_difference(searches.weights(name), serial["weights"]) == 0


def test_ray_decides_as_serial_does_with_the_same_weights_and_leaves_nothing_behind(searches, serial, ray):
    check_same(searches, "ray", serial)
    assert "raylet" not in ray
    assert "ray" not in {path.name for path in (searches.folder / "runs/ray").iterdir()}


@pytest.mark.usefixtures("ray")
def test_the_three_executors_give_the_same_lineage_and_weights_that_only_rounding_parts(searches, serial):
    code, output = searches.finish(*searches.pbt("batched", executor="batched"))
    assert code == 0, output
    assert any(parent != member for generation in searches.lineage("serial") for member, parent, _ in generation)
    assert searches.lineage("batched") == searches.lineage("ray") == searches.lineage("serial")
    assert largest_difference(searches.weights("batched"), serial["weights"]) < 1e-5  # AdamW makes a small gradient's rounding as large as its step


@pytest.mark.slow
def test_several_members_in_each_worker_decide_alike(searches, serial):
    code, output = searches.finish(*searches.pbt("groups", "--per-worker", 3))
    assert code == 0, output
    assert searches.lineage("groups") == searches.lineage("serial")
    assert largest_difference(searches.weights("groups"), serial["weights"]) < 1e-5


class Nodes:
    """Three nodes on this machine, in processes of their own; the driver is connected to the first, which has no CPUs."""

    def __init__(self, environment):
        self.mark = uuid.uuid4().hex
        program = """
            import os, sys, warnings
            warnings.simplefilter("ignore")
            from ray.cluster_utils import Cluster
            store = 80 * 2**20
            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": store})
            nodes = [cluster.add_node(num_cpus=1, object_store_memory=store) for _ in range(2)]
            print(cluster.address, flush=True)
            for line in sys.stdin:
                if line.strip() == "kill":
                    cluster.remove_node(nodes.pop(0), allow_graceful=False)
                else:
                    nodes.append(cluster.add_node(num_cpus=1, object_store_memory=store))
                print("done", flush=True)
            cluster.shutdown()
        """
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", MARK: self.mark}
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            env=environment | quiet,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self.process.stdout.readline().strip()

    def tell(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "done"

    def ours(self):
        """Workers and coordinators of searches, by process number."""
        return [number for number, command in marked(self.mark).items() if command.startswith(("ray::WorkerProcess", "ray::TaskQueue"))]


@pytest.fixture(scope="module")
def nodes(searches):
    made = Nodes(searches.environment)
    yield made
    made.process.communicate(timeout=60)
    for number in all_gone(made.mark, within=60.0):
        os.kill(number, signal.SIGKILL)


SLOWED = ("--plugin", "fragile", "--set", "components.train_augmentations.1.seconds=0.1")


@pytest.fixture(scope="module")
def slowed(searches):
    """A search slow enough to be killed in the middle, as it is when nothing happens to it."""
    code, output = searches.finish(*searches.pbt("slowed", *SLOWED, executor="serial"))
    assert code == 0, output
    return {"history": searches.journal("slowed")["history"], "rows": searches.rows("slowed"), "weights": searches.weights("slowed")}


@pytest.mark.slow
def test_a_node_killed_in_the_middle_of_a_generation_changes_nothing(searches, slowed, nodes):
    started = searches.pbt("node", *SLOWED, "--per-worker", 1, "--address", nodes.address)
    wait_for(lambda: searches.is_under_way("node"))
    nodes.tell("kill")
    code, output = searches.finish(*started)
    assert code == 0, output
    check_same(searches, "node", slowed)
    nodes.tell("add")
    wait_for(lambda: not nodes.ours(), 30)


@pytest.mark.slow
def test_after_a_driver_is_killed_its_workers_end_the_cluster_stays_and_the_search_goes_on(searches, slowed, nodes):
    process, mark = searches.pbt("driver", *SLOWED, "--per-worker", 1, "--address", nodes.address)
    wait_for(lambda: searches.is_under_way("driver"))
    process.kill()
    process.communicate()
    wait_for(lambda: not nodes.ours(), 30)
    assert all_gone(mark) == {}
    code, output = searches.finish(*searches.start("resume", "runs/driver", "--address", nodes.address, "--per-worker", 1))
    assert code == 0, output
    check_same(searches, "driver", slowed)


FAULTY = ("--plugin", "fragile", "--space", "components.train_augmentations.fragile.fault=choice:none,raise,overflow,none", "--set", "search.seed=1")


@pytest.mark.slow
def test_members_that_raise_or_diverge_neither_stop_nor_stall_a_population(searches, nodes):
    code, output = searches.finish(*searches.pbt("faulty-serial", *FAULTY, executor="serial"))
    assert code == 0, output
    code, output = searches.finish(*searches.pbt("faulty", *FAULTY, "--per-worker", 1, "--address", nodes.address))
    assert code == 0, output
    history = searches.journal("faulty")["history"]
    statuses = {member["status"] for generation in history for member in generation["members"]}
    assert {"done", "failed", "diverged"} <= statuses
    assert history == searches.journal("faulty-serial")["history"]
    assert searches.rows("faulty") == searches.rows("faulty-serial")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_a_worker_killed_in_the_middle_of_a_generation_changes_nothing(searches, slowed, number):
    name = f"worker-{int(number)}"
    process, mark = searches.pbt(name, *SLOWED, "--per-worker", 1)
    wait_for(lambda: searches.is_under_way(name))
    os.kill(next(worker for worker, command in marked(mark).items() if command.startswith("ray::Worker")), number)
    code, output = searches.finish(process, mark)
    assert code == 0, output
    check_same(searches, name, slowed)


@pytest.mark.slow
def test_a_desk_that_is_killed_is_set_up_again(searches, slowed):
    process, mark = searches.pbt("coordinator", *SLOWED, "--per-worker", 1)
    wait_for(lambda: searches.is_under_way("coordinator"))
    os.kill(next(worker for worker, command in marked(mark).items() if command.startswith("ray::TaskQueue")), signal.SIGKILL)
    code, output = searches.finish(process, mark)
    assert code == 0, output
    check_same(searches, "coordinator", slowed)


@pytest.mark.slow
def test_ctrl_c_saves_leaves_no_process_and_the_search_goes_on_to_the_same_end(searches, slowed):
    process, mark = searches.pbt("interrupted", *SLOWED, "--per-worker", 1)
    wait_for(lambda: searches.is_under_way("interrupted"))
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert all_gone(mark) == {}
    assert searches.journal("interrupted")["status"] == "interrupted"
    code, output = searches.finish(*searches.start("resume", "runs/interrupted", "--per-worker", 1))
    assert code == 0, output
    check_same(searches, "interrupted", slowed)


@pytest.mark.slow
def test_nothing_of_a_cluster_of_its_own_outlives_a_driver_that_is_killed(searches, slowed):
    process, mark = searches.pbt("killed", *SLOWED, "--per-worker", 1)
    wait_for(lambda: searches.is_under_way("killed"))
    process.kill()
    process.communicate()
    assert all_gone(mark, within=10.0) == {}
    code, output = searches.finish(*searches.start("resume", "runs/killed", "--per-worker", 1))
    assert code == 0, output
    check_same(searches, "killed", slowed)


@pytest.mark.slow
def test_a_member_under_which_every_process_dies_fails_and_the_others_go_on(searches):
    space = ("--plugin", "fragile", "--space", "components.train_augmentations.fragile.fault=choice:none,die")
    code, output = searches.finish(*searches.start("grid", "tiny.h5", "tiny.yaml", "--name", "dying", *space, "--per-worker", 2))
    assert code == 0, output
    healthy, dying = searches.journal("dying")["members"]
    assert (healthy["status"], dying["status"]) == ("done", "lost")  # a grid leaves its place empty
    assert "members/001: a worker must live until the member's generation is done" in dying["error"]
