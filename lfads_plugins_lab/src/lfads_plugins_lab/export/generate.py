"""Samples from the prior: what the model believes trials look like before it has seen any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import torch

from lfads_core.data.bounds import Room
from lfads_core.files import replacing, spoken_failure
from lfads_core.infer.loading import LoadedRun
from lfads_core.output_file import OutputFile
from lfads_core.rng import stream


@torch.no_grad()
def sample_trials(loaded: LoadedRun, *, trials: int, seed: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """``trials`` samples of factors, generator inputs, expected values and data per session, and the unit of each.

    Keys are ``factors`` (B, T, F), ``gen_states`` (B, T, G), ``gen_inputs`` (B, T, U+E), ``ic`` (B, I), ``<session>_output_params`` and
    ``<session>_data`` (B, T, N). The same seed gives the same trials. External inputs are zero.

    Raises:
        DataError: so many trials do not fit into memory.
    """
    model = loaded.model
    sizes = model.config.generator
    channels = sum(session.recon_channels for session in loaded.description.sessions)
    per_bin = 3 * sizes.hidden + sizes.factors + model.sizes.external + 4 * channels  # states are held for unrolling, stacked and written
    Room().take("--trials", "what is generated", (trials, model.sizes.bins, per_bin), 4)
    rng = stream(seed, "generate", device=model.device)
    external = torch.zeros(trials, model.sizes.bins, model.sizes.external, device=model.device)
    latents = model.generate(external, rng)
    shared = {"factors": latents.factors, "gen_inputs": latents.gen_inputs, "ic": latents.ic.mean, "gen_states": latents.gen_states}
    arrays, units = {key: value.cpu().numpy() for key, value in shared.items()}, dict.fromkeys(shared, "arbitrary")
    for session in model.readouts:
        params = model.read_out(session, latents.factors)
        reconstruction = model.reconstructions[session]
        drawn = {f"{session}_output_params": reconstruction.mean(params), f"{session}_data": reconstruction.sample(params, rng)}
        arrays |= {key: value.cpu().numpy() for key, value in drawn.items()}
        units |= dict.fromkeys(drawn, "events/bin" if reconstruction.is_rate else "units of the data")
    return arrays, units


def generate_trials(loaded: LoadedRun, *, trials: int, seed: int, path: Path) -> Path:
    """Write what :func:`sample_trials` draws.

    Raises:
        RunError: the file cannot be written.
    """
    arrays, units = sample_trials(loaded, trials=trials, seed=seed)
    with spoken_failure(path), _new_file(path) as file:
        file.attrs["lfads_run"] = loaded.run.name
        file.attrs["seed"] = seed
        if loaded.description.bin_ms is not None:
            file.attrs["bin_ms"] = loaded.description.bin_ms
        for key, value in arrays.items():
            file.create_dataset(key, data=value).attrs["unit"] = units[key]
    return path


@contextmanager
def _new_file(path: Path) -> Iterator[h5py.File]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, OutputFile(temporary) as file:
        yield file
