"""Make our own parity files: the layout of the published ones, tiny sizes, expected values and gradients from the oracle.

    python tests/oracle/make_fixtures.py FOLDER [SEED]

The same seed makes the same arrays. Needs numpy, scipy, scikit-learn and h5py; not torch, and none of our packages.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

if __package__ is None or not __package__:  # run as a script: make `oracle` importable
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from oracle.arrays import Array
from oracle.case import Case, Session, has_controller
from oracle.derive import gradients
from oracle.lfads_numpy import run
from oracle.recipes import RECIPES, Recipe
from oracle.weights import BASE, TRIALS, frozen, model_weights

SEED = 20240601
GRAD_TOLERANCE = 1e-12
"""Relative to the largest entry of each array: complex steps are exact to rounding."""


def write(path: Path, data: Mapping[str, Array], attributes: Mapping[str, Any]) -> Path:
    """One file: data sets by path, attributes with lists and mappings as JSON."""
    with h5py.File(path, "w") as file:
        for name, value in data.items():
            file.create_dataset(name, data=np.asarray(value))
        for name, value in attributes.items():
            file.attrs[name] = json.dumps(value) if isinstance(value, list | dict) else value
    return path


def draw_data(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Array:
    """Observations (B, T, N) of one kind."""
    match kind:
        case "counts":
            return rng.poisson(rng.uniform(0.3, 1.8, size=shape[-1]), size=shape).astype(np.float64)
        case "real":
            return rng.normal(size=shape)
        case "positive":
            return rng.gamma(4.0, 0.25, size=shape)
        case "zero_inflated":
            return np.where(rng.random(shape) < 0.4, 0.0, 0.2 + rng.gamma(2.0, 0.4, size=shape))
        case other:
            raise ValueError(f"data must be counts, real, positive or zero_inflated, got {other!r}.")


def draw_session(rng: np.random.Generator, recipe: Recipe, config: Mapping[str, Any], trials: int, channels: tuple[int, int]) -> Session:
    """One session's batch. What is encoded is the corner of what is reconstructed; gaps are the same in both."""
    n_enc, n_rec = channels
    recon = draw_data(rng, recipe.data, (trials, config["recon_seq_len"], n_rec))
    if recipe.missing:
        recon[rng.random(recon.shape) < recipe.missing] = np.nan
    ext_bins = config["recon_seq_len"] if recipe.ext_bins == "all" else config["encod_seq_len"]
    ext = rng.normal(size=(trials, ext_bins, config["ext_input_dim"]))
    return Session(encod_data=recon[:, : config["encod_seq_len"], :n_enc].copy(), recon_data=recon, ext_input=ext)


def draw_noise(rng: np.random.Generator, config: Mapping[str, Any], trials: int, *, sampled: bool) -> dict[str, Array]:
    """The draws this configuration uses, in the order in which a model would draw them."""
    shapes = {"ic": (trials, config["ic_dim"]), "co": (trials, config["recon_seq_len"], config["co_dim"])}
    noise: dict[str, Array] = {}
    for use in ("", "_kl") if sampled else ("_kl",):
        for which, shape in shapes.items():
            kind = config[f"{which}_prior"]["type"]
            used = kind in ("AutoregressiveMultivariateNormal", "MultivariateStudentT") if use else which == "ic" or has_controller(config)
            if used:
                noise[f"{which}{use}_normal"] = rng.normal(size=shape)
                if kind == "MultivariateStudentT":
                    noise[f"{which}{use}_chi2"] = rng.chisquare(config[f"{which}_prior"]["df"], size=shape)
    return noise


def draw_dropout(rng: np.random.Generator, config: Mapping[str, Any], trials: int) -> dict[str, Array]:
    """Keep masks of every dropout site this configuration has."""
    bins = config["recon_seq_len"]
    shapes: dict[str, tuple[int, ...]] = {
        "data": (trials, config["encod_seq_len"], config["encod_data_dim"]),
        "ic_enc_final": (trials, 2 * config["ic_enc_dim"]),
        "gen_init": (trials, config["gen_dim"]),
        "gen_state": (trials, bins, config["gen_dim"]),
    }
    if has_controller(config):
        shapes["con_input"] = (trials, bins, 2 * config["ci_enc_dim"] + config["fac_dim"])
    if config["ext_input_dim"]:
        shapes["ext_input"] = (trials, bins, config["ext_input_dim"])
    return {site: (rng.random(shape) >= config["dropout_rate"]).astype(np.float64) for site, shape in shapes.items()}


def build(recipe: Recipe, seed: int) -> Case:
    """Draw everything a case needs."""
    rng = np.random.default_rng([seed, *recipe.name.encode()])
    config = {**BASE, **recipe.config}
    trials = recipe.trials or (TRIALS,)
    channels = [(n, n) for n in recipe.channels] or [(config["encod_data_dim"], config["recon_dim"])]
    weights = model_weights(rng, config, tuple(n for _, n in channels), recipe.spread)
    for entry, value in recipe.bias.items():
        weights["readout.0.bias"][entry] = value
    sessions = tuple(draw_session(rng, recipe, config, b, n) for b, n in zip(trials, channels, strict=True))
    masks: dict[str, Array] = {}
    if recipe.cd:
        shape = sessions[0].encod_data[:, config["ic_enc_seq_len"] :].shape
        masks = {name: (rng.random(shape) < p).astype(np.float64) for name, p in (("cd_mask", 1 - recipe.cd[0]), ("pass_mask", recipe.cd[1]))}
    return Case(
        weights=weights,
        config=config,
        sessions=sessions,
        sample_posteriors=recipe.sampled,
        noise=draw_noise(rng, config, sum(trials), sampled=recipe.sampled),
        dropout_masks=draw_dropout(rng, config, sum(trials)) if recipe.dropout else {},
        masks=masks,
        cd_rate=recipe.cd[0] if recipe.cd else 0.0,
    )


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


def model_fixture(recipe: Recipe, folder: Path, seed: int) -> Path:
    """Write one model fixture."""
    case = build(recipe, seed)
    result = run(case)
    attributes = attributes_of(recipe, case, seed)
    data: dict[str, Array] = {f"weights/{name}": w for name, w in case.weights.items()}
    for i, session in enumerate(case.sessions):
        here = f"inputs/sess{i}/" if len(case.sessions) > 1 else "inputs/"
        data |= {f"{here}{name}": getattr(session, name) for name in ("encod_data", "recon_data", "ext_input")}
    given = {"noise": case.noise, "masks": case.masks, "dropout_masks": case.dropout_masks, "inputs": result.inputs}
    found = {"outputs": result.outputs, "loss": result.loss, "intermediate": result.intermediate}
    trainable = [name for name in case.weights if name not in attributes["frozen_params"]]
    for group, arrays in {**given, **found, "grads": gradients(case, trainable)}.items():
        data |= {f"{group}/{name}": value for name, value in arrays.items()} if group != "inputs" else {f"inputs/{k}": v for k, v in arrays.items()}
    if recipe.name.startswith("m"):
        clip = case.config["cell_clip"]
        attributes["clipped_fraction"] = {k: float((abs(result.outputs[k]) >= clip).mean()) for k in ("gen_states", "con_states")}
    return write(folder / f"{recipe.name}.h5", data, attributes)


def make_all(folder: Path, seed: int = SEED) -> list[Path]:
    """Write every fixture of ours into ``folder``; returns their paths."""
    from oracle.small_fixtures import make_small
    from oracle.training_fixtures import make_training

    folder.mkdir(parents=True, exist_ok=True)
    return [*(model_fixture(r, folder, seed) for r in RECIPES), *make_small(folder, seed), *make_training(folder, seed)]


if __name__ == "__main__":
    for made in make_all(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else SEED):
        print(made)
