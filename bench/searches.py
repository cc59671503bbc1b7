"""Searches of equal size beside one training as it comes: does a search pay, and which?

    python bench/searches.py FILE[=RECIPE] ... --keep kept.jsonl --epochs 40

Each search has as many members, each of them as many epochs, on one thread; what stops early takes less. ``pbt, published spaces`` begins where
AutoLFADS did, the others around the run's own values. ``default`` is one training with the settings as they come, to its own end. A quarter of the
channels is held out; members are compared by it, and scores are of validation trials.
"""

from __future__ import annotations

from pathlib import Path

from commands import behaviour, held_out, kept, of_recipe, once, options, settings, table, truth

PUBLISHED = {"optim.lr": "log:1e-5:5e-3:init=4e-3"}
PUBLISHED |= {f"regularisation.kl_{name}": "log:1e-6:1e-3:explore=0.8" for name in ("ic", "inputs")}
PUBLISHED |= {f"regularisation.l2_{name}": "log:1e-5:1:explore=0.8" for name in ("generator", "controller")}
WAYS = {
    "default": ["run"],
    "random": ["search", "random"],
    "tpe": ["search", "tpe"],
    "pbt": ["search", "pbt"],
    "pbt, published spaces": ["search", "pbt", *(part for path, space in PUBLISHED.items() for part in ("--space", f"{path}={space}"))],
}


def main() -> None:
    """Search what is not kept yet, then print the table."""
    parser = options(__doc__)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=40)
    given = parser.parse_args()
    size = ["--members", str(given.members), "--epochs", str(given.epochs), "--workers", "1"]
    every = ["search.interval=5", "search.min_improvement=null"]
    for seed in given.seeds:
        for recording in given.recordings:
            file, plugins = of_recipe(recording)
            for way in given.ways:
                alone = way == "default"
                command = [*WAYS[way], file, *([] if alone else [*size, "--seed", str(seed)]), *plugins]
                own = settings(f"train.seed={seed}", *([] if alone else every), *given.more)
                key = {"recording": Path(file).stem, "way": way, "seed": seed, "members": given.members, "each": given.epochs, "set": given.more}
                once(given.keep, key, [*command, "--hold-out", "0.25", *own], "run" if alone else "run/best")
    columns = {"held-out channels": held_out, "behaviour R2": behaviour, "R2 to true rates": truth}
    print("\n".join(table(kept(given.keep), "way", list(WAYS), columns)))


if __name__ == "__main__":
    main()
