"""``lfads bench startup``: from the start of the process to the end of the first training step."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from lfads_core.plugins.registry import Registry
from lfads_core.processes import own_python
from lfads_core.synth.write import write_synthetic
from lfads_plugins_lab.bench.clock import summary
from lfads_plugins_lab.bench.result import Options, Result
from lfads_plugins_lab.bench.shapes import LORENZ, SHAPES, lorenz_spikes

_FIRST_STEP = """
import os, sys
from lfads_core.cli.main import cli
from lfads_core.train.optim import AdamW
step = AdamW.step
def first(*args, **kwargs):
    step(*args, **kwargs)
    os._exit(77)
AdamW.step = first
sys.argv = ["lfads", *sys.argv[1:]]
cli(prog_name="lfads")
"""
"""``lfads run`` that ends with its first step, by an exit code that nothing else has."""


def bench_startup(config: str, data: Sequence[Path], options: Options, registry: Registry) -> Result:
    """``lfads run`` up to its first step, and a bare ``import torch``, as processes in turn.

    Raises:
        RuntimeError: the run ended before its first step.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [str(path.resolve()) for path in data] or [str(_lorenz(registry, Path(folder) / "lorenz.h5"))]
        chosen = SHAPES[config].settings() if config in SHAPES else []
        given = [*files, *([] if config in {*SHAPES, LORENZ} else [str(Path(config).resolve())])]
        overrides = [text for pair in [*chosen, *options.overrides, f"train.threads={options.threads}"] for text in ("--set", pair)]
        run = own_python("-c", _FIRST_STEP, "run", *given, *overrides)
        bare = own_python("-c", "import os, torch; os._exit(0)")
        times: dict[str, list[float]] = {"first_step": [], "import_torch": []}
        for number in range(options.rounds + 1):  # the first round fills the disk's cache
            for name, command, code in (("first_step", [*run, "--runs", f"{folder}/runs{number}"], 77), ("import_torch", bare, 0)):
                began = time.perf_counter()
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - built above
                if done.returncode != code:
                    raise RuntimeError(f"{name} must end with exit code {code}, got {done.returncode}: {done.stderr[-400:]}")
                if number > 0:
                    times[name].append(time.perf_counter() - began)
    beyond = statistics.median(times["first_step"]) - statistics.median(times["import_torch"])
    paths = {name: summary(took) for name, took in times.items()}
    return Result(config=config, device="cpu", paths=paths, more={"beyond_torch_s": round(beyond, 3)})


def _lorenz(registry: Registry, path: Path) -> Path:
    spec, settings = lorenz_spikes(registry)
    return write_synthetic(spec, settings, 0, path)
