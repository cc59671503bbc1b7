"""Figures of a finished run, drawn from its output files and log alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from lfads_core.data.session import Session
from lfads_core.runs import Run
from lfads_core.track.fitlog import read_fitlog
from lfads_plugins_std.figures import draw_curves, draw_factors, draw_inputs, draw_trials, draw_truth, save
from lfads_plugins_std.figures.units import TimeAxis, time_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidTrials:
    """What the figures show of one session: its validation trials."""

    name: str
    data: np.ndarray  # (B, T, N)
    rates: np.ndarray  # (B, T, N)
    factors: np.ndarray  # (B, T, F)
    co_means: np.ndarray  # (B, T, U)
    co_stds: np.ndarray  # (B, T, U)
    truth: np.ndarray | None
    conditions: np.ndarray | None
    bin_ms: float | None
    time: TimeAxis
    is_rate: bool


def render_curves(run: Run, folder: Path) -> list[Path]:
    """Draw costs, metrics, learning rate and ramps over epochs."""
    table = {key: np.asarray(column) for key, column in read_fitlog(run.fitlog).items()}
    return [save(draw_curves(table), folder / "training_curves.png")]


def render_trials(run: Run, folder: Path) -> list[Path]:
    """Draw rasters beside rates."""
    return _each(run, folder, "trials", lambda s: draw_trials(s.data, s.rates, s.bin_ms, is_rate=s.is_rate, truth=s.truth, time=s.time))


def render_factors(run: Run, folder: Path) -> list[Path]:
    """Draw factors in three principal components."""
    return _each(run, folder, "factors", lambda s: draw_factors(s.factors, s.bin_ms, s.conditions, time=s.time))


def render_inputs(run: Run, folder: Path) -> list[Path]:
    """Draw inferred inputs, if the model has any."""
    return _each(run, folder, "inputs", lambda s: draw_inputs(s.co_means, s.co_stds, s.bin_ms, time=s.time) if s.co_means.shape[2] else None)


def render_truth(run: Run, folder: Path) -> list[Path]:
    """Draw rates against the truth, where it is known."""
    return _each(run, folder, "truth", lambda s: None if s.truth is None else draw_truth(s.rates, s.truth, s.bin_ms, is_rate=s.is_rate, time=s.time))


def _each(run: Run, folder: Path, kind: str, draw: Callable[[ValidTrials], Figure | None]) -> list[Path]:
    written = []
    for session in _sessions(run):
        figure = draw(session)
        if figure is not None:
            written.append(save(figure, folder / f"{kind}_{session.name}.png"))
    return written


def _sessions(run: Run) -> Iterator[ValidTrials]:
    for path in run.outputs:
        with h5py.File(path) as file:
            if "valid_output_params" not in file:
                continue
            conditions = next((file[key][()] for key in ("valid_cond", "valid_condition", "valid_conditions") if key in file), None)
            name, data = str(file.attrs["lfads_session"]), file["valid_recon_data"][()]
            of = Session(name=name, path=path, splits={}, attributes=dict(file.attrs))
            yield ValidTrials(
                name=name,
                data=data,
                rates=file["valid_output_params"][()],
                factors=file["valid_factors"][()],
                co_means=file["valid_co_means"][()],
                co_stds=file["valid_co_stds"][()],
                truth=file["valid_truth"][()] if "valid_truth" in file else None,
                conditions=conditions if conditions is not None and conditions.ndim == 1 and conditions.dtype.kind in "biuf" else None,
                bin_ms=of.bin_ms,
                time=time_of(of, data.shape[1]),
                is_rate=file["valid_output_params"].attrs["unit"] == "events/bin",
            )
