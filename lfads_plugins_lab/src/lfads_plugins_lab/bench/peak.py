"""Peak memory of one path in a process of its own: ``python -m lfads_plugins_lab.bench.peak '{"config": "S1", "path": "fused"}'``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lfads_core.processes import own_python

STEPS = 3
"""Steps until the peak is read; the second is the first with moments in use."""


def peak_memory(config: str, data: Sequence[Path], overrides: Sequence[str], path: str, threads: int) -> dict[str, float]:
    """MB of a process that imports, builds and takes a few steps on one path; of the process, and of the GPU if there is one."""
    asked = {"config": config, "data": [str(p) for p in data], "overrides": list(overrides), "path": path, "threads": threads}
    command = own_python("-m", "lfads_plugins_lab.bench.peak", json.dumps(asked))
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - this very module
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(asked: dict[str, Any]) -> dict[str, float]:
    """The same within this process."""
    import torch

    imported = resident_peak()
    from lfads_core.plugins import load_registry
    from lfads_core.train.device import use_cpu
    from lfads_plugins_lab.bench.problem import first_batch, load_problem, make_steps

    use_cpu(asked["threads"])
    problem = load_problem(asked["config"], [Path(p) for p in asked["data"]], load_registry(), asked["overrides"])
    step = make_steps(problem, [asked["path"]], problem.model(), first_batch(problem))[asked["path"]]
    built = resident_peak()
    for _ in range(STEPS):
        step()
    on_gpu = {"gpu_peak_mb": round(torch.cuda.max_memory_allocated(problem.device) / 2**20, 1)} if problem.device.startswith("cuda") else {}
    return {"torch_mb": imported, "built_mb": built, "peak_mb": resident_peak(), **on_gpu}


def resident_peak() -> float:
    """Largest resident memory of this process so far, in MB.

    Linux is asked for the peak of this program alone: the usual number begins with that of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 2**10, 1)
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))  # noqa: T201 - how the parent gets the numbers
