"""Make our own parity files: the layout of the published ones, tiny sizes, expected values and gradients from the oracle.

    python tests/oracle/make_fixtures.py FOLDER [SEED]

The same seed makes the same arrays. Needs numpy, scipy, scikit-learn and h5py; not torch, and none of our packages.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a script: make `oracle` importable
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from oracle.arrays import Array
from oracle.case import Case
from oracle.derive import gradients
from oracle.draws import build, generator
from oracle.files import write
from oracle.lfads_numpy import run
from oracle.priors import student_t_log_density
from oracle.recipes import RECIPES, Recipe
from oracle.small_fixtures import make_small
from oracle.training_fixtures import make_training
from oracle.weights import TRIALS, frozen

SEED = 20240601
GRAD_TOLERANCE = 1e-12
"""Relative to the largest entry of each array: complex steps are exact to rounding."""


def attributes_of(recipe: Recipe, case: Case, seed: int) -> dict[str, Any]:
    """The file attributes of a model fixture, but for those that need its results."""
    out: dict[str, Any] = {
        "case": recipe.name,
        "config": dict(case.config),
        "dtype": "float64",
        "frozen_params": frozen(case.weights, readin_frozen=recipe.readin_frozen),
        "params_without_grad": [],
        "noise_order": list(case.noise),
        "note": recipe.note,
        "sample_posteriors": int(recipe.sampled),
        "seed": seed,
        "train_mode": int(recipe.dropout),
        "grad_tolerance": GRAD_TOLERANCE,
    }
    if recipe.cd:
        out |= {"cd_rate": recipe.cd[0], "cd_pass_rate": recipe.cd[1]}
    if recipe.cd and recipe.missing:
        out |= {"batch_order": ["sbtt", "cd"], "loss_order": ["cd", "sbtt"]}
    if recipe.channels:
        out |= {"session_channels": list(recipe.channels), "session_batch": list(recipe.trials)}
        out |= {"readin_requires_grad": int(not recipe.readin_frozen), "readout_requires_grad": 1}
    return out


def pcr_layers(rng: np.random.Generator, channels: tuple[int, ...], width: int) -> dict[str, Array]:
    """What a file of principal component regression holds, and the read-in and read-out that are built from it."""
    data: dict[str, Array] = {}
    for i, n in enumerate(channels):
        w, mean = rng.normal(size=(n, width)), rng.normal(size=n)
        data |= {f"pcr/sess{i}/readin_weight": w, f"pcr/sess{i}/readout_bias": mean}
        layers = {"readin_weight": w.T, "readin_bias": -w.T @ mean, "readout_weight": np.linalg.pinv(w.T), "readout_bias": mean}
        data |= {f"pcr_init/sess{i}/{name}": value for name, value in layers.items()}
    return data


def student_t_densities(rng: np.random.Generator, case: Case, which: str) -> dict[str, Array]:
    """Log densities of random samples under the prior and under random posteriors."""
    df, width = case.config[f"{which}_prior"]["df"], case.config[f"{which}_dim"]
    shape = (TRIALS, width) if which == "ic" else (TRIALS, case.config["recon_seq_len"], width)
    x, loc, scale = 2 * rng.normal(size=shape), rng.normal(size=shape), rng.uniform(0.3, 1.3, size=shape)
    prior_loc, prior_scale = case.weights[f"{which}_prior.loc"], np.exp(case.weights[f"{which}_prior.logscale"])
    arrays = {
        "sample": x,
        "post_loc": loc,
        "post_scale": scale,
        "posterior_log_prob": student_t_log_density(x, loc, scale, df).sum(axis=-1),
        "prior_log_prob": student_t_log_density(x, prior_loc, prior_scale, df).sum(axis=-1),
    }
    return {f"logprob/{which}_{name}": value for name, value in arrays.items()}


def model_fixture(recipe: Recipe, folder: Path, seed: int) -> Path:
    """Write one model fixture."""
    case = build(recipe, seed)
    result = run(case)
    attributes = attributes_of(recipe, case, seed)
    data: dict[str, Array] = {f"weights/{name}": w for name, w in case.weights.items()}
    for i, session in enumerate(case.sessions):
        here = f"inputs/sess{i}/" if len(case.sessions) > 1 else "inputs/"
        data |= {f"{here}{name}": getattr(session, name) for name in ("encod_data", "recon_data", "ext_input")}
    trainable = [name for name in case.weights if name not in attributes["frozen_params"]]
    groups = {
        "noise": case.noise,
        "masks": case.masks,
        "dropout_masks": case.dropout_masks,
        "inputs": result.inputs,
        "outputs": result.outputs,
        "loss": result.loss,
        "intermediate": result.intermediate,
        "grads": gradients(case, trainable),
    }
    for group, arrays in groups.items():
        data |= {f"{group}/{name}": value for name, value in arrays.items()}
    if recipe.channels:
        data |= pcr_layers(generator(seed, f"{recipe.name} pcr"), recipe.channels, case.config["encod_data_dim"])
    for which in ("ic", "co"):
        if case.config[f"{which}_prior"]["type"] == "MultivariateStudentT":
            data |= student_t_densities(generator(seed, f"{recipe.name} {which}"), case, which)
    if recipe.name.startswith("m"):
        clip = case.config["cell_clip"]
        attributes["clipped_fraction"] = {k: float((abs(result.outputs[k]) >= clip).mean()) for k in ("gen_states", "con_states")}
    return write(folder / f"{recipe.name}.h5", data, attributes)


def make_all(folder: Path, seed: int = SEED) -> list[Path]:
    """Write every fixture of ours into ``folder``; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [*(model_fixture(r, folder, seed) for r in RECIPES), *make_small(folder, seed), *make_training(folder, seed)]


if __name__ == "__main__":
    for made in make_all(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else SEED):
        print(made)
