"""A day in a cluster whose machines share no folder: a node is lost, another one comes, the MLflow server restarts, the driver is killed."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest

from mlflow_server import Server
from object_store import KEYS, object_store
from ray_machines import Machine, can_hide_folders
from ray_searches import SETTINGS, marked, needs_ray, wait_for

pytestmark = [
    needs_ray,
    pytest.mark.skipif(importlib.util.find_spec("moto") is None, reason="moto is not installed"),
    pytest.mark.skipif(not Path("/proc").is_dir() or not can_hide_folders(), reason="folders cannot be hidden from processes here"),
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]

SLOWED = ("--plugin", "fragile", "--set", "components.train_augmentations.1.seconds=0.1", "--set", "search.members=8", "--epochs", "15")
ON_CLUSTER = ("--cpus", "1", "--per-worker", "2", "--workers", "4")


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    made.searches.environment |= KEYS | {"RAY_AUTH_MODE": "token"}
    yield made
    made.searches.close()
    made.stop()


@pytest.fixture
def server(tmp_path):
    (tmp_path / "server").mkdir()
    made = Server(tmp_path / "server")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def store():
    with object_store() as made:
        yield made


def hidden_from_nodes(machine):
    """What only the driver's machine has. The first is the nodes' place for temporary files: each has one of its own."""
    folders = [machine.searches.folder / name for name in ("scratch", "data", "runs", "server")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    (machine.searches.folder / "tiny.h5").rename(machine.searches.folder / "data" / "tiny.h5")
    return folders


def numbers(rows):
    return [float(value or "nan") for row in rows for value in row.values()]


def test_a_day_in_a_cluster_ends_with_the_decisions_of_one_process_and_leaves_nothing_behind(machine, server, store):
    searches = machine.searches
    hidden = hidden_from_nodes(machine)
    (searches.folder / "tiny.yaml").write_text(SETTINGS.replace("track: {mlflow: false}\n", "").replace("samples: 2", "samples: 2, figures: false"))
    code, output = searches.finish(*searches.start("pbt", "data/tiny.h5", "tiny.yaml", "--name", "serial", *SLOWED, executor="serial"))
    assert code == 0, output

    machine.ray("get-auth-token", "--generate")
    address = machine.head(cpus=0)
    first, second = (machine.node(address, cpus=2, hidden=hidden) for _ in range(2))
    searches.environment["MLFLOW_TRACKING_URI"] = server.url
    placed = ("--address", address, "--storage", store.url, *ON_CLUSTER)
    driver, _ = searches.start("pbt", "data/tiny.h5", "tiny.yaml", "--name", "day", *SLOWED, *placed, executor="ray", without=("matplotlib",))
    wait_for(lambda: searches.is_under_way("day", 0), 300)
    assert any(command.startswith("ray::WorkerProcess") for command in marked(first).values())
    machine.kill(second)
    wait_for(lambda: searches.is_under_way("day", 1), 300)
    server.stop()
    third = machine.node(address, cpus=2, hidden=hidden)
    server.start()
    wait_for(lambda: any(command.startswith("ray::WorkerProcess") for command in marked(third).values()), 120)
    done = len(searches.journal("day")["history"])
    wait_for(lambda: any(searches.is_under_way("day", generation) for generation in range(done + 1, 5)), 300)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert store.sizes()  # a driver that is killed leaves what it sent
    code, output = searches.finish(*searches.start("resume", "runs/day", *placed, executor="ray", without=("matplotlib",)))
    assert code == 0, output

    assert searches.lineage("day") == searches.lineage("serial")
    assert numbers(searches.rows("day")) == pytest.approx(
        numbers(searches.rows("serial")), rel=1e-3, abs=1e-4, nan_ok=True
    )  # two in a batch: to rounding
    assert store.sizes() == {}  # nor do those of the killed driver
    for mark in (machine.mark, first, third):
        wait_for(lambda mark=mark: not [c for c in marked(mark).values() if c.startswith(("ray::WorkerProcess", "ray::TaskQueue"))])
    assert not [path for path in hidden[0].iterdir() if path.name.startswith("lfads-storage")]  # the driver's machine trained nothing
    runs = server.runs()
    members = {f"m{number:02d} \N{MIDDLE DOT} day": member for number, member in enumerate(searches.journal("day")["members"])}
    assert {"day", *members} <= set(runs), set(runs)
    assert runs["day"]["info"]["status"] == "FINISHED"
    for name, member in members.items():
        assert sorted(set(server.curve(name, "lr"))) == list(range(member["epochs"]))
