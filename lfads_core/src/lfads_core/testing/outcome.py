"""Laws of metrics and reports."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from numbers import Real
from pathlib import Path

import h5py
import numpy as np

from lfads_core.components.evaluation import Evaluation
from lfads_core.data.session import Session, Split
from lfads_core.errors import LfadsError
from lfads_core.infer.outputs import write_outputs
from lfads_core.infer.posterior import Inferred
from lfads_core.plugins.specs import MetricSpec, ReportSpec
from lfads_core.runs import Run
from lfads_core.testing.findings import Law
from lfads_core.trial.compare import no_shared_chance, same
from lfads_core.trial.kinds import number_faults

_B, _T, _N = 12, 20, 6


@dataclass(frozen=True)
class MetricCase:
    """A metric."""

    spec: MetricSpec


def evaluations() -> dict[str, Evaluation]:
    """Predictions of many kinds by name: counts, real values, with gaps, with truth and training trials, nearly nothing."""
    rng = np.random.default_rng(0)
    truth = np.exp(0.5 * np.sin(np.linspace(0, 6, _T))[None, :, None] + rng.normal(size=(_B, 1, _N)) * 0.3)
    counts = rng.poisson(truth).astype(np.float32)
    behaviour = truth[..., :2] + 0.1 * rng.normal(size=(_B, _T, 2))
    plain = Evaluation(session="a", split="valid", means=truth * 1.1, data=counts, encod_bins=15, encod_channels=4, support="counts", is_rate=True)
    rich = replace(plain, bin_ms=20.0, extras={"truth": truth, "behavior": behaviour, "cond": np.arange(_B) % 3})
    gaps = counts.copy()
    gaps[0, :3] = np.nan
    real = replace(plain, data=truth + rng.normal(size=truth.shape), support="real", is_rate=False)
    return {
        "counts": plain,
        "counts with truth, behaviour and training trials": replace(rich, train=replace(rich, split="train")),
        "counts with gaps": replace(plain, data=gaps),
        "silent counts": replace(plain, data=np.zeros_like(counts)),
        "real values": real,
        "one trial": replace(plain, means=plain.means[:1], data=plain.data[:1]),
    }


def _numbers(case: MetricCase) -> Iterator[str]:
    for name, evaluation in evaluations().items():
        try:
            found = case.spec.compute(evaluation)
        except (Exception, SystemExit) as err:  # noqa: BLE001 - that is the fault
            yield f"of {name}: must give numbers, or none where they make no sense, got {type(err).__name__}: {err}"
            continue
        yield from (f"of {name}: {fault}" for fault in number_faults(found))
        for key, value in found.items() if isinstance(found, Mapping) else ():
            if isinstance(value, Real) and not np.isfinite(float(value)):
                yield f"of {name}: {key!r} must be a finite number, or left out, got {value!r}"


def _metric_again(case: MetricCase) -> Iterator[str]:
    for name, evaluation in evaluations().items():
        kept = evaluations()[name]
        faults: list[str] = []
        with no_shared_chance("compute", faults):
            first, second = case.spec.compute(evaluation), case.spec.compute(evaluation)
        yield from faults
        if not same(dict(first), dict(second)):
            yield f"of {name}: the same predictions must give the same numbers"
        if not same(_arrays(kept), _arrays(evaluation)):
            yield f"of {name}: what is handed in must not be changed"


def _arrays(evaluation: Evaluation) -> dict[str, object]:
    return {field.name: getattr(evaluation, field.name) for field in fields(evaluation) if field.name != "train"}


METRIC_LAWS: tuple[Law[MetricCase], ...] = (
    Law("it gives finite numbers by name, or none", _numbers),
    Law("the same predictions give the same, and stay as they are", _metric_again),
)


@dataclass(frozen=True)
class ReportCase:
    """A report."""

    spec: ReportSpec


def a_run(folder: Path, *, conditions: bool = True) -> Run:
    """A folder that looks like that of a finished run of one session."""
    run = Run.create(folder)
    run.plots.mkdir()
    run.update_state(status="finished", data=[])
    rows = ["epoch,train/loss,valid/loss,valid/recon,lr", *(f"{e},{2 - 0.1 * e},{2.1 - 0.1 * e},{2 - 0.1 * e},0.004" for e in range(5))]
    run.fitlog.write_text("\n".join(rows) + "\n", encoding="utf-8")
    evaluation = evaluations()["counts"]
    extras = {"truth": evaluation.means / 1.1, **({"cond": np.arange(_B) % 3} if conditions else {})}
    split = Split(encod=evaluation.data[..., :4], recon=evaluation.data, external=evaluation.data[..., :0], extras=extras)
    session = Session(name="a", path=None, splits={"train": split, "valid": split}, attributes={"bin_ms": 20.0})
    rng = np.random.default_rng(1)
    sizes: dict[str, tuple[int, ...]] = {
        "output_params": (_T, _N),
        "factors": (_T, 4),
        "ic_mean": (3,),
        "ic_std": (3,),
        "co_means": (_T, 2),
        "co_stds": (_T, 2),
    }
    sizes |= {"gen_states": (_T, 5), "gen_init": (5,), "gen_inputs": (_T, 2), "con_states": (_T, 3)}
    arrays = {name: np.abs(rng.normal(size=(_B, *sizes[name]))).astype(np.float32) for name in sizes}
    arrays["output_params"] = evaluation.means.astype(np.float32)
    inferred = Inferred.of(arrays)
    write_outputs(run.output("a"), session, {"train": [inferred], "valid": [inferred]}, samples=1, is_rate=True)
    return run


def _writes(case: ReportCase) -> Iterator[str]:
    for conditions in (True, False):
        with tempfile.TemporaryDirectory() as place:
            run = a_run(Path(place) / "run", conditions=conditions)
            before = _files(run)
            faults: list[str] = []
            try:
                with no_shared_chance("render", faults):
                    written = list(case.spec.render(run, run.plots))
            except LfadsError as err:
                yield f"must render a finished run, got {type(err).__name__}: {err}"
                return
            yield from faults
            for path in written:
                if not isinstance(path, Path) or not path.is_file() or run.plots not in path.parents:
                    yield f"must return the files it wrote in the folder it was given, got {path!r}"
                elif path.stat().st_size == 0:
                    yield f"must write something, got the empty file {path.name!r}"
            if any(_files(run).get(name) != content for name, content in before.items()):
                yield "must leave the files of the run alone"


def _empty(case: ReportCase) -> Iterator[str]:
    """A run whose outputs hold no validation trials must not be an error."""
    with tempfile.TemporaryDirectory() as place:
        run = a_run(Path(place) / "run")
        with h5py.File(run.output("a"), "a") as file:
            for key in [key for key in file if key.startswith("valid_")]:
                del file[key]
        for path in case.spec.render(run, run.plots):
            if not path.is_file():
                yield f"must return the files it wrote, got {path!r}"


def _files(run: Run) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


REPORT_LAWS: tuple[Law[ReportCase], ...] = (
    Law("it writes files into its folder and leaves the run alone", _writes, essential=True),
    Law("a run without validation outputs is no error", _empty),
)
