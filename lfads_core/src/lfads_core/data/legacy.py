"""Keys of the original TensorFlow LFADS and of autolfads-tf2, read as they are.

========================================  =====================================================================
key in the file                           becomes
========================================  =====================================================================
``{train,valid,test}_data``               ``*_encod_data``; the same values are reconstructed
``condition_labels_{train,valid}``        ``*_condition_labels``
``input_{train,valid}_truth``             ``*_input_truth``
``alignment_matrix_cxf``                  ``readin_weight`` (Ne, D)
``alignment_bias_c``                      ``readout_bias`` (N)
``*_truth`` with ``conversion_factor``    ``*_truth / conversion_factor``, see :func:`rates_per_bin`
========================================  =====================================================================

Where a file has a key in both spellings the new one wins and the old one is left out. Everything else (``*_inds``,
``*_ext_input``, ``train_percentage``...) already reads well under its own name.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from lfads_core.errors import DataError

SPLITS = ("train", "valid", "test")
"""The splits a file may hold, in the order they are shown."""

_NEW_NAMES = {
    **{f"{split}_data": f"{split}_encod_data" for split in SPLITS},
    **{f"condition_labels_{split}": f"{split}_condition_labels" for split in SPLITS},
    **{f"input_{split}_truth": f"{split}_input_truth" for split in SPLITS},
    "alignment_matrix_cxf": "readin_weight",
    "alignment_bias_c": "readout_bias",
}


def new_names(keys: Collection[str]) -> dict[str, str]:
    """Return the name of each key in the present layout, without the old keys that a new one overrules."""
    present = set(keys)
    return {key: _NEW_NAMES.get(key, key) for key in keys if _NEW_NAMES.get(key) not in present}


def rates_per_bin(truth: np.ndarray, factor: np.ndarray, *, where: str) -> np.ndarray:
    """Return true rates in expected counts per bin: ``truth / conversion_factor``.

    The original generators keep the truth in the network's own units (0 to 1) and store as ``conversion_factor`` what
    expected counts per bin must be multiplied by to get there, 1 / (largest rate x bin width): their plots draw
    ``conversion_factor * inferred rates`` over the stored truth. The checks warn when the result is far from the mean of the
    data, which is how a file written with the inverse factor shows.

    Raises:
        DataError: The factor is not one finite number other than zero, nor one for each channel.
    """
    factor = np.asarray(factor)
    fits = factor.size == 1 or factor.shape == truth.shape[-1:]
    if factor.dtype.kind not in "iuf" or not fits or not np.isfinite(factor).all() or not factor.all():
        raise DataError(
            f"{where}: 'conversion_factor' must be one finite number other than 0, or one for each channel, "
            f"got {np.array2string(factor, threshold=4)}. It turns counts per bin into the units of the stored truth; mend or delete it."
        )
    scale = factor.reshape(()) if factor.size == 1 else factor
    kind = truth.dtype if truth.dtype.kind == "f" else np.dtype(np.float32)
    return np.asarray(truth / scale, dtype=kind)
