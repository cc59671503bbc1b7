"""Makes ``old_runs.tar.xz`` with the version that stands on the path: runs and searches of it, finished and stopped. See README.md."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tarfile
from pathlib import Path

import torch

from lfads_core.cli.main import cli
from lfads_core.train.progress import Display

TINY = {
    "model.encoder.hidden": 4,
    "model.controller.encoder_hidden": 4,
    "model.controller.hidden": 4,
    "model.controller.inputs": 1,
    "model.generator.hidden": 4,
    "model.generator.ic_size": 4,
    "model.generator.factors": 2,
    "data.batch_size": 8,
    "regularisation.kl_ramp.increase_epochs": 2,
    "regularisation.l2_ramp.increase_epochs": 2,
    "train.metrics_every": 2,
    "train.device": "cpu",
    "train.threads": 1,
    "train.recurrence": "fused",
    "infer.samples": 2,
    "track.mlflow": "false",
}
SEARCH = {"search.members": 3, "search.interval": 2, "search.burn_in": 2, "search.generations": 2, "search.min_improvement": "null"}
ONE_BATCH = ("--executor", "batched", "--workers", "1")  # on any number of cores
LEFT_OUT = {"plots", ".lock", "report.html", "evaluation.json"}

update, stop_after = Display.update, [-1]


def lfads(*words: str, **settings: object) -> None:
    """One command."""
    cli([*words, *(word for name, value in settings.items() for word in ("--set", f"{name}={value}"))], standalone_mode=False)


def main(folder: Path) -> None:
    """Make everything in a folder, then the archive beside this file."""
    from lfads_core.search.progress import SearchDisplay

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    lfads("synth", "lorenz", "-o", "lorenz.h5", trials_per_condition=4, bins=10, conditions=6, channels=5)

    def press(epoch: int) -> None:
        if epoch == stop_after[0]:
            os.kill(os.getpid(), signal.SIGINT)

    Display.update = lambda self, epoch, row, note="": (update(self, epoch, row, note), press(epoch))[0]  # type: ignore[method-assign]
    heard = SearchDisplay.epoch
    SearchDisplay.epoch = lambda self, member, epoch, row: (heard(self, member, epoch, row), press(epoch))[0]

    held = {"data.hold_out.fraction": 0.25}
    lfads("run", "lorenz.h5", "--name", "finished", **TINY, **held, **{"train.epochs": 3})
    lfads("search", "pbt", "lorenz.h5", *ONE_BATCH, "--name", "search", **TINY, **SEARCH, **{"train.epochs": 6})
    stop_after[0] = 2
    lfads("run", "lorenz.h5", "--name", "stopped", **TINY, **{"train.epochs": 6})
    lfads("search", "pbt", "lorenz.h5", *ONE_BATCH, "--name", "stopped-search", **TINY, **SEARCH, **{"train.epochs": 6})
    stop_after[0] = -1
    for name in ("stopped", "stopped-search"):
        shutil.copytree(f"runs/{name}", f"gone-on/{name}", copy_function=shutil.copy2)
    lfads("run", "--resume", "gone-on/stopped")
    lfads("search", "resume", "gone-on/stopped-search", *ONE_BATCH)
    for path in sorted(Path("gone-on").rglob("*")):  # what the test compares with, and nothing else
        if path.is_file() and path.name not in {"search.json", "run.json", "fitlog.csv"}:
            path.unlink()
    made_on = {"torch": torch.__version__, "processor": torch.backends.cpu.get_cpu_capability(), "data": str(Path("lorenz.h5").resolve())}
    Path("made_on.json").write_text(json.dumps(made_on))
    with tarfile.open(Path(__file__).with_name("old_runs.tar.xz"), "w:xz") as archive:
        for path in sorted(Path().rglob("*"), key=lambda path: (path.suffix, path)):
            if path.is_file() and not LEFT_OUT & set(path.parts):
                archive.add(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
