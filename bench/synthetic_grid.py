"""Is the default as good as what a search finds? Recordings of known rates, of several sizes, kinds and amounts of noise.

    python bench/synthetic_grid.py --keep kept.jsonl [--seeds 3] [--members 30] [--minutes 0.5] [--cells calcium EMG real]

Each cell is one recording. The default is trained with several seeds, for these differ more than many settings do; a random search trains
``--members`` models, each for as long as the default may take, over everything that is searched by itself. A member ends with the generation in
which its time is over, which can take twice as long, so the default is trained for as many epochs as the longest of them too: that is what the
share is of. The best member is chosen by its R2 to the true rates of validation trials, which no search on real data could do: the hardest
comparison. A cell where the default's mean over seeds has less than 97 % of it is marked.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from commands import Row, cell, kept, of_recipe, once, settings, synth

FEW, MANY = ("conditions=4", "trials_per_condition=5"), ("conditions=25", "trials_per_condition=8")
LOW, HIGH = "mean_rate=3", "mean_rate=20"
NARROW, WIDE = "channels=10", "channels=80"

CELLS = {
    "spikes, few trials, low rates, few channels": ("lorenz", [*FEW, LOW, NARROW], ""),
    "spikes, few trials, high rates, many channels": ("lorenz", [*FEW, HIGH, WIDE], ""),
    "spikes, many trials, low rates, many channels": ("lorenz", [*MANY, LOW, WIDE], ""),
    "spikes, many trials, high rates, few channels": ("lorenz", [*MANY, HIGH, NARROW], ""),
    "calcium, few trials": ("calcium", [*FEW], "zig"),
    "calcium, many trials": ("calcium", [*MANY], "zig"),
    "EMG, few trials": ("emg", ["trials=20"], "emg"),
    "EMG, many trials": ("emg", ["trials=200"], "emg"),
    "real values, few trials": ("chaotic-rnn", [*FEW, "noise=gaussian"], "gaussian"),
    "real values, many trials": ("chaotic-rnn", [*MANY, "noise=gaussian"], "gaussian"),
}
"""Generator, its settings and the recipe of each cell. Of spikes each two of three sizes meet once: half of all that there are."""


R2 = "valid/r2_truth"


def main() -> None:
    """Train what is not kept yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of the default")
    parser.add_argument("--members", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--cells", nargs="+", default=[""], help="only cells whose name has one of these words in it")
    parser.add_argument("--keep", type=Path, required=True, help="results, a line each")
    given = parser.parse_args()
    for name, (generator, chosen, recipe) in CELLS.items():
        if not any(word in name for word in given.cells):
            continue
        with tempfile.TemporaryDirectory() as folder:
            file, plugins = of_recipe(f"{synth(generator, Path(folder) / 'data.h5', chosen)}={recipe}")
            key = {"cell": name, "members": given.members, "minutes": given.minutes}
            same = ["--minutes", f"{given.minutes:g}", *settings()]
            for seed in range(given.seeds):
                once(given.keep, key | {"way": "default", "seed": seed}, ["run", file, *plugins, *same, "--set", f"train.seed={seed}"])
            epochs = 0
            for seed in range(given.members):
                search = ["search", "random", file, *plugins, "--members", "1", "--workers", "1", "--seed", str(seed), *same]
                epochs = max(epochs, once(given.keep, key | {"way": "search", "seed": seed}, search, "run/best").get("epochs", 0))
            for seed in range(given.seeds if epochs else 0):
                longer = ["run", file, *plugins, "--epochs", str(epochs), *settings(f"train.seed={seed}")]
                once(given.keep, key | {"way": "default, as long", "seed": seed}, longer)
    print("\n".join(table(kept(given.keep))))


def table(rows: list[Row]) -> Iterator[str]:
    """A line for each cell."""
    yield "| cell | R2 to true rates: default | seeds | as long as members | best of the search | members | share | CPU s of a default |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in dict.fromkeys(row["cell"] for row in rows):
        own = [row for row in rows if row["cell"] == name and "scores" in row]
        defaults, longer, others = ([row for row in own if row["way"] == way] for way in ("default", "default, as long", "search"))
        if not (defaults and longer and others):
            continue
        short, reached = ([row["scores"][R2] for row in which] for which in (defaults, longer))
        best = max(row["scores"][R2] for row in others)
        share, seconds = statistics.mean(reached) / best, statistics.mean(row["cpu_s"] for row in defaults)
        mark = "" if share >= 0.97 else " **below 97 %**"
        found = f"{cell(short)} | {len(short)} | {cell(reached)} | {best:.3f} | {len(others)} | {share:.1%}{mark}"
        yield f"| {name} | {found} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
