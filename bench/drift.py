"""Does a model follow a recording that drifts, without labels, as well as one that is trained anew with them?

    OMP_NUM_THREADS=1 python bench/drift.py [--folder FOLDER] [--seeds 0 1] [--kinds lost permuted ...]

Two days of the Lorenz system (`lfads synth drifting-days`) for each kind of drift. A model and a ridge decoder of behaviour from its
factors are trained on day 1. On day 2 behaviour of held-out trials is decoded: by that decoder, from what the model makes of the new day
as it is ("before") and after `lfads adapt --align nomad` ("aligned"); and by a decoder and a model trained anew on day 2 ("retrained").
The last two kinds are no drift: another task, and channels that know nothing; nothing is trained anew for them. Seconds are of one CPU,
from reading to inference. What is there already is not made again. The table is in Markdown.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from lfads_core.config.load import resolve
from lfads_core.infer.loading import load
from lfads_core.infer.run import infer_files
from lfads_core.pipeline.adapt import adapt_run
from lfads_core.pipeline.run import Finished, start_run
from lfads_core.plugins import Registry, SyntheticSpec, load_registry
from lfads_core.synth.settings import synthetic_settings
from lfads_core.synth.write import write_synthetic
from lfads_core.train.progress import Display
from lfads_plugins_std.metrics.r2 import r2_per_channel
from lfads_plugins_std.metrics.ridge import Ridge, fit_ridge_cv

SIZES = ("conditions=16", "trials_per_condition=10", "bins=40", "channels=30", "mean_rate=15")
NONE = {"lost": 0.0, "gained": 0.0, "rescaled": 0.0, "permuted": 0.0}
KINDS = {
    "lost": {**NONE, "lost": 0.5},
    "gained": {**NONE, "gained": 0.5},
    "rescaled": {**NONE, "rescaled": 1.0},
    "permuted": {**NONE, "permuted": 1.0},
    "all": {"lost": 0.2, "gained": 0.3, "rescaled": 0.5, "permuted": 0.5},
    "another task": NONE,
    "nothing to see": NONE,
}
NO_DRIFT = ("another task", "nothing to see")
SETTINGS = (
    "components.readin=linear",
    "model.controller=null",  # the Lorenz system is autonomous
    "model.encoder.hidden=48",
    "model.generator={hidden: 64, ic_size: 32, factors: 8}",
    "model.dropout=0.1",
    "infer.samples=20",
    "infer.figures=false",
    "track.mlflow=false",
    "train.device=cpu",
)


def main() -> None:
    """Make what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("drift"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    print("| drift | seed | before | aligned | retrained | share | distance before | left | within | said | s aligned | s retrained |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind in options.kinds:
        for seed in options.seeds:
            print(line(kind, seed, measure(options.folder / f"seed{seed}", kind, seed, load_registry())), flush=True)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of one kind of drift; R2 of behaviour on held-out trials of day 2, mean over its dimensions."""

    before: float  # the old model and decoder, as they are
    aligned: float  # the old decoder, from the aligned model
    retrained: float | None  # a decoder and a model trained anew
    seconds: float  # of the adaptation
    retrained_seconds: float | None
    distances: Mapping[str, float]  # before, left, within
    findings: Mapping[str, str]  # of the aligned run


def measure(folder: Path, kind: str, seed: int, registry: Registry) -> Measured:
    """Train and score all models of one kind of drift."""
    here = folder / kind.replace(" ", "-")
    first, second = make_days(here / "days", kind, seed, registry)
    settings = resolve([], [], (*SETTINGS, f"train.seed={seed}"), registry)
    timed(folder / "day1", lambda path: start_run(path, [first], settings, registry, Display()))
    parent = load(folder / "day1", registry=registry)
    before = here / "before.h5"
    infer_files(parent, [second], samples=parent.default_samples, output=before)  # also loads what the first inference of a process loads
    spent = timed(here / "aligned", lambda path: adapt_run(parent, [second], (), Display(), path, align="nomad"))
    old = decoder(folder / "day1" / "lfads_output_day1.h5")
    retrained, whole = None, None
    if kind not in NO_DRIFT:
        whole = timed(here / "retrained", lambda path: start_run(path, [second], settings, registry, Display()))
        again = here / "retrained" / "lfads_output_day2.h5"
        retrained = score(decoder(again), again)
    state = json.loads((here / "aligned" / "run.json").read_text())
    return Measured(
        before=score(old, before),
        aligned=score(old, here / "aligned" / "lfads_output_day2.h5"),
        retrained=retrained,
        seconds=spent,
        retrained_seconds=whole,
        distances={key: state["alignment"][key]["day2"] for key in ("before", "left", "within")},
        findings=state["findings"],
    )


def line(kind: str, seed: int, found: Measured) -> str:
    """The same as a line of the table."""
    anew = "-" if found.retrained is None else f"{found.retrained:.3f}"
    share = "-" if found.retrained is None else f"{found.aligned / found.retrained:.0%}"
    time_anew = "-" if found.retrained_seconds is None else f"{found.retrained_seconds:.0f}"
    distances = [f"{found.distances[key]:.3f}" for key in ("before", "left", "within")]
    cells = [kind, str(seed), f"{found.before:.3f}", f"{found.aligned:.3f}", anew, share, *distances, ", ".join(found.findings) or "-"]
    return f"| {' | '.join([*cells, f'{found.seconds:.1f}', time_anew])} |"


def make_days(folder: Path, kind: str, seed: int, registry: Registry) -> tuple[Path, Path]:
    """Files of both days; the first is the same for every kind of one seed."""
    days = folder / "day1.h5", folder / "day2.h5"
    if not folder.exists():
        spec = registry.get(SyntheticSpec, "drifting-days")
        settings = synthetic_settings(spec, [*SIZES, *(f"{key}={value}" for key, value in KINDS[kind].items())], registry)
        write_synthetic(spec, settings, seed, folder)
        if kind == NO_DRIFT[0]:
            days[1].unlink()
            other = write_synthetic(spec, settings, seed + 1000, folder.parent / "other")
            (other / "day2.h5").rename(days[1])
        if kind == NO_DRIFT[1]:
            with h5py.File(days[1], "a") as file:
                for split in ("train", "valid"):
                    counts = file[f"{split}_recon_data"][()]
                    noise = np.random.default_rng(seed).poisson(np.broadcast_to(counts.mean(axis=(0, 1)), counts.shape))
                    for key in ("encod_data", "recon_data"):
                        file[f"{split}_{key}"][...] = noise
    return days


def timed(path: Path, train: Callable[[Path], Finished]) -> float:
    """Train unless that is done; returns the CPU seconds it took."""
    kept = path / "cpu_seconds"
    if not kept.exists():
        start = time.process_time()
        train(path)
        kept.write_text(str(time.process_time() - start))
    return float(kept.read_text())


def decoder(output: Path) -> Ridge:
    """Behaviour from factors, fitted to a run's training trials."""
    with h5py.File(output) as file:
        return fit_ridge_cv(rows(file, "train_factors"), rows(file, "train_behavior"))


def score(fit: Ridge, output: Path) -> float:
    """R2 of behaviour of held-out trials, mean over its dimensions."""
    with h5py.File(output) as file:
        return float(np.mean(r2_per_channel(fit(rows(file, "valid_factors")), rows(file, "valid_behavior"))))


def rows(file: h5py.File, key: str) -> np.ndarray:
    """Bins of all trials."""
    values: np.ndarray = file[key][()].astype(np.float64)
    return values.reshape(-1, values.shape[-1])


if __name__ == "__main__":
    main()
