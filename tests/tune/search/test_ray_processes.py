"""The executor ``ray`` with real processes, on this machine and on clusters of three nodes, and what happens when they die."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path

import h5py
import numpy as np
import pytest

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'lfads-core[tune]'"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found by /proc"),
    pytest.mark.timeout(900),
]

MARK = "LFADS_TEST_MARK"

SETTINGS = """
model: {encoder: {hidden: 6}, controller: {encoder_hidden: 5, hidden: 5, inputs: 2}, generator: {hidden: 8, ic_size: 4, factors: 3}}
data: {batch_size: 4}
regularisation: {kl_ramp: {increase_epochs: 2}, l2_ramp: {increase_epochs: 2}}
train: {epochs: 9, metrics_every: 3, device: cpu, threads: 1, recurrence: fused}
infer: {samples: 2}
track: {mlflow: false}
search: {members: 6, interval: 3, burn_in: 3, min_improvement: null, retries: 0}
"""

FRAGILE = """
import os
import time

from attrs import frozen

from lfads_core.components import AbstractAugmentation
from lfads_core.config.fields import setting
from lfads_core.config.spaces import LIVE
from lfads_core.plugins import AugmentationSpec, hookimpl


@frozen(kw_only=True)
class Settings:
    fault: str = setting("none", "what goes wrong: none, raise, nan, die", search=LIVE)
    seconds: float = setting(0.0, "time that each batch takes")


class Fragile(AbstractAugmentation):
    name = "fragile"

    def __init__(self, settings):
        self.settings = settings

    def augment(self, batch, noise):
        time.sleep(self.settings.seconds)
        if self.settings.fault == "raise":
            raise KeyError("broken")
        if self.settings.fault == "die":
            os.kill(os.getpid(), 9)
        return batch

    def weigh(self, loss, batch):
        return loss * float("nan") if self.settings.fault == "nan" else loss


@hookimpl
def lfads_augmentations():
    yield AugmentationSpec(name="fragile", summary="goes wrong on purpose", config=Settings, build=lambda settings: Fragile(settings))
"""


def marked(mark):
    """Processes, by number, that have inherited this mark, with their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def all_gone(mark, within=30.0):
    """Wait until no process has this mark; what is left after a while is returned."""
    end = time.monotonic() + within
    while (left := marked(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def wait_for(condition, seconds=180.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


class Searches:
    """Searches on one tiny recording, each a process of its own."""

    def __init__(self, folder):
        self.folder, self.started = folder, []
        rng = np.random.default_rng(0)
        with h5py.File(folder / "tiny.h5", "w") as file:
            for split, trials in (("train", 12), ("valid", 6)):
                file[f"{split}_encod_data"] = rng.poisson(1.0, (trials, 8, 5)).astype(np.float32)
            file.attrs["bin_ms"] = 10.0
        (folder / "tiny.yaml").write_text(SETTINGS)
        site = folder / "site"
        info = site / "fragile-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "fragile_plugin.py").write_text(FRAGILE)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fragile\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[lfads]\nfragile = fragile_plugin\n")
        self.environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]), "OMP_NUM_THREADS": "1"}
        self.environment.pop("RAY_ADDRESS", None)

    def start(self, *arguments, executor="ray"):
        """A search, its mark, and its output as it comes."""
        mark = uuid.uuid4().hex
        hide = "import sys; sys.modules.update(dict.fromkeys(('matplotlib', 'mlflow'))); from lfads_core.cli.main import main; main()"
        chosen = ["--executor", executor] if executor else []
        self.started.append(
            subprocess.Popen(
                [sys.executable, "-c", hide, "search", *map(str, arguments), *chosen],
                env=self.environment | {MARK: mark},
                cwd=self.folder,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )
        return self.started[-1], mark

    def pbt(self, name, *more, executor="ray"):
        return self.start("pbt", "tiny.h5", "tiny.yaml", "--name", name, *more, executor=executor)

    def finish(self, *started):
        process, mark = started
        output, _ = process.communicate(timeout=600)
        assert all_gone(mark) == {}, output
        return process.returncode, output

    def journal(self, name):
        path = self.folder / "runs" / name / "search.json"
        return json.loads(path.read_text()) if path.exists() else {"history": [], "members": []}

    def is_under_way(self, name, generation=1):
        """Whether some members of this generation are done and others are not."""
        state = self.journal(name)
        statuses = {member["status"] for member in state["members"]}
        return len(state["history"]) == generation and {"done", "waiting"} <= statuses

    def rows(self, name):
        """All rows of the search, without times, in the order of members and epochs."""
        with (self.folder / "runs" / name / "fitlog.csv").open() as file:
            rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
        return sorted(rows, key=lambda row: [float(row[key]) for key in ("member", "generation", "epoch")])

    def weights(self, name):
        import torch

        from lfads_core.train.checkpoint import load_checkpoint

        found = {}
        for member in sorted((self.folder / "runs" / name / "members").iterdir()):
            tensors = load_checkpoint(member / "checkpoints", "last").tensors["model"]
            found[member.name] = {key: torch.as_tensor(value).numpy() for key, value in tensors.items()}
        return found

    def lineage(self, name):
        """Who came from whom with which hyperparameters, generation by generation."""
        history = self.journal(name)["history"]
        return [[(m["member"], m["parent"], m["hyperparameters"]) for m in generation["members"]] for generation in history]


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    made = Searches(tmp_path_factory.mktemp("searches"))
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


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


FAULTY = ("--plugin", "fragile", "--space", "components.train_augmentations.fragile.fault=choice:none,raise,nan,none", "--set", "search.seed=1")


@pytest.mark.slow
def test_members_that_raise_or_turn_nan_neither_stop_nor_stall_a_population(searches, nodes):
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
