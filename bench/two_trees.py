"""Time of a training step in this tree and in another, in turn: ``python bench/two_trees.py OTHER_TREE``.

OTHER_TREE is a clone or worktree of an earlier commit. Each tree has a process of its own for every row; one waits while the other takes its
steps, so that a busy moment of the machine meets both. Times are on the clock and on the CPU, medians over rounds; ``small`` is S1 with 8 trials,
20 units in generator and encoder and 10 in controller and its encoder, where what a step costs beside its products shows most.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = ("lfads_core", "lfads_plugins_std", "lfads_plugins_calcium", "lfads_plugins_emg", "lfads_plugins_tune", "lfads_plugins_lab")
SMALL = (
    "data.batch_size=8",
    "model.generator.hidden=20",
    "model.encoder.hidden=20",
    "model.controller.hidden=10",
    "model.controller.encoder_hidden=10",
)
ROWS = (("S1", 1, 3), ("S2", 1, 2), ("S3", 1, 2), ("S4", 1, 2), ("small", 1, 20), ("small", 16, 4))
"""Network, members, steps in a turn."""


def worker(name: str, members: int, steps: int, path: str, threads: int) -> None:
    """Take so many steps for every line of standard input; print their mean seconds on the clock and on the CPU."""
    from lfads_core.plugins import load_registry
    from lfads_core.train.device import use_cpu
    from lfads_plugins_lab.bench.population import steps_in_shards
    from lfads_plugins_lab.bench.problem import WARM_UP, load_problem

    use_cpu(threads)
    problem = load_problem("S1" if name == "small" else name, (), load_registry(), SMALL if name == "small" else ())
    with steps_in_shards(problem, members, [path], threads) as ways:
        for _ in range(WARM_UP):
            ways[path]()
        print("ready", flush=True)
        for _ in sys.stdin:
            clock, cpu = time.perf_counter(), time.process_time()
            for _ in range(steps):
                ways[path]()
            print((time.perf_counter() - clock) / steps, (time.process_time() - cpu) / steps, flush=True)


def start(tree: Path, row: tuple[str, int, int], path: str, threads: int) -> subprocess.Popen[str]:
    """The process of one tree."""
    sources = os.pathsep.join(str(tree / package / "src") for package in PACKAGES)
    command = [sys.executable, __file__, "--worker", *map(str, row), path, str(threads)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": sources}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def asked(process: subprocess.Popen[str], word: str | None = None) -> str:
    """What a process prints next, after a line to it."""
    assert process.stdin is not None
    assert process.stdout is not None
    if word is not None:
        process.stdin.write(f"{word}\n")
        process.stdin.flush()
    if not (line := process.stdout.readline()):
        raise SystemExit(f"{' '.join(map(str, process.args))} ended early")  # type: ignore[arg-type]
    return line


def main() -> None:
    """Print a row as soon as it is known."""
    if sys.argv[1:2] == ["--worker"]:
        name, members, steps, path, threads = sys.argv[2:]
        worker(name, int(members), int(steps), path, int(threads))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--recurrence", nargs="+", default=["fused", "compiled"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", nargs="+", default=[name for name, _, _ in ROWS])
    parser.add_argument("--members", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--pairs", type=int, default=1, help="pairs of new processes, a row each: processes of one tree differ, too")
    given = parser.parse_args()
    trees = (given.other.resolve(), Path(__file__).resolve().parents[1])
    print(
        "| network | members | path | clock: other, ms | this, ms | this / other | CPU: other, ms | this, ms |\n|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    for row in [row for row in ROWS if row[0] in given.networks and row[1] in given.members] * given.pairs:
        for path in given.recurrence:
            processes = [start(tree, row, path, given.threads) for tree in trees]
            for process in processes:
                asked(process)
            turns = [[tuple(map(float, asked(process, "go").split())) for process in processes] for _ in range(given.rounds)]
            for process in processes:
                process.communicate()
            other, this = ([statistics.median(turn[k][what] for turn in turns) * 1e3 for what in (0, 1)] for k in (0, 1))
            ratio = statistics.median(turn[1][0] / turn[0][0] for turn in turns)
            print(f"| {row[0]} | {row[1]} | `{path}` | {other[0]:.1f} | {this[0]:.1f} | {ratio:.3f} | {other[1]:.1f} | {this[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
