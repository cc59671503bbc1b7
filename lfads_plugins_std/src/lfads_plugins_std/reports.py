"""Figures of a finished run, drawn from its output files and log alone, in the format that its settings say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from lfads_core.config.fields import FIGURE_FORMATS
from lfads_core.config.yaml_io import read_yaml
from lfads_core.data.hdf5 import opened_outputs
from lfads_core.data.layout import agreement
from lfads_core.data.legacy import SPLITS
from lfads_core.data.session import Session, Split
from lfads_core.runs import Run
from lfads_core.track.fitlog import read_fitlog
from lfads_plugins_std.alignment.condition_names import texts
from lfads_plugins_std.figures import draw_curves, draw_factors, draw_inputs, draw_trials, draw_truth, save
from lfads_plugins_std.figures.curves import cost_unit
from lfads_plugins_std.figures.of_session import DIMENSIONS, channels_of, events_of, groups_of
from lfads_plugins_std.figures.trials import pictures_of
from lfads_plugins_std.figures.units import Scale, TimeAxis, rate_scale, time_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TRIALS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidTrials:
    """What the figures show of one session: its validation trials, and whatever was inferred of them among the split's ``extras``."""

    session: Session
    time: TimeAxis
    scale: Scale
    counts: bool

    @property
    def split(self) -> Split:
        """The validation trials."""
        return self.session.splits["valid"]


def render_curves(run: Run, folder: Path) -> list[Path]:
    """Draw costs, metrics, learning rate and ramps over epochs."""
    return [save(curves_of(run), folder / f"training_curves.{_format(_settings(run))}")]


def curves_of(run: Run) -> Figure:
    """The course of a training, its best epoch marked."""
    table, best = {key: np.asarray(column) for key, column in read_fitlog(run.fitlog).items()}, run.read_best()
    said = _settings(run)
    reconstruction = said.get("components", {}).get("reconstruction")
    name = reconstruction.get("name") if isinstance(reconstruction, Mapping) else reconstruction
    cost = cost_unit(str(name), said.get("regularisation", {}).get("reduce", "mean"))
    return draw_curves(table, best=None if best is None else best.epoch, cost=cost, dimensions=_dimensions(run))


def _dimensions(run: Run) -> list[str]:
    """Names of the dimensions of behaviour, if the first session that has outputs has any."""
    for path in run.outputs[:1]:
        with opened_outputs(path) as file:
            if isinstance(item := file.get(DIMENSIONS), h5py.Dataset):
                return texts(_values(item))
    return []


def render_trials(run: Run, folder: Path) -> list[Path]:
    """Draw rasters beside rates."""
    return _each(run, folder, "trials", lambda of: trials_of(of.session, "valid", of.scale, of.time, counts=of.counts))


def trials_of(session: Session, split: str, scale: Scale, time: TimeAxis, *, counts: bool, most: int = MOST_TRIALS) -> Figure:
    """A few trials of a split: the recording, the rates, the true ones where they are known."""
    data = session.splits[split]
    known = {"true": data.extras["truth"]} if knows_truth(session, split) else {}
    kinds = {"recorded": data.recon, "inferred": data.extras["output_params"], **known}
    seen, events = channels_of(session, split).seen, events_of(session, split, time)
    return draw_trials(pictures_of(kinds, most, time, scale, counts=counts, seen=seen, events=events))


def render_factors(run: Run, folder: Path) -> list[Path]:
    """Draw factors in three principal components."""
    return _each(run, folder, "factors", lambda of: draw_factors(of.split.extras["factors"], groups_of(of.session, "valid"), time=of.time))


def render_inputs(run: Run, folder: Path) -> list[Path]:
    """Draw inferred inputs, if the model has any."""

    def draw(of: ValidTrials) -> Figure | None:
        means, stds = of.split.extras["co_means"], of.split.extras["co_stds"]
        return draw_inputs(means, stds, groups=groups_of(of.session, "valid"), time=of.time) if means.shape[2] else None

    return _each(run, folder, "inputs", draw)


def render_truth(run: Run, folder: Path) -> list[Path]:
    """Draw rates against the truth, where it is known."""
    return _each(run, folder, "truth", lambda of: truth_of(of.session, "valid", of.scale, of.time) if knows_truth(of.session, "valid") else None)


def truth_of(session: Session, split: str, scale: Scale, time: TimeAxis) -> Figure:
    """Rates against the truth, where :func:`knows_truth`."""
    extras = session.splits[split].extras
    return draw_truth(extras["output_params"], extras["truth"], scale=scale, channels=channels_of(session, split), time=time)


def knows_truth(session: Session, split: str) -> bool:
    """Whether a split's true rates are there."""
    extras = session.splits[split].extras
    return "truth" in extras and extras["truth"].shape == extras["output_params"].shape


def _each(run: Run, folder: Path, kind: str, draw: Callable[[ValidTrials], Figure | None]) -> list[Path]:
    written = []
    form = _format(_settings(run))
    for of in _sessions(run):
        figure = draw(of)
        if figure is not None:
            written.append(save(figure, folder / f"{kind}_{of.session.name}.{form}"))
    return written


def _settings(run: Run) -> Mapping[str, Any]:
    """The run's settings as they are written; empty where they are not."""
    return read_yaml(run.config_path).data if run.config_path.is_file() else {}


def _format(settings: Mapping[str, Any]) -> str:
    """In which figures are wanted."""
    return str(settings.get("infer", {}).get("figure_format", FIGURE_FORMATS[0]))


_SHOWN = ("output_params", "factors", "co_means", "co_stds", "truth")


def _sessions(run: Run) -> Iterator[ValidTrials]:
    for path in run.outputs:
        with opened_outputs(path) as file:
            if "valid_output_params" not in file:
                continue
            data, encod = file["valid_recon_data"][()], file["valid_encod_data"][()]
            small = {key: item for key, item in file.items() if isinstance(item, h5py.Dataset) and item.ndim == 1}
            extras = {key.removeprefix("valid_"): _values(item) for key, item in small.items() if key.startswith("valid_")}
            extras |= {key: file[f"valid_{key}"][()] for key in _SHOWN if f"valid_{key}" in file}
            whole = {key: _values(item) for key, item in small.items() if key.partition("_")[0] not in SPLITS}
            attributes = dict(file.attrs)
            is_rate = file["valid_output_params"].attrs["unit"] == "events/bin"
        split = Split(encod=encod, recon=data, external=data[..., :0], nested=agreement(encod, data).nested, extras=extras)
        session = Session(name=str(attributes["lfads_session"]), path=path, splits={"valid": split}, arrays=whole, attributes=attributes)
        counts = is_rate and bool((np.rint(data) == data)[np.isfinite(data)].all())
        scale = rate_scale(session.bin_ms, is_rate=is_rate, counts=counts, unit=str(session.attributes.get("data_unit", "")))
        yield ValidTrials(session=session, time=time_of(session, data.shape[1]), scale=scale, counts=counts)


def _values(item: h5py.Dataset) -> np.ndarray:
    found: np.ndarray = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
    return found
