"""What the weights of the gaussian's gradients do (its setting `beta`), on dF/F and on traces made of events and spikes.

    lfads synth lorenz -o spikes.h5 --set conditions=20 --set trials_per_condition=10 --seed 1
    lfads synth lorenz -o few_spikes.h5 --set conditions=4 --set trials_per_condition=5 --seed 1
    python bench/gaussian_beta.py dff.h5 --made-of events.h5 spikes.h5 few_spikes.h5 --keep kept.jsonl

A quarter of the channels is held out, everything else is as it comes. Scores are of validation trials: R2 to values of the held-out channels, R2 to
the true traces where there are any, and R2 of behaviour decoded from the rates. Events and spikes become traces by an exponential decay of
``--decay`` bins that is in its stationary state when a trial begins, each channel in units of its standard deviation, with normal noise of half of
that; true rates become true traces in the same way.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import h5py
import numpy as np
from commands import behaviour, held_out, kept, once, options, settings, table, truth
from scipy.signal import lfilter

BETAS = ("0", "0.5", "1")
NOISE = 0.5


def main() -> None:
    """Train what is not kept yet, then print the table."""
    parser = options(__doc__)
    parser.add_argument("--made-of", nargs="+", type=Path, default=[], metavar="FILE", help="recordings of events or spikes")
    parser.add_argument("--decay", type=float, default=10.0, help="time constant of traces that are made, in bins")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = [traces(file, Path(folder) / file.name, given.decay) for file in given.made_of]
        for seed in given.seeds:
            for file in [*map(Path, given.recordings), *made]:
                for beta in BETAS:
                    key = {"recording": file.stem, "beta": beta, "seed": seed, "set": given.more}
                    chosen = settings(f"train.seed={seed}", f"components.reconstruction={{name: gaussian, beta: {beta}}}", *given.more)
                    once(given.keep, key, ["run", str(file), "--hold-out", "0.25", *chosen])
    print("\n".join(table(kept(given.keep), "beta", BETAS, {"held-out channels": held_out, "true traces": truth, "behaviour R2": behaviour})))


def traces(file: Path, to: Path, decay: float) -> Path:
    """A recording of traces, made of one of events or spikes."""
    keep, rng = math.exp(-1 / decay), np.random.default_rng(0)

    def decayed(values: np.ndarray, mean: np.ndarray) -> np.ndarray:
        before = np.broadcast_to(keep * mean / (1 - keep), values[:, :1].shape)
        return lfilter([1.0], [1.0, -keep], values, axis=1, zi=before)[0]

    with h5py.File(file) as data, h5py.File(to, "w") as new:
        mean = data["train_recon_data"][:].mean((0, 1), keepdims=True)
        unit = decayed(data["train_recon_data"][:], mean).std((0, 1))
        for name in data:
            values = data[name][:]
            if name.endswith("_truth"):
                values = decayed(values, mean) / unit
            elif name.endswith("_recon_data"):
                values = decayed(values, mean) / unit
                values = values + rng.normal(0, NOISE, values.shape)
                new[name.replace("recon", "encod")] = values.astype(np.float32)
            elif name.endswith("_encod_data"):
                continue
            new[name] = values
        new.attrs["bin_ms"] = data.attrs["bin_ms"]
    return to


if __name__ == "__main__":
    main()
