"""How a step's time and a process's memory grow with the length of trials, their number, and the members of a population.

    python bench/growth.py [--threads 2] [--rounds 5]

Each line is a process of its own: shape S1 (`lfads bench`) with one size changed, on the fastest recurrence. ``kept_mb`` is the peak
above what the process held before its first step; ``per_...`` columns would be constant if growth were linear.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time

GROWTH = {
    "bins": [100, 200, 500, 1000, 2000],
    "trials": [32, 64, 128, 256, 512],
    "members": [1, 4, 16, 64],
}


def measure(name: str, value: int, threads: int, rounds: int) -> dict[str, float]:
    """One point, within this process."""
    from lfads_core.plugins import load_registry
    from lfads_core.train.device import use_cpu
    from lfads_plugins_lab.bench.peak import resident_peak
    from lfads_plugins_lab.bench.population import steps_in_shards
    from lfads_plugins_lab.bench.problem import load_problem
    from lfads_plugins_lab.bench.shapes import SHAPES

    use_cpu(threads)
    changes = {"bins": {"bins": value, "encoded_bins": value}, "trials": {"trials": value}, "members": {}}[name]
    SHAPES["S1"] = dataclasses.replace(SHAPES["S1"], **changes)
    problem = load_problem("S1", [], load_registry())
    members = value if name == "members" else 1
    with steps_in_shards(problem, members, ["auto"], threads) as steps:
        step = steps["auto"]
        before = resident_peak()
        step()
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            step()
            times.append(time.perf_counter() - began)
    data = problem.sessions[0].splits["train"].recon.nbytes / 2**20
    seconds, kept = statistics.median(times), resident_peak() - before
    return {"seconds": seconds, "data_mb": data, "kept_mb": kept, f"ms_per_{name[:-1]}": 1e3 * seconds / value, f"mb_per_{name[:-1]}": kept / value}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--point", nargs=2, metavar=("NAME", "VALUE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        print(json.dumps(measure(options.point[0], int(options.point[1]), options.threads, options.rounds)))
        return
    for name, values in GROWTH.items():
        for value in values:
            command = [sys.executable, __file__, "--threads", str(options.threads), "--rounds", str(options.rounds), "--point", name, str(value)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
            print(f"{name} {value}  " + "  ".join(f"{key} {number:.4g}" for key, number in found.items()), flush=True)


if __name__ == "__main__":
    main()
