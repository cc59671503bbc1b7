"""What ``lfads export`` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch import nn

from lfads_core.files import replacing, spoken_failure
from lfads_core.infer.loading import LoadedRun
from lfads_core.infer.outputs import MEANINGS, meaning_of, unit_of
from lfads_core.infer.posterior import OF_DISTRIBUTION, OF_LATENT
from lfads_core.output_file import OutputFile
from lfads_plugins_lab.evaluate.recorded import recorded_sessions
from lfads_plugins_lab.export.matlab import matlab_name, write_mat
from lfads_plugins_lab.export.trials import average_conditions, concatenated, condition_key, merge_splits, names_of


def export_parameters(loaded: LoadedRun, path: Path | None) -> list[Path]:
    """Write every parameter: the shared ones under their names, with ``/`` for dots; those of a session under ``sessions/<name>``.

    Each dataset has the attributes ``name``, as :meth:`LoadedRun.parameters` knows it, and ``trained``. ``decoder/factors/rows`` are
    the factor weights as they are used, of unit length.

    Raises:
        RunError: the file cannot be written.
    """
    path = path or loaded.run.path / "parameters.h5"
    model = loaded.model
    trained = {name: p.requires_grad for name, p in model.named_parameters()}
    per_session = {"readins": "readin", "readouts": "readout", "reconstructions": "reconstruction"}
    with spoken_failure(path), _new(path) as file:
        for name, value in model.state_dict().items():
            if name.partition(".")[0] not in per_session:
                _put(file, name.replace(".", "/"), value.cpu().numpy(), name=name, trained=trained.get(name, False))
        _put(file, "decoder/factors/rows", model.decoder.factors.rows().detach().cpu().numpy(), name="", trained=False)
        for layer, word in per_session.items():
            modules: Mapping[str, nn.Module] = getattr(model, layer)
            for session, module in modules.items():
                inner = {name: p.requires_grad for name, p in module.named_parameters()}
                for name, value in module.state_dict().items():
                    at = f"sessions/{session}/{word}/{name.replace('.', '/')}"
                    _put(file, at, value.cpu().numpy(), name=f"{layer}.{session}.{name}", trained=inner.get(name, False))
    return [path]


def export_h5(loaded: LoadedRun, path: Path | None, *, conditions: str | None = None) -> list[Path]:
    """Write all sessions' outputs into one file, a group each, in the recording's own order of trials and channels.

    ``trials``, ``conditions`` (averages), ``concatenated``, ``channels`` (``held_out``, and what is said of each), ``time_ms``; the
    recording's attributes are the group's.

    Raises:
        RunError: there are no outputs, or the file cannot be written.
        DataError: conditions that are not there.
    """
    path = path or loaded.run.path / "export.h5"
    with spoken_failure(path, (OSError,)), _new(path) as file:
        for session in _names(loaded):
            content, about = session_content(loaded, session, conditions=conditions)
            for part, arrays in content.items():
                for name, value in arrays.items():
                    _put(file, f"{session}/{part}/{name}" if part else f"{session}/{name}", value, **_about(loaded, session, name))
            file[session].attrs.update(about)
    return [path]


def export_mat(loaded: LoadedRun, path: Path | None, *, conditions: str | None = None) -> list[Path]:
    """Write each session's outputs as a MAT-file of version 5; several sessions go into a folder ``path``.

    Variables are trials' arrays under their names, averages as ``condition_<name>``, ``channel_held_out`` and what else is said of
    each channel, ``time_ms``, ``split``, ``trial``, and the recording's attributes.

    Raises:
        RunError: there are no outputs, or a file cannot be written.
        DataError: conditions that are not there.
    """
    path, names = path or loaded.run.path / "export.mat", _names(loaded)
    written = []
    for session in names:
        content, about = session_content(loaded, session, conditions=conditions)
        flat = {**content[""], **content["trials"]}
        flat |= {f"{word}_{name}": value for part, word in _WORDS.items() for name, value in content.get(part, {}).items()}
        target = path if len(names) == 1 else path / f"{matlab_name(session)}.mat"
        write_mat(target, {**_plain(about, taken=flat), **flat, "session": session})
        written.append(target)
    return written


_WORDS = {"conditions": "condition", "channels": "channel"}
"""How the names of a part begin where a file has no groups."""


def session_content(loaded: LoadedRun, session: str, *, conditions: str | None) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What there is of one session, by part; the part without a name belongs to all. And the recording's attributes."""
    recorded_sessions(loaded, [session])  # says what is wrong with the file
    outputs, attributes = loaded.outputs(session), loaded.output_attributes(session)
    merged = merge_splits(outputs, attributes)
    bins = merged.arrays["output_params"].shape[1]
    common: dict[str, Any] = {"split": merged.order.split, "trial": merged.order.trial}
    if loaded.description.bin_ms is not None:
        known = outputs.get("time_ms")
        common["time_ms"] = np.arange(bins) * loaded.description.bin_ms if known is None or known.shape != (bins,) else known
    content = {"": common, "trials": dict(merged.arrays), "concatenated": concatenated(merged, bins)}
    key = condition_key(merged, conditions)
    if key is not None:
        found = average_conditions(merged, key, bins)
        content["conditions"] = {"labels": found.labels, "trials": found.trials, **found.arrays}
        if (names := names_of(found.labels, outputs.get(f"{key}_names"))) is not None:
            content["conditions"]["names"] = names
    named = {"channels": "names"}
    content["channels"] = {named.get(key, key.removeprefix("channel_")): value for key, value in merged.about.items()}
    content["channels"]["held_out"] = merged.channels.held_out
    order = "one split after another: the recording does not say" if merged.order.key is None else f"<split>_{merged.order.key}"
    return content, {**{key: value for key, value in attributes.items() if key not in merged.about}, "trials_in_order_of": order}


def _plain(about: Mapping[str, Any], *, taken: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as variables: numbers and texts whose names are free."""
    used = {matlab_name(name) for name in taken}
    return {key: value for key, value in about.items() if matlab_name(key) not in used and np.asarray(value).dtype.kind in "biufSUO"}


def _names(loaded: LoadedRun) -> list[str]:
    return [info.name for info in loaded.description.sessions]


def _about(loaded: LoadedRun, session: str, name: str) -> dict[str, str]:
    further = (OF_DISTRIBUTION, *(f"{OF_LATENT}{latent}_" for latent in loaded.model.latents))
    if name not in MEANINGS and not name.startswith(further):
        return {}
    return {"meaning": meaning_of(name), "unit": unit_of(name, is_rate=loaded.model.reconstructions[session].is_rate)}


def _put(file: h5py.File, at: str, value: Any, **attributes: Any) -> None:
    array = np.asarray(value)
    text = array.dtype.kind in "OSU"
    dataset = file.create_dataset(at, data=array.astype(object) if text else array, dtype=h5py.string_dtype() if text else None)
    dataset.attrs.update(attributes)


@contextmanager
def _new(path: Path) -> Iterator[h5py.File]:
    """A new file that takes the place of ``path`` once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, OutputFile(temporary) as file:
        yield file
