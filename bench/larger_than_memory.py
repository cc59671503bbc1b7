"""Training on a recording larger than memory against the same trials held in memory: seconds per trial, and peak memory.

    python bench/larger_than_memory.py --file-gb 6 --memory-gb 3 --steps 60

Writes a synthetic recording (100 bins, 100 channels, float32, one block), then trains the default network on it for some steps in a
process of its own whose address space is limited, reading from disk, and in another without a limit, holding everything. Prints one
line of JSON. The file is removed afterwards unless --keep names it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BINS, CHANNELS = 100, 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file-gb", type=float, default=6.0)
    parser.add_argument("--memory-gb", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--keep", type=Path, help="where the recording is, or shall stay")
    parser.add_argument("--train", nargs=2, metavar=("FILE", "LIMIT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        train(Path(args.train[0]), float(args.train[1]), args.steps)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = args.keep or Path(folder) / "large.h5"
        if not path.exists():
            write(path, args.file_gb)
        disk, memory = (child(path, limit, args.steps) for limit in (args.memory_gb, 0.0))
    print(json.dumps({"file_gb": args.file_gb, "limit_gb": args.memory_gb, "steps": args.steps, "disk": disk, "memory": memory,
                      "ratio": round(disk["ms_per_trial"] / memory["ms_per_trial"], 3)}))  # fmt: skip


def write(path: Path, gigabytes: float) -> None:
    """Poisson counts whose rates are slow sines, a block of trials at a time."""
    import h5py
    import numpy as np

    rng = np.random.default_rng(0)
    trials = round(gigabytes * 1e9 / (BINS * CHANNELS * 4))
    time_axis, phases = np.arange(BINS)[:, None] / BINS, rng.uniform(0, 2 * np.pi, CHANNELS)
    with h5py.File(path, "w") as file:
        for split, count in (("train", trials * 9 // 10), ("valid", trials // 10)):
            data = file.create_dataset(f"{split}_encod_data", (count, BINS, CHANNELS), "f4")
            for first in range(0, count, 1000):
                starts = rng.uniform(0, 2 * np.pi, (min(1000, count - first), 1, 1))
                data[first : first + 1000] = rng.poisson(0.1 * np.exp(np.sin(2 * np.pi * time_axis + phases + starts)))
        file.attrs["bin_ms"] = 10.0


def child(path: Path, limit: float, steps: int) -> dict[str, float]:
    """Train in a process of its own."""
    command = [sys.executable, __file__, "--steps", str(steps), "--train", str(path), str(limit)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def train(path: Path, limit: float, steps: int) -> None:
    """Train for some steps and print what it took."""
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (int(limit * 1e9), int(limit * 1e9)))
    from lfads_core.config.load import resolve
    from lfads_core.model.build import build_stacks, prepare_model
    from lfads_core.model.description import describe
    from lfads_core.plugins import load_registry
    from lfads_core.runs import Run
    from lfads_core.train.auto import resolve_auto
    from lfads_core.train.data import check_for, put_on, read_for
    from lfads_core.train.device import choose_device
    from lfads_core.train.loop import fit
    from lfads_core.train.threads import set_threads
    from lfads_core.train.trainer import Trainer

    began = time.perf_counter()
    registry = load_registry()
    batch = 64
    config = resolve([], [], [f"data.batch_size={batch}", *([] if limit else ["data.memory_gb=1e6"])], registry)
    sessions = read_for(config, [path], registry)
    config = resolve_auto(config, sessions)
    check_for(config, sessions, registry)
    device = choose_device(config.train.device)
    set_threads(config.train)
    model = prepare_model(config, sessions, registry, device)
    opened = time.perf_counter() - began
    times: list[float] = []

    def should_stop() -> bool:
        times.append(time.perf_counter())
        return len(times) > steps

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        trainer = Trainer(
            Run.create(Path(folder) / "run"), config, model, describe(sessions), put_on(device, sessions), build_stacks(config, registry)
        )
        fit(trainer, lambda *_: None, should_stop)
    warm = steps // 5  # the first steps pay for what is made once
    per_trial = (times[-1] - times[warm]) / (steps - warm) / batch
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"from": "disk" if sessions[0].stored else "memory", "ms_per_trial": round(1000 * per_trial, 3),
                      "open_s": round(opened, 1), "peak_gb": round(peak, 2)}))  # fmt: skip


if __name__ == "__main__":
    main()
