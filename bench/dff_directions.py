"""How well the condition of a trial can be told from traces, from inferred rates, and from what rates leave of the traces.

    python bench/dff_directions.py calcium_surlab_v1_dff.h5=gaussian --keep kept.jsonl [--set model.dropout=0.1]

All trials of the recording are split anew, five times, with a fifth of each condition's for validation: one split has too few trials to tell
much. Each split is trained as it comes, nothing held out, and a linear discriminant (shrinkage of Ledoit and Wolf) of all bins and channels is fitted
to training trials and scored on validation trials. The numbers are shares of trials whose condition is found.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import h5py
import numpy as np
from commands import Row, kept, of_recipe, once, options, result, settings
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

FOLDS = 5
MADE_FROM = ("traces", "rates", "traces - rates")


def main() -> None:
    """Train what is not kept yet, then print the table."""
    given = options(__doc__).parse_args()
    for recording in given.recordings:
        file, plugins = of_recipe(recording)
        for fold in range(FOLDS):
            with tempfile.TemporaryDirectory() as folder:
                data = split(Path(file), Path(folder) / "data.h5", fold)
                for seed in given.seeds:
                    key = {"recording": Path(file).stem, "fold": fold, "seed": seed, "set": given.more}
                    once(given.keep, key, ["run", str(data), *plugins, *settings(f"train.seed={seed}", *given.more)], read=told)
    print("| recording | settings | trainings | " + " | ".join(MADE_FROM) + " | R2 of traces |")
    print("|---" * (len(MADE_FROM) + 4) + "|")
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in kept(given.keep):
        groups.setdefault((row["recording"], " ".join(row["set"]) or "as it comes"), []).append(row)
    for (recording, chosen), rows in groups.items():
        cells = (f"{statistics.mean(row[name] for row in rows):.3f}" for name in (*MADE_FROM, "r2"))
        print(f"| {recording} | {chosen} | {len(rows)} | {' | '.join(cells)} |")


def told(run: Path) -> Row:
    """Share of validation trials whose condition is found, from each of three things; R2 of the traces."""
    halves = ("train", "valid")
    with h5py.File(run / "lfads_output_data.h5") as out:
        traces, rates = ({half: out[f"{half}_{name}"][:] for half in halves} for name in ("recon_data", "output_params"))
        labels = {half: out[f"{half}_cond_idx"][:] for half in halves}
    row: Row = {"r2": result(run)["scores"]["valid/r2"]}
    for name, taken in zip(MADE_FROM, (traces, rates, {half: traces[half] - rates[half] for half in halves}), strict=True):
        features = {half: values.reshape(len(values), -1) for half, values in taken.items()}
        found = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features["train"], labels["train"])
        row[name] = found.score(features["valid"], labels["valid"])
    return row


def split(file: Path, to: Path, fold: int) -> Path:
    """The recording with other trials for validation; the same fold of a file is the same trials."""
    with h5py.File(file) as data, h5py.File(to, "w") as new:
        joined = {name[6:]: np.concatenate([data[name], data[f"valid_{name[6:]}"]]) for name in data if name.startswith("train_")}
        order, labels = np.random.default_rng(0), joined["cond_idx"]
        of = np.empty(len(labels), int)
        for label in np.unique(labels):
            at = order.permutation(np.flatnonzero(labels == label))
            of[at] = np.arange(len(at)) % FOLDS
        for name, values in joined.items():
            new[f"train_{name}"], new[f"valid_{name}"] = values[of != fold], values[of == fold]
        new.attrs["bin_ms"] = data.attrs["bin_ms"]
    return to


if __name__ == "__main__":
    main()
