"""Take one long trial out of a file and write it as a continuous recording: ``autolfads_tf2_continuous.py LONG.h5 CONTINUOUS.npz``."""

from __future__ import annotations

import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1]) as file:
    counts, bin_ms = file["train_encod_data"][0], float(file.attrs["bin_ms"])
np.savez(sys.argv[2], data=counts, bin_ms=bin_ms)  # (bins, channels)
print("continuous recording of", len(counts) * bin_ms / 1000, "s")
