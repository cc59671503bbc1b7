"""Does one model for several sessions beat a model for each, and how cheap is adding a session?

    python bench/stitching.py [--folder FOLDER] [--seeds 0 1 2] [--minutes 2]

Lorenz recordings with shared conditions and neurons of their own, a quarter of which is held out (co-smoothing). Four trainings per
seed: each session alone; all but the last session stitched; all sessions stitched; the last session added to the second of these with
everything else frozen. Runs that are there already are not trained again. The tables are in Markdown; times are wall-clock seconds of
the training loop.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np

from lfads_core.config.load import resolve
from lfads_core.infer.loading import load
from lfads_core.pipeline.adapt import adapt_run
from lfads_core.pipeline.run import start_run
from lfads_core.plugins import SyntheticSpec, load_registry
from lfads_core.runs import Run
from lfads_core.synth.settings import synthetic_settings
from lfads_core.synth.write import write_synthetic
from lfads_core.track.fitlog import read_fitlog
from lfads_core.train.progress import Display

SESSIONS = 5
DATA = (f"sessions={SESSIONS}", "conditions=24", "trials_per_condition=5", "channels=16", "mean_rate=10")
SETTINGS = (
    "data.batch_size=48",
    "data.hold_out.fraction=0.25",
    "model.controller=null",  # the Lorenz system is autonomous
    "model.encoder.hidden=48",
    "model.generator={hidden: 64, ic_size: 32, factors: 8}",
    "model.dropout=0.1",
    "regularisation.kl_ramp.increase_epochs=30",
    "regularisation.l2_ramp.increase_epochs=30",
    "train.early_stopping=80",
    "train.smoothing=0.5",
    "infer.samples=20",
    "track.mlflow=false",
    "train.device=cpu",
)
ADAPTATION = ("data.batch_size=24", "optim.lr=0.01", "train.early_stopping=40", "train.epochs=150")


def main() -> None:
    """Make data, train what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("stitching"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=2.0, help="most minutes of one training")
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    options = parser.parse_args()
    rows = [one_seed(options.folder / f"seed{seed}", seed, options.minutes, options.overrides) for seed in options.seeds]
    show(rows, options.seeds)


def one_seed(folder: Path, seed: int, minutes: float, overrides: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """Scores and seconds of every model of one seed."""
    registry = load_registry()
    data = folder / "data"
    if not data.is_dir():
        spec = registry.get(SyntheticSpec, "lorenz")
        write_synthetic(spec, synthetic_settings(spec, DATA, registry), seed, data)
    files = sorted(data.glob("*.h5"))
    settings = (*SETTINGS, f"train.minutes={minutes}", f"train.seed={seed}", *overrides)

    def train(name: str, chosen: Sequence[Path]) -> Run:
        run = Run(folder / name)
        if not is_finished(run):
            start_run(run.path, chosen, resolve([], [], settings, registry), registry, Display())
        return run

    runs = {f"alone {file.stem}": train(f"alone_{file.stem}", [file]) for file in files}
    runs["parent"] = train("parent", files[:-1])
    runs["joint"] = train("joint", files)
    runs["adapted"] = Run(folder / "adapted")
    if not is_finished(runs["adapted"]):
        adapt_run(load(runs["parent"].path, registry=registry), [files[-1]], ADAPTATION, Display(), runs["adapted"].path)
    names, last = [file.stem for file in files], files[-1].stem
    ways = {"alone": runs[f"alone {last}"], "joint": runs["joint"], "adapted": runs["adapted"]}
    return {
        "alone": {name: score(runs[f"alone {name}"], name, "r2_truth") for name in names},
        "joint": {name: score(runs["joint"], name, "r2_truth") for name in names},
        "co_bps": {way: score(run, last, "co_bps") for way, run in ways.items()},
        "r2": {way: score(run, last, "r2_truth") for way, run in ways.items()},
        "seconds": {way: seconds(run) for way, run in ways.items()},
        "alone_seconds": {name: seconds(runs[f"alone {name}"]) for name in names},
    }


def is_finished(run: Run) -> bool:
    """Whether the run has been trained to its end."""
    return run.state_path.is_file() and run.read_state()["status"] == "finished"


def score(run: Run, session: str, metric: str) -> float:
    """A validation score of one session."""
    scores = run.read_state()["scores"]
    named = f"valid/{metric}/{session}"
    return float(scores[named] if named in scores else scores[f"valid/{metric}"])


def seconds(run: Run) -> float:
    """Wall-clock time of the training loop."""
    return float(read_fitlog(run.fitlog)["seconds"][-1])


def show(rows: Sequence[dict[str, dict[str, float]]], seeds: Sequence[int]) -> None:
    """Print both tables."""
    print("\nR2 to the true rates of held-out trials, mean over channels\n")
    names = list(rows[0]["alone"])
    table(["seed", "model", *names, "mean", "s"])
    for seed, row in zip(seeds, rows, strict=True):
        for way, took in (("alone", sum(row["alone_seconds"].values())), ("joint", row["seconds"]["joint"])):
            values = [row[way][name] for name in names]
            line(seed, {"alone": "one for each", "joint": "stitched"}[way], *(f"{v:.3f}" for v in values), f"{mean(values):.3f}", f"{took:.0f}")
    alone, joint = (np.array([list(row[kind].values()) for row in rows]) for kind in ("alone", "joint"))
    print(f"\nstitched {joint.mean():.3f}, one for each {alone.mean():.3f}; stitched is better in {(joint > alone).sum()} of {alone.size} sessions")
    print(f"\nThe last session, {names[-1]}\n")
    table(["seed", "model", "co-bps", "of stitched", "R2", "s"])
    for seed, row in zip(seeds, rows, strict=True):
        for way, label in (("alone", "alone"), ("joint", "stitched with the others"), ("adapted", "added to the others")):
            co = row["co_bps"]
            line(seed, label, f"{co[way]:.3f}", f"{co[way] / co['joint']:.1%}", f"{row['r2'][way]:.3f}", f"{row['seconds'][way]:.0f}")
    adapted, stitched = (mean(row["co_bps"][way] for row in rows) for way in ("adapted", "joint"))
    print(f"\nmean co-bps: added {adapted:.3f}, stitched {stitched:.3f} ({adapted / stitched:.1%})")


def table(headings: Sequence[str]) -> None:
    """Begin a Markdown table."""
    line(*headings)
    line(*("---" for _ in headings))


def line(*cells: object) -> None:
    """Print a row."""
    print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
