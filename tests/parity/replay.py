"""Replay parity fixtures against this library.

    python tests/parity/replay.py FIXTURE... [--tolerance 1e-9] [--float32] [--recurrence reference]

Prints one JSON object per compared array and one per file. Exit code 0: everything agrees; 1: something does not, or an
array of a file was not compared; 2: a file cannot be read or is no fixture.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: make `parity` importable
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from lfads_core.errors import LfadsError
from lfads_core.recurrence.choose import BACKENDS
from parity.fixture import Fixture, ForeignFileError, read_fixture, read_json
from parity.json_case import replay_schedules
from parity.masking_case import replay_coordinated_dropout, replay_missing_values, replay_sample_validation
from parity.metric_case import replay_benchmark_metrics, replay_metrics
from parity.model_case import replay_model
from parity.moving_case import replay_spike_jitter, replay_temporal_shift
from parity.prior_case import replay_priors
from parity.report import Report, emit
from parity.search_case import replay_search
from parity.training_case import replay_average, replay_training

_TOLERANCE, _TOLERANCE_32 = 1e-9, 1e-4

_KINDS: tuple[tuple[str, Callable[[Fixture, Report], None]], ...] = (
    ("steps/loss", replay_training),
    ("loss/total", replay_model),
    ("outputs/output_params", replay_average),
    ("ar0/log_prob", replay_priors),
    ("cd0/cd_mask", replay_coordinated_dropout),
    ("sv0/sv_mask", replay_sample_validation),
    ("isnan", replay_missing_values),
    ("expected_destination_probability", replay_spike_jitter),
    ("encod_shift_raw", replay_temporal_shift),
    ("lograte", replay_metrics),
    ("velocity_decoding/value_grid_search", replay_benchmark_metrics),
)
"""An array that tells each kind of fixture, in the order in which they are tried."""


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make ``dtype`` the default for a while."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def replay(path: Path, tolerance: float | None = None, *, float32: bool = False, recurrence: str = "reference") -> Report:
    """Replay one file, with the named backend of the loops over time.

    Raises:
        ForeignFileError: it cannot be read or is no fixture.
    """
    if path.suffix != ".json":
        return replay_fixture(replace(read_fixture(path), recurrence=recurrence), tolerance, float32=float32)
    data = read_json(path)
    report = Report(path.name, path.stem, limit_of(tolerance, float32=float32))
    if {"ramps", "plateau"} <= data.keys():
        return _run(replay_schedules, data, report, path)
    if {"explore", "tournament"} <= data.keys():
        return _run(replay_search, data, report, path)
    raise ForeignFileError(f"{path}: must hold schedules or decisions of population-based training, got {', '.join(data)}")


def replay_fixture(fixture: Fixture, tolerance: float | None = None, *, float32: bool = False) -> Report:
    """Replay one fixture that is in memory.

    Raises:
        ForeignFileError: it is of no known kind, or lacks arrays of its kind.
    """
    path = fixture.path
    report = Report(path.name, fixture.case, limit_of(tolerance, float32=float32))
    for telltale, run in _KINDS:
        if telltale in fixture.arrays:
            with default_dtype(torch.float32 if float32 else torch.float64):
                return _run(run, fixture, report, path)
    raise ForeignFileError(f"{path}: must be one of the known kinds of fixture, got arrays {', '.join(sorted(fixture.arrays)[:5])}...")


def limit_of(tolerance: float | None, *, float32: bool) -> float:
    """The tolerance asked for, or that of the precision."""
    return tolerance if tolerance is not None else _TOLERANCE_32 if float32 else _TOLERANCE


def _run(run: Callable[[Any, Report], None], data: object, report: Report, path: Path) -> Report:
    """Fill and close the report; what the library refuses or breaks on is a failure of the whole file."""
    try:
        run(data, report)
    except KeyError as err:
        raise ForeignFileError(f"{path}: must hold {err}") from err
    except (LfadsError, ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as err:
        report.add("(the whole file)", float("inf"), note=f"{type(err).__name__}: {' '.join(str(err).split())[:500]}")
    report.close()
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay all files given and return the exit code."""
    parser = argparse.ArgumentParser(description="Replay parity fixtures against this library.")
    parser.add_argument("fixtures", nargs="+", type=Path, metavar="FIXTURE")
    parser.add_argument("--tolerance", type=float, help=f"largest relative error ({_TOLERANCE:g}, in float32 {_TOLERANCE_32:g})")
    parser.add_argument("--float32", action="store_true", help="compute in float32")
    parser.add_argument("--recurrence", choices=sorted(BACKENDS), default="reference", help="backend of the loops over time")
    options = parser.parse_args(arguments)
    code, summaries = 0, []
    for path in options.fixtures:
        try:
            report = replay(path, options.tolerance, float32=options.float32, recurrence=options.recurrence)
        except ForeignFileError as err:
            code = 2
            summaries.append({"file": path.name, "case": None, "summary": True, "message": str(err), "ok": False})
            continue
        emit(report.records)
        summaries.append(report.summary())
        if report.failures:
            code = max(code, 1)
    emit(summaries)
    return code


if __name__ == "__main__":
    sys.exit(main())
