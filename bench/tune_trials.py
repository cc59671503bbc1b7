"""Members as trials of Ray Tune, under its own population-based training: what ``search_executors.py`` measures of Tune.

    python bench/tune_trials.py DATA.h5 FOLDER --members 8 --epochs 20 --interval 5 [--each]

A trial trains its member with what our workers train with, holds it between generations, and moves it by a checkpoint. ``--each`` gives every
trial a process for itself, all at once; otherwise each trial takes a core, and Tune pauses those that it has no core for, and uses processes again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining

from lfads_core.config.load import resolve
from lfads_core.plugins import load_registry
from lfads_plugins_tune.search.executor import Task
from lfads_plugins_tune.search.members import MemberTrainer
from lfads_plugins_tune.search.starts import copy_checkpoints

SPACES = {"optim.lr": tune.loguniform(1e-3, 1e-2), "model.dropout": tune.uniform(0.0, 0.4)}


class MemberTrial(tune.Trainable):
    """One member; ``config`` has its hyperparameters by path, and under ``""`` the data, the settings and the epochs of a generation."""

    def setup(self, config: dict[str, Any]) -> None:
        """Read the data."""
        registry = load_registry()
        settings = ["train.threads=1", "train.device=cpu", "train.early_stopping=null", *config[""]["set"]]
        self.members = MemberTrainer(resolve([], [], settings, registry), [config[""]["data"]], registry)
        self.folder, self.epochs, self.restart = Path(config[""]["folder"]) / self.trial_id, 0, False

    def step(self) -> dict[str, Any]:
        """Train one generation."""
        self.epochs += self.config[""]["interval"]
        overrides = {name: value for name, value in self.config.items() if name}
        task = Task(member=0, path=self.folder, overrides=overrides, epochs=self.epochs, generation=0, restart=self.restart)
        (outcome,) = self.members.train([task], lambda *_: None, lambda: False)
        self.restart = False
        return {"score": outcome.score, "epochs": outcome.epochs, "done": self.epochs >= self.config[""]["epochs"]}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Hand out the member as it is."""
        shutil.copytree(self.folder / "checkpoints", checkpoint_dir, dirs_exist_ok=True)
        Path(checkpoint_dir, "epochs").write_text(str(self.epochs), encoding="utf-8")

    def load_checkpoint(self, checkpoint: str) -> None:
        """Go on from another's."""
        self.epochs, self.restart = int(Path(checkpoint, "epochs").read_text(encoding="utf-8")), True
        self.folder.mkdir(parents=True, exist_ok=True)
        copy_checkpoints(Path(checkpoint), self.folder / "start")

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Be another trial in the same process."""
        self.folder, self.epochs, self.restart = Path(new_config[""]["folder"]) / self.trial_id, 0, True
        return True


def main() -> None:
    """Search, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--interval", type=int, default=5)
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    ray.init(num_cpus=cores, include_dashboard=False, logging_level="error")
    began = time.monotonic()
    common = {"data": str(given.data.resolve()), "set": given.set, "folder": str(given.folder.resolve())}
    rule = PopulationBasedTraining(
        time_attr="epochs",
        perturbation_interval=given.interval,
        hyperparam_mutations=SPACES,
        synch=True,
        resample_probability=0.0,
        require_attrs=False,
    )
    tuner = tune.Tuner(
        tune.with_resources(MemberTrial, {"cpu": min(1.0, cores / given.members) if given.each else 1.0}),
        param_space={**SPACES, "": common | {"epochs": given.epochs, "interval": given.interval}},
        tune_config=tune.TuneConfig(num_samples=given.members, scheduler=rule, metric="score", mode="min", reuse_actors=not given.each),
        run_config=tune.RunConfig(name="tune", storage_path=common["folder"], verbose=0),
    )
    results = tuner.fit()
    if results.num_errors:
        raise SystemExit(f"{results.num_errors} trials failed: {results.errors[0]}")
    least = min(result.metrics["epochs"] for result in results)
    print(f"search_s {time.monotonic() - began:.1f}  members {len(results)}  least_epochs {least}")
    ray.shutdown()


if __name__ == "__main__":
    main()
