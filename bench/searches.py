"""Searches of equal time beside one training that has as long: does a search pay, and which?

    python bench/searches.py FILE[=RECIPE] ... --keep kept.jsonl --minutes 4

Each search has the same members, one thread, and trains until the minutes are over: random and TPE train each member as long as every other,
population-based training moves all of them. ``default`` is one training with the settings as they come, which may end before. A quarter of the
channels is held out; members are compared by it, and scores are of validation trials.
"""

from __future__ import annotations

from pathlib import Path

from commands import behaviour, held_out, kept, once, options, settings, table

WAYS = ("default", "random", "tpe", "sha", "pbt")


def main() -> None:
    """Search what is not kept yet, then print the table."""
    parser = options(__doc__)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=4.0)
    given = parser.parse_args()
    for seed in given.seeds:
        for recording in given.recordings:
            file, _, recipe = recording.partition("=")
            for way in given.ways:
                command = ["run", file]
                if way != "default":
                    command = ["search", way, file, "--members", str(given.members), "--workers", "1", "--seed", str(seed)]
                command += ["--minutes", f"{given.minutes:g}"]
                own = settings(f"train.seed={seed}", *given.more)
                key = {"recording": Path(file).stem, "way": way, "seed": seed, "members": given.members, "minutes": given.minutes, "set": given.more}
                chosen = ["--plugin", recipe] if recipe else []
                once(given.keep, key, [*command, *chosen, "--hold-out", "0.25", *own], "run" if way == "default" else "run/best")
    columns = {"held-out channels": held_out, "behaviour R2": behaviour, "R2 to true rates": lambda row: row["scores"].get("valid/r2_truth")}
    print("\n".join(table(kept(given.keep), "way", WAYS, columns)))


if __name__ == "__main__":
    main()
