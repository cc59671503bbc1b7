"""Raw EMG files to files of envelopes, and outputs of a run back to the units of the recording."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import h5py
import numpy as np

from lfads_core.data.bounds import Room, spoken_reading
from lfads_core.data.hdf5 import attributes_of, opened
from lfads_core.data.listing import datasets_of, values_of
from lfads_core.errors import DataError
from lfads_core.files import replacing, spoken_failure
from lfads_core.infer.copied_inputs import write_as_stored
from lfads_core.output_file import OutputFile
from lfads_plugins_emg.envelope import EnvelopeScale, prepare
from lfads_plugins_emg.envelope_settings import EnvelopeConfig
from lfads_plugins_emg.rails import at_rails, spoken_rails

log = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")
SCALE, CLIP, FLOOR = "emg_scale", "emg_clip", "emg_floor"
"""Arrays (N) and attribute of a file of envelopes; they ride along into the outputs of a run."""
RAILS = "emg_rails"
"""Array (N) of a file of envelopes: share of the raw training samples at the converter's rails."""
RESTORED = ("output_params", "recon_data", "encod_data", "truth")
"""What is in units of the envelopes, per split."""


def prepare_file(raw: Path, output: Path, settings: EnvelopeConfig, *, overwrite: bool = False) -> Path:
    """Write envelopes of a raw recording in the data layout, with everything else that the file holds.

    The recording holds ``train_raw``, ``valid_raw`` and maybe ``test_raw`` (trials, samples, channels), and its sampling rate in Hz as the
    attribute or array ``fs_hz``. Other arrays and attributes (conditions, channel names) are carried along.

    Raises:
        DataError: the recording is not of this kind or cannot be prepared, or ``output`` is there already.
        RunError: ``output`` cannot be written.
    """
    _refuse(raw, output, overwrite=overwrite)
    with opened(raw) as source:
        held = datasets_of(source, raw)
        raws, fs_hz = _read_raw(held, raw), _sampling_rate(source, raw)
        try:
            envelopes, scale = prepare(list(raws.values()), fs_hz, settings)
        except DataError as err:
            raise DataError(f"{raw}: {err}") from err
        rails = at_rails(raws["train"])
        if (text := spoken_rails(rails, [str(n) for n in range(rails.size)])) is not None:
            log.warning("%s: 'train_raw' %s", raw, text)
        with spoken_failure(output), replacing(output) as temporary, OutputFile(temporary) as file:
            _carry(source, {key: stored for key, stored in held.items() if key not in {f"{split}_raw" for split in raws}}, raw, file)
            for split, values in zip(raws, envelopes, strict=True):
                for kind in ("encod_data", "recon_data"):
                    file.create_dataset(f"{split}_{kind}", data=values.astype(np.float32), compression="gzip")
            file[SCALE], file[CLIP], file[RAILS] = scale.scale, scale.clip, rails
            file.attrs.update({FLOOR: scale.floor, "bin_ms": settings.bin_ms, "emg_preparation": json.dumps(attrs.asdict(settings))})
    return output


def restore_file(outputs: Path, output: Path, *, overwrite: bool = False) -> Path:
    """Copy a file of envelopes or of a run's outputs, its data and expected values multiplied back to the units of the recording.

    Raises:
        DataError: the file does not come from :func:`prepare_file`, or ``output`` is there already.
        RunError: ``output`` cannot be written.
    """
    _refuse(outputs, output, overwrite=overwrite)
    with opened(outputs) as source:
        if SCALE not in source:
            raise DataError(f"{outputs}: must hold '{SCALE}', got no such array. Prepare the recording with `python -m lfads_plugins_emg prepare`.")
        with spoken_reading(outputs, "the scale of the envelopes"):
            scale = read_scale(source)
        with spoken_failure(output), replacing(output) as temporary, OutputFile(temporary) as file:
            _carry(source, datasets_of(source, outputs), outputs, file)
            for key in (f"{split}_{kind}" for split in SPLITS for kind in RESTORED):
                if key in file:
                    _replace(file, key, scale)
    return output


def _carry(source: Any, held: Mapping[str, Any], path: Path, file: h5py.File) -> None:
    """Write attributes of an open file and the values of its arrays into another, but no references."""
    file.attrs.update(attributes_of(source, path))
    for key, stored in held.items():
        if h5py.check_ref_dtype(stored.dtype) is None:
            write_as_stored(file, key, stored, path)


def read_scale(source: Any) -> EnvelopeScale:
    """The scale that rides along in an open file, in the order of its channels: held-out ones stand last in outputs."""
    order = source["channel_order"][()] if "channel_order" in source else slice(None)
    return EnvelopeScale(scale=source[SCALE][()][order], clip=source[CLIP][()][order], floor=float(source.attrs[FLOOR]))


def _replace(file: h5py.File, key: str, scale: EnvelopeScale) -> None:
    """Encoded data may hold the first channels only."""
    stored = file[key]
    channels = stored.shape[-1]
    part = EnvelopeScale(scale=scale.scale[:channels], clip=scale.clip[:channels], floor=scale.floor)
    values, about = part.invert(stored[()]).astype(stored.dtype), dict(stored.attrs)
    del file[key]
    file.create_dataset(key, data=values).attrs.update({**about, "unit": "units of the raw recording"})


def _read_raw(held: Mapping[str, Any], path: Path) -> dict[str, np.ndarray]:
    """Raw samples by split, the training split first."""
    room = Room()
    raws = {split: values_of(held[key], key, path, room) for split in SPLITS if (key := f"{split}_raw") in held}
    if "train" not in raws:
        raise DataError(f"{path}: must hold 'train_raw' (trials, samples, channels), got {', '.join(held) or 'nothing'}. Rename the array.")
    for split, array in raws.items():
        key = f"{path}: '{split}_raw'"
        if array.ndim != 3 or array.dtype.kind not in "iuf":
            raise DataError(f"{key} must be numbers (trials, samples, channels), got {array.dtype} {array.shape}. Reorder its axes.")
        if array.shape[2] != raws["train"].shape[2]:
            raise DataError(f"{key} must have the {raws['train'].shape[2]} channels of 'train_raw', got {array.shape[2]}. Keep the same ones.")
    return raws


def _sampling_rate(source: Any, path: Path) -> float:
    with spoken_reading(path, "'fs_hz'"):
        found = source.attrs["fs_hz"] if "fs_hz" in source.attrs else source["fs_hz"][()] if "fs_hz" in source else None
    value = np.asarray(np.nan if found is None else found)
    if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all() or float(value.ravel()[0]) <= 0:
        raise DataError(f"{path}: 'fs_hz' must be the sampling rate in Hz, an attribute or array of one number, got {found!r}. Add it.")
    return float(value.ravel()[0])


def _refuse(source: Path, output: Path, *, overwrite: bool) -> None:
    if output.resolve() == source.resolve() or (output.exists() and not overwrite):
        raise DataError(f"{output}: a new file must not replace another, got one that exists. Choose another name, or use --force.")
