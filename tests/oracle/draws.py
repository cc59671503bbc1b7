"""Random data, noise and masks of our own fixtures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from oracle.arrays import Array
from oracle.case import Case, Session, has_controller
from oracle.recipes import Recipe
from oracle.weights import BASE, TRIALS, model_weights


def generator(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for each fixture, so that adding one changes no other."""
    return np.random.default_rng([seed, *name.encode()])


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
    rng = generator(seed, recipe.name)
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
