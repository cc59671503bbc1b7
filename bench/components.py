"""What other encoders, generators, losses and latents make of recordings, beside the GRUs: ``python bench/components.py a.h5 b.h5 --seeds 0 1 2``.

Each is chosen by its one word, everything else is as it comes. A quarter of the channels is held out; the score is how well their values are
predicted (co-bps for counts, R2 of means else), the time is CPU time of the whole command on one thread, inference and figures left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WORDS = ("gru", "transformer", "lstm", "mlp", "low-rank", "linear-dynamics", "behaviour", "input-correlation", "context")
"""What lfads-plugins-std brings, and the default first."""

SCORES = ("valid/co_bps", "valid/heldout_r2", "valid/heldout")


def run(word: str, recording: Path, seed: int, more: list[str], folder: Path) -> tuple[dict[str, float], float]:
    """Scores and CPU seconds of one training."""
    chosen = [] if word == "gru" else ["--plugin", word]
    name = f"{recording.stem}-{word}-{seed}"
    command = [
        sys.executable,
        "-m",
        "lfads_core.cli.main",
        "run",
        str(recording),
        *chosen,
        "--hold-out",
        "0.25",
        "--runs",
        str(folder),
        "--name",
        name,
    ]
    settings = [f"train.seed={seed}", "train.threads=1", "infer.figures=false", "infer.samples=10", "track.mlflow=false", *more]
    command += [word for setting in settings for word in ("--set", setting)]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = process.stderr.read() if process.stderr is not None else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: {said.strip().splitlines()[-1] if said.strip() else status}")
    return json.loads((folder / name / "run.json").read_text())["scores"], usage.ru_utime + usage.ru_stime


def cell(values: list[float]) -> str:
    """Mean, and standard deviation where there are several."""
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def main() -> None:
    """Train all, and print a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--words", nargs="+", default=WORDS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], dest="more", help="a setting for all of them")
    given = parser.parse_args()
    print("| recording | component | score | | CPU s |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for recording in given.recordings:
            for word in given.words:
                found = [run(word, recording, seed, given.more, Path(folder)) for seed in given.seeds]
                score = next((name for name in SCORES if name in found[0][0]), "valid/recon")
                values, seconds = [scores[score] for scores, _ in found], [time for _, time in found]
                print(f"| {recording.stem} | {word} | {score.removeprefix('valid/')} | {cell(values)} | {statistics.mean(seconds):.0f} |", flush=True)


if __name__ == "__main__":
    main()
