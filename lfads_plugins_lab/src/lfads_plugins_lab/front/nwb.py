"""A run's arrays in an NWB file, beside what its source holds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import xarray as xr

from lfads_core.data.hdf5 import read_hdf5
from lfads_core.errors import ConfigError, DataError
from lfads_core.files import replacing, spoken_failure
from lfads_core.front.trained import TrainedRun
from lfads_plugins_lab.front.on_clock import OnClock, on_clock
from lfads_plugins_lab.recordings.nwb import pynwb_of

MODULE = "lfads"
"""Name of the processing module that is added."""

_WHAT = {
    "rates": "Firing rates that LFADS infers, averages over samples of the posterior; a column for each unit",
    "factors": "Latent factors of LFADS, averages over samples of the posterior",
    "inputs": "Inputs to the dynamics that LFADS infers, means of the posterior",
}


def to_nwb(run: TrainedRun, path: Path, source: Path | None, subject: Mapping[str, str] | None) -> Path:
    """Write the file; its module ``lfads`` holds a ``TimeSeries`` for each array, with the middle of each bin as timestamp, and the trials' windows.

    Raises:
        DataError: pynwb is not installed, it is not known when trials began, they share time, or the source is no NWB file.
        ConfigError: there is a source, and a subject beside it; or the subject has a field that NWB does not know.
        RunError: the file cannot be written.
    """
    pynwb = pynwb_of(str(path))
    found = run.results
    laid = on_clock(found, str(run.path))
    source = source or _source_of(run)
    if source is not None and subject is not None:
        raise ConfigError(f"{path}: the subject is that of the source, {source}, got another one. Leave subject out, or change the source.")
    if source is not None and source.resolve() == path.resolve():
        raise DataError(f"{path}: what is written must go to a file of its own, got the source itself. Choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), spoken_failure(path, (OSError,)), replacing(path) as temporary:
        warnings.simplefilter("ignore")  # of older schemas, which are read all the same
        if source is None:
            file = _new_file(pynwb, run, (laid, found), subject)
            _add(pynwb, file, run, found, laid)
            with pynwb.NWBHDF5IO(str(temporary), "w") as io:
                io.write(file)
        else:
            _beside(pynwb, run, found, laid, (source, temporary))
    return path


def _beside(pynwb: Any, run: TrainedRun, found: xr.Dataset, laid: OnClock, files: tuple[Path, Path]) -> None:
    source, target = files
    try:
        reading = pynwb.NWBHDF5IO(str(source), "r", load_namespaces=True)
    except Exception as err:
        raise DataError(f"{source}: must be a readable NWB file, got {type(err).__name__}: {err}. Name another with source=.") from err
    with reading:
        file = reading.read()
        if MODULE in file.processing:
            raise DataError(f"{source}: must not hold what a run inferred already, got a module '{MODULE}'. Give the file it was made from.")
        _add(pynwb, file, run, found, laid)
        file.set_modified()
        with pynwb.NWBHDF5IO(str(target), "w") as writing:
            writing.export(src_io=reading, nwbfile=file)


def _source_of(run: TrainedRun) -> Path | None:
    """The NWB file that the session was made of, if it is where it was."""
    made = [read_hdf5(path, required=()).attributes.get("made_from_path") for path in [run.run.output(run.session)]]
    source = next((Path(str(one)) for one in made if one), None)
    return source if source is not None and source.suffix.lower() == ".nwb" and source.is_file() else None


def _new_file(pynwb: Any, run: TrainedRun, inferred: tuple[OnClock, xr.Dataset], subject: Mapping[str, str] | None) -> Any:
    laid, found = inferred
    file = pynwb.NWBFile(
        session_description=f"Session {run.session}, of which LFADS inferred the rates",
        identifier=str(uuid4()),
        session_start_time=datetime.fromtimestamp(0, UTC),
        experiment_description="The recording was given as arrays: when it was made is not known, and stands as 1970-01-01.",
        subject=_subject_of(pynwb, subject),
    )
    conditions = found["condition"].values[laid.order] if "condition" in found.coords else None
    if conditions is not None:
        file.add_trial_column(name="condition", description="condition of the trial")
    for row, (start, stop) in enumerate(laid.trials.tolist()):
        file.add_trial(start_time=start, stop_time=stop, **({} if conditions is None else {"condition": str(conditions[row])}))
    return file


def _subject_of(pynwb: Any, subject: Mapping[str, str] | None) -> Any:
    try:
        return None if subject is None else pynwb.file.Subject(**subject)
    except (TypeError, ValueError) as err:
        raise ConfigError(
            f"subject: must have fields of NWB's Subject, such as subject_id, species, sex and age, got {dict(subject or {})!r}: {err}"
        ) from err


def _add(pynwb: Any, file: Any, run: TrainedRun, found: xr.Dataset, laid: OnClock) -> None:
    module = file.create_processing_module(name=MODULE, description=f"What LFADS inferred; run {run.run.name}, the {run.checkpoint} checkpoint")
    about = f"Each sample is a bin of {1000 * laid.width_s:g} ms; its timestamp is the bin's middle."
    held = found["held_out"].values
    first = None
    for name, values in laid.values.items():
        columns = ", ".join(map(str, found[found[name].dims[2]].values.tolist()))
        hidden = ", ".join(map(str, found["unit"].values[held].tolist())) if name == "rates" and held.any() else ""
        comments = f"{about} Columns: {columns}.{f' Held out from the model: {hidden}.' if hidden else ''}"
        unit = {"events/s": "Hz"}.get(str(found[name].attrs.get("units", "")), str(found[name].attrs.get("units", "arbitrary")))
        series = pynwb.TimeSeries(
            name=name,
            data=np.ascontiguousarray(values, dtype=np.float32),
            unit="a.u." if unit == "arbitrary" else unit,
            timestamps=laid.times if first is None else first,
            description=_WHAT[name],
            comments=comments,
        )
        first = first or series
        module.add(series)
    windows = pynwb.epoch.TimeIntervals(name="windows", description="The window of each trial that LFADS saw")
    windows.add_column(name="split", description="whether the trial was for training, validation or testing")
    windows.add_column(name="trial", description="number of the trial in the recording")
    for row, (start, stop) in zip(laid.order.tolist(), laid.trials.tolist(), strict=True):
        windows.add_row(start_time=start, stop_time=stop, split=str(found["split"].values[row]), trial=int(found["trial"].values[row]))
    module.add(windows)
