"""Alignment of recordings on disk: copies that hold ``readin_weight`` and ``readout_bias`` beside everything of the original."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from lfads_core.data.layout import CONDITION_KEYS
from lfads_core.data.read import read_sessions
from lfads_core.data.session import Session
from lfads_core.errors import DataError
from lfads_core.files import replacing
from lfads_core.output_file import OutputFile
from lfads_core.plugins.registry import Registry
from lfads_plugins_std.alignment.align import (
    ALPHAS,
    Alignment,
    Averages,
    Shared,
    align_session,
    common_conditions,
    condition_averages,
    shared_components,
)
from lfads_plugins_std.alignment.condition_names import names_of
from lfads_plugins_std.metrics.smooth import smooth


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """How to align."""

    conditions: str | None = None  # key of the trials' conditions without its split; None looks for CONDITION_KEYS
    smooth_ms: float = 40.0  # standard deviation of the Gaussian
    components: int | None = None  # None: as many as hold ``variance``
    variance: float = 0.9
    ridge: bool = False  # penalty chosen on left-out conditions; otherwise least squares
    common: bool = False  # leave out conditions that a session lacks


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligned:
    """What came of it, by session."""

    shared: Shared
    sessions: Mapping[str, Alignment]
    trials: Mapping[str, int]
    bin_ms: float | None
    first_bin_ms: float
    aligned_to: str | None


def align_recordings(sessions: Sequence[Session], options: AlignOptions, *, reference: Sequence[Session] = ()) -> Aligned:
    """Align the sessions' training trials to components that they share, or to those of the ``reference`` sessions.

    Raises:
        DataError: conditions are missing or not shared, bins differ, or there are fewer components than asked for.
    """
    basis = {s.name: _averages(s, options, alone=len(sessions) + len(reference) == 1) for s in reference or sessions}
    averages = {s.name: basis[s.name] if s.name in basis else _averages(s, options, alone=False) for s in sessions}
    _check_bins([*reference, *sessions])
    conditions = common_conditions({**basis, **averages}, drop=options.common)
    shared = shared_components(basis, conditions, options.components, options.variance)
    alphas = ALPHAS if options.ridge else (0.0,)
    return Aligned(
        shared=shared,
        sessions={name: align_session(of, shared, alphas) for name, of in averages.items()},
        trials={s.name: s.splits["train"].trials for s in sessions},
        bin_ms=sessions[0].bin_ms,
        first_bin_ms=sessions[0].first_bin_ms,
        aligned_to=sessions[0].aligned_to,
    )


def align_files(
    patterns: Sequence[str | Path],
    folder: Path,
    options: AlignOptions,
    registry: Registry,
    *,
    reference: Sequence[str | Path] = (),
    overwrite: bool = False,
) -> Aligned:
    """Align recordings and write a copy of each with its alignment into ``folder``; the recordings themselves stay as they are.

    Raises:
        DataError: see :func:`align_recordings`; a recording is not HDF5; a copy would replace a file.
    """
    sessions = read_sessions(patterns, registry, required=("train",))
    copies = {session.name: (_recording(session), folder / _recording(session).name) for session in sessions}
    for source, copy in copies.values():
        if copy.resolve() == source.resolve():
            raise DataError(f"{copy}: aligned copies must go to a folder of their own, got that of the recordings. Choose another with -o.")
        if copy.exists() and not overwrite:
            raise DataError(f"{copy}: a new file must not replace another, got one that exists. Choose another folder with -o, or use --force.")
    aligned = align_recordings(sessions, options, reference=read_sessions(reference, registry, required=("train",)) if reference else ())
    for name, (source, copy) in copies.items():
        write_aligned(source, copy, aligned.sessions[name])
    return aligned


def write_aligned(source: Path, copy: Path, alignment: Alignment) -> None:
    """Copy a file byte for byte, then put ``readin_weight`` (N, D) and ``readout_bias`` (N) into the copy, which appears as a whole.

    Raises:
        DataError: it cannot be written.
    """
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with replacing(copy) as temporary:
            shutil.copyfile(source, temporary)
            with OutputFile(temporary, "r+") as file:
                for key, values in (("readin_weight", alignment.weight), ("readout_bias", alignment.bias)):
                    if key in file:  # of an earlier alignment
                        del file[key]
                    file.create_dataset(key, data=values)
    except OSError as err:
        raise DataError(f"{copy}: the file must be writable, got {err.strerror or err}. Choose another place with -o.") from err


def _recording(session: Session) -> Path:
    if session.path is None or not h5py.is_hdf5(session.path):
        raise DataError(f"{session.path or session.name}: an alignment can be written beside HDF5 data only, got another format. Convert the file.")
    return session.path


def _averages(session: Session, options: AlignOptions, *, alone: bool) -> Averages:
    where = str(session.path or session.name)
    train = session.splits["train"]
    return condition_averages(
        smooth(train.encod, _width(session, options.smooth_ms, where)), _labels(session, options.conditions, where, alone), where
    )


def _width(session: Session, smooth_ms: float, where: str) -> float:
    if smooth_ms == 0:
        return 0.0
    if session.bin_ms is None:
        raise DataError(f"{where}: smoothing by {smooth_ms:g} ms must know the width of a bin, got no attribute 'bin_ms'. Add it, or use --smooth 0.")
    return smooth_ms / session.bin_ms


def _labels(session: Session, key: str | None, where: str, alone: bool) -> list[str]:
    """Conditions as text; a single session without any is aligned trial by trial."""
    train = session.splits["train"]
    wanted = CONDITION_KEYS if key is None else (key.removeprefix("train_"),)
    found = next((train.extras[k] for k in wanted if k in train.extras), None)
    if found is None and key is None and alone:
        return [f"{row:09d}" for row in range(train.trials)]
    if found is None or (np.ndim(found) != 1 and found.size != train.trials):
        here = ", ".join(f"'train_{k}'" for k, v in train.extras.items() if v.size == train.trials) or "none"
        got = "nothing" if found is None else f"shape {found.shape}"
        raise DataError(
            f"{where}: the condition of each training trial must be there as 'train_{wanted[0]}' (trials), got {got}. "
            f"Name the array with --conditions; arrays with one value per trial: {here}."
        )
    values = np.ravel(found)
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise DataError(
            f"{where}: every training trial must have a condition, got NaN for {int(np.isnan(values).sum())}. Number them, or drop those trials."
        )
    names = names_of(values, train.extras, session.arrays)
    return [str(value) if names is None else names[value] for value in values.tolist()]


def _check_bins(sessions: Sequence[Session]) -> None:
    first, *others = sessions
    must = (first.splits["train"].encod.shape[1], first.bin_ms)
    for other in others:
        if (got := (other.splits["train"].encod.shape[1], other.bin_ms)) != must:
            raise DataError(f"{other.path or other.name}: must have the (bins, ms per bin) {must} of {first.name}, got {got}. Cut and bin alike.")
