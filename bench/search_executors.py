"""Population-based training to the same generation: one batched process against Ray and against trials of Ray Tune, in turn.

    python bench/search_executors.py DATA.h5 [--members 1 4 16 32] [--epochs 20] [--interval 5] [--set KEY=VALUE ...]

``ray-each`` gives each member a process of its own, all at once; ``ray`` has as many processes as cores, which take one member after
another. ``tune-each`` and ``tune`` are the same with trials of Tune under its own rule (``tune_trials.py``). Each process has one thread;
``batched`` is as it comes.

Prints a table: seconds of the search (start of the first generation's executor to the end of the last generation), seconds of the
whole command, seconds to the first epoch's row (start-up, not seen of Tune), and the most memory of all processes together (summed
RSS, shared pages counted in each). The remaining seconds are steps, checkpoints and waiting.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

MARK = "LFADS_BENCH_MARK"
EXECUTORS = ["batched", "ray", "ray-each", "tune", "tune-each"]


def rss(mark: str) -> int:
    """Bytes of all processes that have inherited the mark."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                total += int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    return total


def arguments(executor: str, members: int) -> list[str]:
    """How a way of searching is asked for."""
    if executor == "batched":
        return ["--executor", "batched"]
    cores = len(os.sched_getaffinity(0))
    one = ["--executor", "ray", "--per-worker", "1", "--set", "train.threads=1"]
    return one if executor == "ray" else [*one, "--workers", str(members), "--cpus", str(min(1.0, cores / members))]


def command_of(name: str, executor: str, members: int, options: argparse.Namespace, runs: Path) -> list[str]:
    """The search as a command."""
    sizes = ["--members", str(members), "--epochs", str(options.epochs)]
    own = [part for setting in options.set for part in ("--set", setting)]
    if executor.startswith("tune"):
        script = str(Path(__file__).with_name("tune_trials.py"))
        each = ["--each"] if executor == "tune-each" else []
        return [sys.executable, script, options.data, str(runs / name), *sizes, "--interval", str(options.interval), *each, *own]
    settings = [f"search.interval={options.interval}", f"search.burn_in={options.interval}", "search.min_improvement=null", "track.mlflow=false"]
    settings.append("train.early_stopping=null")
    command = [sys.executable, "-m", "lfads_core.cli.main", "search", "pbt", options.data, "--name", name, "--runs", str(runs), *sizes]
    return [*command, *arguments(executor, members), *(part for setting in settings for part in ("--set", setting)), *own]


def measure(executor: str, members: int, options: argparse.Namespace, runs: Path) -> dict[str, float | str]:
    """One search in a process of its own."""
    name, mark = f"{executor}-{members}", uuid.uuid4().hex
    command = command_of(name, executor, members, options, runs)
    began, peak, first = time.monotonic(), 0, None
    with (runs / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | {MARK: mark}, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, rss(mark))
            if first is None and (runs / name / "fitlog.csv").exists():
                first = time.monotonic() - began
            time.sleep(0.1)
    whole = time.monotonic() - began
    said = (runs / f"{name}.log").read_text()
    if process.returncode:
        raise SystemExit(said)
    if executor.startswith("tune"):
        seconds = float(said.rpartition("search_s ")[2].split()[0])
    else:
        seconds = json.loads((runs / name / "search.json").read_text())["seconds"]
    row = {"executor": executor, "members": members, "search_s": round(seconds, 1), "command_s": round(whole, 1), "peak_mb": round(peak / 2**20)}
    return row | ({"first_row_s": round(first, 1)} if first else {})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--executors", nargs="+", choices=EXECUTORS, default=EXECUTORS)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--interval", type=int, default=5)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for members in options.members:
            first = None
            for executor in options.executors:
                row = measure(executor, members, options, Path(folder))
                first = first or float(row["search_s"])
                print("  ".join(f"{key} {value}" for key, value in row.items()), f" x{float(row['search_s']) / first:.2f}", flush=True)


if __name__ == "__main__":
    main()
