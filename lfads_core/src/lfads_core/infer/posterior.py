"""Posterior sample-and-average: what LFADS reports as its estimate of rates, factors and inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack
from lfads_core.data.batch import Batch
from lfads_core.data.loader import TrialSource, epoch_batches
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput
from lfads_core.rng import stream
from lfads_core.train.step import augmented


@dataclass(frozen=True, kw_only=True, eq=False)
class Inferred:
    """Averages over posterior samples for every trial of one split of one session, in the file's order.

    ``output_params`` are expected values per bin (the average of the means, not the mean of averaged parameters).
    Without a controller ``con_states``, ``co_means`` and ``co_stds`` have width 0.
    """

    output_params: Float[np.ndarray, "B T N"]
    factors: Float[np.ndarray, "B T F"]
    ic_mean: Float[np.ndarray, "B I"]
    ic_std: Float[np.ndarray, "B I"]
    co_means: Float[np.ndarray, "B T U"]
    co_stds: Float[np.ndarray, "B T U"]
    gen_states: Float[np.ndarray, "B T G"]
    gen_init: Float[np.ndarray, "B G"]
    gen_inputs: Float[np.ndarray, "B T UE"]
    con_states: Float[np.ndarray, "B T H"]


def fields_of(model: LFADS, output: ModelOutput, session: str) -> dict[str, Tensor]:
    """One pass's outputs of one session under the names of the output file."""
    latents, rows = output.latents, output.rows[session]
    empty = latents.gen_states[rows, :, :0]
    inputs, con_states = latents.inputs, latents.con_states
    return {
        "output_params": model.reconstructions[session].mean(output.params[session]),
        "factors": latents.factors[rows],
        "ic_mean": latents.ic.mean[rows],
        "ic_std": latents.ic.std[rows],
        "co_means": empty if inputs is None else inputs.mean[rows],
        "co_stds": empty if inputs is None else inputs.std[rows],
        "gen_states": latents.gen_states[rows],
        "gen_init": latents.gen_init[rows],
        "gen_inputs": latents.gen_inputs[rows],
        "con_states": empty if con_states is None else con_states[rows],
    }


def average(model: LFADS, batches: Mapping[str, Batch], draws: Iterable[Noise]) -> dict[str, dict[str, Tensor]]:
    """Plain averages of every output field over passes with the given noise, by session."""
    totals: dict[str, dict[str, Tensor]] = {name: {} for name in batches}
    passes = 0
    for noise in draws:
        output = model(batches, noise)
        passes += 1
        for name, total in totals.items():
            for key, value in fields_of(model, output, name).items():
                total[key] = value + total[key] if key in total else value.clone()
    return {name: {key: value / passes for key, value in total.items()} for name, total in totals.items()}


@torch.no_grad()
def infer_split(
    model: LFADS,
    stack: AugmentationStack,
    sources: Mapping[str, TrialSource],
    *,
    samples: int | None,
    batch_size: int,
    seed: int,
) -> dict[str, Inferred]:
    """Infer every trial of a split, by session; ``samples`` None decodes the posterior means in one pass."""
    parts: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in sources}
    for number, raw in enumerate(epoch_batches(sources, batch_size)):
        rng = stream(seed, "infer", number, device=model.device)
        batches = augmented(raw, stack, model.config.encoder.ic_bins, rng)
        trials = sum(batch.trials.shape[0] for batch in batches.values())
        draws = (model.draw_noise(trials, rng, sample=samples is not None, dropout=False) for _ in range(samples or 1))
        for name, found in average(model, batches, draws).items():
            parts[name].append({key: value.cpu().numpy() for key, value in found.items()})
    return {name: _joined(several) for name, several in parts.items() if several}


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> Inferred:
    return Inferred(**{key: np.concatenate([part[key] for part in parts]) for key in parts[0]})
