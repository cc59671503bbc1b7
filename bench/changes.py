"""Does another setting beat the defaults? One change at a time, on recordings, or on Lorenz data unlike the usual in bins, rates, channels or speed.

    python bench/changes.py --keep kept.jsonl [--only "2 ms" slow] [--changes "as it comes" "100 factors"]
    python bench/changes.py maze.h5 events.h5=zig --keep kept.jsonl

A quarter of the channels is held out; every training ends by itself, or after ``--minutes``. Scores are of validation trials: R2 to the true rates
(mean over channels), co-bps or R2 of the held-out channels, and R2 of behaviour decoded from the rates.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from commands import behaviour, held_out, kept, of_recipe, once, options, settings, synth, table, truth

TRIALS = ("conditions=20", "trials_per_condition=10")
LORENZ = {
    "Lorenz as it comes": [*TRIALS],
    "50 ms, 5 channels": [*TRIALS, "bin_ms=50", "bins=20", "channels=5"],
    "5 ms": [*TRIALS, "bin_ms=5", "bins=200"],
    "2 ms, 60 trials": ["conditions=6", "trials_per_condition=10", "bin_ms=2", "bins=500"],
    "200 channels of 2 spikes/s": [*TRIALS, "channels=200", "mean_rate=2"],
    "600 channels of 5 spikes/s": [*TRIALS, "channels=600", "mean_rate=5"],
    "100 spikes/s": [*TRIALS, "mean_rate=100"],
    "slow": [*TRIALS, "speed=0.3"],
    "fast": [*TRIALS, "speed=6"],
    "10 bins": [*TRIALS, "bins=10"],
}
"""Settings of the generator."""

CHANGES = {
    "as it comes": [],
    "dropout 0.1": ["model.dropout=0.1"],
    "dropout 0.5": ["model.dropout=0.5"],
    "coordinated dropout 0.1": ["components.train_augmentations=[{name: coordinated-dropout, rate: 0.1}]"],
    "coordinated dropout 0.5": ["components.train_augmentations=[{name: coordinated-dropout, rate: 0.5}]"],
    "half the learning rate": ["optim.lr=0.002"],
    "twice the generator": ["model.generator.hidden=200"],
    "100 factors": ["model.generator.factors=100"],
    "no inputs": ["model.controller=null"],
    "16 inputs": ["model.controller.inputs=16"],
    "100 factors, 16 inputs": ["model.generator.factors=100", "model.controller.inputs=16"],
    "batches of 16": ["data.batch_size=16"],
}


def main() -> None:
    """Train what is not kept yet, then print the table."""
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--only", nargs="+", default=[""], help="only Lorenz data whose name has one of these words in it")
    parser.add_argument("--changes", nargs="+", default=list(CHANGES), choices=CHANGES)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, recording in recordings(given.recordings, given.only, Path(folder)):
            file, plugins = of_recipe(recording)
            for seed in given.seeds:
                for change in given.changes:
                    key = {"recording": name, "change": change, "seed": seed, "minutes": given.minutes, "set": given.more}
                    chosen = settings(f"train.seed={seed}", *CHANGES[change], *given.more)
                    once(given.keep, key, ["run", file, *plugins, "--hold-out", "0.25", "--minutes", f"{given.minutes:g}", *chosen])
    columns = {"true rates": truth, "held-out channels": held_out, "behaviour R2": behaviour}
    print("\n".join(table(kept(given.keep), "change", list(CHANGES), columns)))


def recordings(given: Sequence[str], words: Sequence[str], folder: Path) -> Iterator[tuple[str, str]]:
    """Names and ``FILE[=RECIPE]`` of what is given, or of Lorenz data, which are written into the folder."""
    if given:
        yield from ((Path(of_recipe(recording)[0]).stem, recording) for recording in given)
        return
    for name, chosen in LORENZ.items():
        if any(word in name for word in words):
            yield name, str(synth("lorenz", folder / "data.h5", chosen, seed=1))


if __name__ == "__main__":
    main()
