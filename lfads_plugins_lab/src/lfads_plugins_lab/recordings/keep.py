"""Only the units and trials that are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from lfads_core.errors import DataError
from lfads_core.wording import first_few, printable
from lfads_plugins_lab.recordings.expression import Columns, rows_where
from lfads_plugins_lab.recordings.options import MakeOptions
from lfads_plugins_lab.recordings.raw import Cut, Raw


def wanted(source: Raw | Cut, options: MakeOptions) -> tuple[Raw | Cut, Bool[np.ndarray, " B"] | None, list[str]]:
    """The source with the units that are wanted, which of its trials are (None: all), and what there is to say.

    Raises:
        ConfigError: a condition is none, or names a column that is not there.
        DataError: nothing is left, or there are no trials to choose from.
    """
    notes: list[str] = []
    if options.keep_units is not None:
        names = np.array(source.channels if isinstance(source, Raw) else source.names, dtype=object)
        keep, said = _kept(source.where, "--units", options.keep_units, {**source.about, "name": names}, "channels")
        notes.append(said)
        source = _of_units(source, keep)
    if options.keep_trials is None:
        return source, None, notes
    columns = {key: array for key, array in source.per_trial.items() if array.ndim == 1} if isinstance(source, Cut) else None
    if isinstance(source, Raw) and source.trials is not None:
        columns = {"start": source.trials.start, "stop": source.trials.stop, **source.trials.columns}
    if columns is None:
        raise DataError(f"{source.where}: --trials must choose among trials, got a recording without any. Give a table of them with --trials FILE.")
    kept, said = _kept(source.where, "--trials", options.keep_trials, columns, "trials")
    return source, kept, [*notes, said]


def _kept(where: str, option: str, text: str, columns: Columns, what: str) -> tuple[Bool[np.ndarray, " R"], str]:
    """The rows for which the condition holds, and how many these are."""
    kept = rows_where(text, columns, option=option, where=where)
    if not kept.any():
        here = " and ".join(_described(text, columns))
        raise DataError(f"{where}: {option} {text!r} must hold for at least one of {kept.size} {what}, got none. Here {here}. Loosen it.")
    return kept, f"{int(kept.sum())} of {kept.size} {what} are kept: {text}"


def _described(text: str, columns: Columns) -> Iterator[str]:
    """The values of each column that a condition speaks of."""
    for name in dict.fromkeys(re.findall(r"[^\W\d]\w*", re.sub(r"'[^']*'|\"[^\"]*\"", "", text))):
        if name in columns:
            values = columns[name]
            numbers = values[np.isfinite(values)] if values.dtype.kind in "iuf" else values
            if values.dtype.kind in "iuf" and np.unique(numbers).size > 1:
                yield f"{name} is from {numbers.min():g} to {numbers.max():g}"
            else:
                yield f"{name} is {first_few([printable(repr(value)) for value in np.unique(numbers.astype(str)).tolist()], 6) or 'without a value'}"


def _of_units(source: Raw | Cut, keep: Bool[np.ndarray, " N"]) -> Raw | Cut:
    about = {key: values[keep] for key, values in source.about.items()}
    if isinstance(source, Cut):
        names = tuple(name for name, kept in zip(source.names, keep.tolist(), strict=True) if kept)
        truth = source.per_trial.get("truth")
        fits = truth is not None and truth.ndim == 3 and truth.shape[2] == keep.size
        per_trial = {key: values[:, :, keep] if key == "truth" and fits else values for key, values in source.per_trial.items()}
        return replace(source, values=source.values[:, :, keep], names=names, about=about, per_trial=per_trial)
    names = tuple(name for name, kept in zip(source.channels, keep.tolist(), strict=True) if kept)
    signal = None if source.signal is None else replace(source.signal, values=source.signal.values[:, keep])
    return replace(
        source,
        units={name: times for name, times in source.units.items() if name in names},
        signal=signal,
        names=names if source.signal is not None else source.names,
        about=about,
        observed={name: spans for name, spans in source.observed.items() if name in names},
    )
