"""Searches that tests carry out in processes of their own, on one tiny recording, and the processes that they start."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
import uuid
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'lfads-core[tune]'")

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
    fault: str = setting("none", "what goes wrong: none, raise, overflow, die", search=LIVE)
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
        return loss * 3e37 if self.settings.fault == "overflow" else loss  # finite each, and not their sum


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

    def start(self, *arguments, executor="ray", without=("matplotlib", "mlflow")):
        """A search, its mark, and its output as it comes."""
        mark = uuid.uuid4().hex
        hide = f"import sys; sys.modules.update(dict.fromkeys({without})); from lfads_core.cli.main import main; main()"
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

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
