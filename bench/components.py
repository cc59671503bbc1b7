"""What other encoders, generators, losses and latents make of recordings, beside the GRUs.

    python bench/components.py FILE[=RECIPE] ... --keep kept.jsonl --set train.minutes=1

Each is chosen by its one word, behind the recipe of its recording; everything else is as it comes. A quarter of the channels is held out. Scores are
of validation trials: how well values of the held-out channels are predicted (co-bps of counts, R2 of others) and how well behaviour is decoded from
rates (R2, mean over its dimensions). The time is CPU time of the whole command on one thread, scoring included. What ``--keep`` holds already is
not trained again. A component that refuses a recording (the loss ``behaviour`` where there is none) has a row that says so.
"""

from __future__ import annotations

from pathlib import Path

from commands import behaviour, held_out, kept, of_recipe, once, options, settings, table

WORDS = ("gru", "transformer", "lstm", "mlp", "low-rank", "linear-dynamics", "behaviour", "input-correlation", "context")
"""What lfads-plugins-std brings, and the default first."""


def main() -> None:
    """Train what is not kept yet, then print the table."""
    parser = options(__doc__)
    parser.add_argument("--words", nargs="+", default=WORDS)
    given = parser.parse_args()
    for seed in given.seeds:
        for recording in given.recordings:
            file, plugins = of_recipe(recording)
            for word in given.words:
                chosen = plugins if word == "gru" else [*plugins, "--plugin", word]
                key = {"recording": Path(file).stem, "word": word, "seed": seed, "set": given.more}
                once(given.keep, key, ["run", file, *chosen, "--hold-out", "0.25", *settings(f"train.seed={seed}", *given.more)])
    rows = [row | {"component": row["word"]} for row in kept(given.keep)]
    print("\n".join(table(rows, "component", WORDS, {"held-out channels": held_out, "behaviour R2": behaviour})))


if __name__ == "__main__":
    main()
