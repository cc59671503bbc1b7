"""Load the runs of a collection, and write condition averages of rates and factors of the best: ``run_manager_results.py COLLECTION``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lfads_core

collection = Path(sys.argv[1])
runs = {folder.name: lfads_core.load(folder) for folder in sorted((collection / "runs").iterdir()) if (folder / "run.json").is_file()}
for name, run in runs.items():
    print(name, "l2_generator", run.config.regularisation.l2_generator, "best cost", min(run.columns()["valid/recon_smooth"]))

best_name, best = min(runs.items(), key=lambda item: min(item[1].columns()["valid/recon_smooth"]))
averages = {}
for session in sorted(path.stem.removeprefix("lfads_output_") for path in best.run.path.glob("lfads_output_*.h5")):
    arrays = best.outputs(session)
    conditions = np.unique(arrays["valid_cond"])
    for what in ("rates_hz", "factors"):  # (conditions, bins, channels or factors)
        averages[f"{session}/{what}"] = np.stack([arrays[f"valid_{what}"][arrays["valid_cond"] == one].mean(axis=0) for one in conditions])
np.savez("condition_averages.npz", **averages)
print("condition averages of", best_name, "in condition_averages.npz")
