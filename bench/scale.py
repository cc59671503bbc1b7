"""What the defaults make of recordings far from the usual size, whose true rates are known: quality, time for a trial, memory.

    python bench/scale.py --keep kept.jsonl

Lorenz recordings (`lfads synth lorenz`), each trained with the settings as they come but for its number of epochs: about 600 steps, 2,500 of the
last one. That is 40 sessions with channels and trials of their own number, cut from sessions of one size: stitched into one model, and five of them
alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
from commands import Row, kept, once, settings, synth

CELLS: Mapping[str, tuple[int, list[str]]] = {
    "845 trials, 50 bins, 40 channels": (45, []),
    "1,000 channels": (40, ["conditions=20", "channels=1000"]),
    "20,000 trials": (2, ["conditions=250", "trials_per_condition=100"]),
    "2,000 bins": (50, ["conditions=25", "trials_per_condition=8", "bins=2000"]),
}
"""Epochs and the generator's settings of what is one recording."""

SESSIONS, ALONE = 40, 5
EPOCHS, EPOCHS_ALONE = 60, 50


def main() -> None:
    """Train what is not kept yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="results, a line each")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, (epochs, chosen) in CELLS.items():
            train(given.keep, {"cell": name}, synth("lorenz", Path(folder) / "data.h5", chosen, 1), epochs)
        sizes = ["channels=48", "conditions=25", "trials_per_condition=5", f"sessions={SESSIONS}"]
        files = sorted(synth("lorenz", Path(folder) / "days", sizes, 1).glob("*.h5"))
        for number, file in enumerate(files):
            cut(file, np.random.default_rng(number))
        train(given.keep, {"cell": f"{SESSIONS} sessions"}, files[0].parent, EPOCHS)
        for file in files[:: SESSIONS // ALONE]:
            train(given.keep, {"session": file.stem}, file, EPOCHS_ALONE)
    print("\n".join(table(kept(given.keep))))


def cut(file: Path, generator: np.random.Generator) -> None:
    """Leave 8 to all of a session's channels, and from a quarter to all of its trials."""
    with h5py.File(file, "r+") as opened:
        channels = opened["train_truth"].shape[2]
        of = np.sort(generator.choice(channels, generator.integers(8, channels + 1), replace=False))
        share = generator.uniform(0.25, 1)
        for name, dataset in list(opened.items()):
            values = dataset[: max(2, round(share * len(dataset)))]
            attributes = dict(dataset.attrs)
            del opened[name]
            opened[name] = values[..., of] if values.ndim == 3 and values.shape[2] == channels else values
            opened[name].attrs.update(attributes)


def train(keep: Path, key: Row, data: Path, epochs: int) -> Row:
    """Train on a file or on all files of a folder, if it is not kept."""
    shapes = []
    for file in sorted(data.glob("*.h5")) if data.is_dir() else [data]:
        with h5py.File(file) as opened:
            shapes.append(list(opened["train_truth"].shape))
    return once(keep, key | {"shapes": shapes}, ["run", str(data), *settings(f"train.epochs={epochs}")])


def table(rows: list[Row]) -> Iterator[str]:
    """A line for each training."""
    yield "| recording | training trials, bins, channels | trials seen | CPU ms for one of them | most memory, MB | R2 to true rates |"
    yield "|---|---|---|---|---|---|"
    alone = [row["session"] for row in rows if "session" in row]
    for row in rows:
        trials = sum(shape[0] for shape in row["shapes"])
        channels = sorted({shape[2] for shape in row["shapes"]})
        size = f"{trials}, {row['shapes'][0][1]}, {channels[0]}{f' to {channels[-1]}' if len(channels) > 1 else ''}"
        seen = trials * row["epochs"] * row["passes"]
        name = f"{row['session']} alone" if "session" in row else row["cell"]
        of = [row["scores"][each] for session in alone if (each := f"valid/r2_truth/{session}") in row["scores"]]
        reached = f"{row['scores']['valid/r2_truth']:.3f}" + (f" (those below: {', '.join(f'{value:.3f}' for value in of)})" if of else "")
        yield f"| {name} | {size} | {seen:,} | {1000 * row['cpu_s'] / seen:.1f} | {row['peak_mb']:,} | {reached} |"


if __name__ == "__main__":
    main()
