"""What other encoders, generators, losses and latents make of recordings, beside the GRUs.

    python bench/components.py FILE[=RECIPE] ... --keep kept.jsonl

Each is chosen by its one word, behind the recipe of its recording; everything else is as it comes. A quarter of the channels is held out. Scores are
of validation trials: how well values of the held-out channels are predicted (co-bps of counts, R2 of others) and how well behaviour is decoded from
factors (R2, mean over its dimensions). The time is CPU time of the whole command on one thread, scoring included. What ``--keep`` holds already is
not trained again. A component that refuses a recording (the loss ``behaviour`` where there is none) has a row that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORDS = ("gru", "transformer", "lstm", "mlp", "low-rank", "linear-dynamics", "behaviour", "input-correlation", "context")
"""What lfads-plugins-std brings, and the default first."""

HELD_OUT = ("valid/co_bps", "valid/co_r2")
REFUSED = 2
"""The status with which ``lfads`` says that something given does not go."""


def run(word: str, given: str, seed: int, more: list[str]) -> dict[str, Any]:
    """Scores and CPU seconds of one training."""
    recording, _, recipe = given.partition("=")
    chosen = [part for plugin in (recipe, "" if word == "gru" else word) if plugin for part in ("--plugin", plugin)]
    settings = [f"train.seed={seed}", "train.threads=1", "infer.figures=false", "infer.samples=10", "track.mlflow=false", *more]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lfads_core.cli.main", "run", recording, *chosen, "--hold-out", "0.25", "--runs", folder, "--name", "run"]
        command += [part for setting in settings for part in ("--set", setting)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = (done.stderr.strip().splitlines() or [str(done.returncode)])[-1]
        if done.returncode not in {0, REFUSED}:
            raise SystemExit(f"{' '.join(command)}: {said}")
        found = {"refused": said} if done.returncode else {"scores": json.loads((Path(folder) / "run" / "run.json").read_text())["scores"]}
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"recording": Path(recording).stem, "word": word, "seed": seed, "set": more, "cpu_s": round(seconds, 1), **found}


def cell(values: list[float]) -> str:
    """Mean, and standard deviation where there are several."""
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def table(kept: list[dict[str, Any]]) -> Iterator[str]:
    """A row for each recording and word, the default first."""
    yield "| recording | component | seeds | held-out channels | behaviour R2 | CPU s |"
    yield "|---|---|---|---|---|---|"
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in kept:
        rows.setdefault((one["recording"], one["word"]), []).append(one)
    recordings = list(dict.fromkeys(recording for recording, _ in rows))
    for recording, word in sorted(rows, key=lambda row: (recordings.index(row[0]), WORDS.index(row[1]))):
        found = rows[recording, word]
        if any("refused" in one for one in found):
            yield f"| {recording} | {word} | {len(found)} | does not go with it | | |"
            continue
        held_out = [one["scores"][name] for one in found for name in HELD_OUT if name in one["scores"]]
        decoded = [[value for name, value in one["scores"].items() if name.startswith("valid/behaviour_r2_")] for one in found]
        behaviour = [statistics.mean(values) for values in decoded if values]
        seconds = statistics.mean(one["cpu_s"] for one in found)
        yield f"| {recording} | {word} | {len(found)} | {cell(held_out)} | {cell(behaviour)} | {seconds:.0f} |"


def main() -> None:
    """Train what is not kept yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", metavar="FILE[=RECIPE]")
    parser.add_argument("--words", nargs="+", default=WORDS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], dest="more", help="a setting for all of them")
    parser.add_argument("--keep", type=Path, required=True, help="results, a line each")
    given = parser.parse_args()

    def kept() -> list[dict[str, Any]]:
        return [json.loads(line) for line in given.keep.read_text().splitlines()] if given.keep.exists() else []

    for seed in given.seeds:
        for recording in given.recordings:
            for word in given.words:
                one = {"recording": Path(recording.partition("=")[0]).stem, "word": word, "seed": seed, "set": given.more}
                if not any(one.items() <= of.items() for of in kept()):
                    line = json.dumps(run(word, recording, seed, given.more))
                    with given.keep.open("a") as file:
                        file.write(f"{line}\n")
    print("\n".join(table(kept())))


if __name__ == "__main__":
    main()
