"""What a user types, from start to end: a run on the device and on this machine's CPU, and a search of many members trained as one."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from asked import Asked

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import commands

MEMBERS = 32
SAYS = ("recurrence:", "train.cuda_graph", "ended", "stopped", "warning", "error")
"""What of the log is kept: which loops ran, whether steps were captured, and why it ended."""


def whole(asked: Asked) -> None:
    """Seconds and scores of whole commands: Lorenz spikes of known rates, and what ``RECORDINGS`` names; a quarter of the channels unseen."""
    small = ["--epochs", "2"] if asked.dry else []
    tiny = [*small, "--burn-in", "1"] if asked.dry else ["--epochs", "60"]
    members = ["--members", "2" if asked.dry else str(MEMBERS), "--set", "search.interval=5", *tiny]
    ways = {
        "run": ("run", ["run"], small, asked.device),
        "run, no graphs": ("run", ["run"], [*small, "--set", "train.cuda_graph=false"], asked.device),
        "run, CPU": ("run", ["run"], small, "cpu"),
        f"pbt of {MEMBERS}": ("run/best", ["search", "pbt"], members, asked.device),
    }
    with tempfile.TemporaryDirectory() as folder:
        files = [commands.synth("lorenz", Path(folder) / "lorenz.h5", []), *map(Path, os.environ.get("RECORDINGS", "").split())]
        work = {
            f"{file.stem}, {way}": functools.partial(_told, file, Path(folder) / f"{file.stem}-{number}", *how)
            for number, (way, how) in enumerate(ways.items())
            for file in (files[:1] if asked.dry else files)
        }
        asked.each("whole", work)


def _told(file: Path, runs: Path, found_in: str, verb: list[str], more: list[str], device: str) -> dict[str, Any]:
    """Wall seconds of a command, its scores, and lines of its log."""
    chosen = ("track.mlflow=false", "infer.figures=false", "infer.samples=10", f"train.device={device}", "train.threads=4")
    command = [sys.executable, "-m", "lfads_core.cli.main", *verb, str(file), *more, "--hold-out", "0.25", "--runs", str(runs), "--name", "run"]
    began = time.perf_counter()
    done = subprocess.run([*command, *(part for one in chosen for part in ("--set", one))], capture_output=True, text=True, check=False)
    seconds = round(time.perf_counter() - began, 1)
    said = [line[:300] for line in (done.stdout + done.stderr).splitlines() if any(sign in line for sign in SAYS)]
    if done.returncode:
        return {"error": f"exit {done.returncode}: {done.stderr[-600:]}", "s": seconds}
    row = commands.result(runs / found_in)
    scores = {name: round(value, 4) for name, value in row["scores"].items() if name in {"valid/co_bps", "valid/r2_truth"}}
    return {"s": seconds, "epochs": row["epochs"], **scores, "said": said}
