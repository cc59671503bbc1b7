"""Sizes, configurations and random weights of our own fixtures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from oracle.arrays import Array
from oracle.case import has_controller
from oracle.reconstructions import PARAMETERS

NORMAL = {"type": "MultivariateNormal", "mean": 0.05, "variance": 0.1}
AUTOREGRESSIVE = {"type": "AutoregressiveMultivariateNormal", "tau": 10.0, "nvar": 0.1}
NULL = {"type": "Null"}

BASE: dict[str, Any] = {
    "encod_data_dim": 4,
    "encod_seq_len": 5,
    "recon_seq_len": 7,
    "recon_dim": 6,
    "ext_input_dim": 0,
    "ic_enc_seq_len": 0,
    "ic_enc_dim": 4,
    "ci_enc_dim": 3,
    "ci_lag": 1,
    "con_dim": 5,
    "co_dim": 2,
    "ic_dim": 3,
    "gen_dim": 6,
    "fac_dim": 4,
    "dropout_rate": 0.0,
    "cell_clip": 5.0,
    "loss_scale": 1.0,
    "recon_reduce_mean": True,
    "ic_post_var_min": 1e-4,
    "ic_prior": NORMAL,
    "co_prior": AUTOREGRESSIVE,
    "l2_start_epoch": 2,
    "l2_increase_epoch": 10,
    "kl_start_epoch": 1,
    "kl_increase_epoch": 20,
    "l2_ic_enc_scale": 0.3,
    "l2_ci_enc_scale": 0.2,
    "l2_gen_scale": 1.5,
    "l2_con_scale": 0.7,
    "kl_ic_scale": 0.013,
    "kl_co_scale": 0.021,
    "current_epoch": 7,
}
TRIALS = 3

NO_CONTROLLER: dict[str, Any] = {"ci_enc_dim": 0, "con_dim": 0, "co_dim": 0, "co_prior": NULL}


def gru_weights(rng: np.random.Generator, name: str, inputs: int, hidden: int, spread: float) -> dict[str, Array]:
    """One cell near its usual start (update and reset biases about 1), ``spread`` times as wild."""
    bias = np.concatenate([np.ones(2 * hidden), np.zeros(hidden)])
    return {
        f"{name}.weight_ih": spread * rng.normal(size=(3 * hidden, inputs)) / np.sqrt(max(inputs, 1)),
        f"{name}.weight_hh": spread * rng.normal(size=(3 * hidden, hidden)) / np.sqrt(hidden),
        f"{name}.bias_ih": bias + 0.15 * rng.normal(size=3 * hidden),
        f"{name}.bias_hh": np.zeros(3 * hidden),
    }


def linear_weights(rng: np.random.Generator, name: str, inputs: int, outputs: int) -> dict[str, Array]:
    """An affine map."""
    return {f"{name}.weight": rng.normal(size=(outputs, inputs)) / np.sqrt(inputs), f"{name}.bias": 0.15 * rng.normal(size=outputs)}


def prior_weights(rng: np.random.Generator, name: str, prior: Mapping[str, Any], width: int) -> dict[str, Array]:
    """A prior's parameters, moved a little from where its settings put them."""

    def near(value: float) -> Array:
        return value + 0.1 * rng.normal(size=width)

    match prior["type"]:
        case "MultivariateNormal":
            return {f"{name}.mean": near(prior["mean"]), f"{name}.logvar": near(np.log(prior["variance"]))}
        case "AutoregressiveMultivariateNormal":
            return {f"{name}.logtaus": near(np.log(prior["tau"])), f"{name}.lognvars": near(np.log(prior["nvar"]))}
        case "MultivariateStudentT":
            return {f"{name}.loc": near(prior["loc"]), f"{name}.logscale": near(np.log(prior["scale"]))}
        case _:
            return {}


def encoder_weights(rng: np.random.Generator, config: Mapping[str, Any], which: str, spread: float) -> dict[str, Array]:
    """Both directions of one encoder and their first states."""
    hidden = config[f"{which}_dim"]
    out = {f"encoder.{which}_h0": 0.15 * rng.normal(size=(2, 1, hidden))}
    for direction in ("fwd", "bwd"):
        out |= gru_weights(rng, f"encoder.{which}.{direction}_gru.cell", config["encod_data_dim"], hidden, spread)
    return out


def model_weights(rng: np.random.Generator, config: Mapping[str, Any], channels: tuple[int, ...], spread: float = 1.0) -> dict[str, Array]:
    """All weights of a model. Several sessions (``channels``) bring read-ins; one does not."""
    gen, con, co, fac = (config[name] for name in ("gen_dim", "con_dim", "co_dim", "fac_dim"))
    cell = "decoder.rnn.cell"
    out = encoder_weights(rng, config, "ic_enc", spread)
    out |= linear_weights(rng, "encoder.ic_linear", 2 * config["ic_enc_dim"], 2 * config["ic_dim"])
    out |= linear_weights(rng, "decoder.ic_to_g0", config["ic_dim"], gen)
    out |= gru_weights(rng, f"{cell}.gen_cell", co + config["ext_input_dim"], gen, spread)
    out[f"{cell}.fac_linear.weight"] = rng.normal(size=(fac, gen)) / np.sqrt(gen)
    out["decoder.con_h0"] = 0.15 * rng.normal(size=(1, con))
    if has_controller(config):
        out |= encoder_weights(rng, config, "ci_enc", spread)
        out |= gru_weights(rng, f"{cell}.con_cell", 2 * config["ci_enc_dim"] + fac, con, spread)
        out |= linear_weights(rng, f"{cell}.co_linear", con, 2 * co)
    recon = config.get("recon", {"type": "Poisson"})
    for s, n in enumerate(channels):
        if len(channels) > 1:
            out |= linear_weights(rng, f"readin.{s}", n, config["encod_data_dim"])
        out |= linear_weights(rng, f"readout.{s}", fac, n * PARAMETERS[recon["type"]])
        if recon["type"] == "ZeroInflatedGamma":
            out[f"recon.{s}.scale"] = recon["scale_init"] + 0.1 * rng.normal(size=(2, n))
    out |= prior_weights(rng, "ic_prior", config["ic_prior"], config["ic_dim"])
    out |= prior_weights(rng, "co_prior", config["co_prior"], co)
    return out


def frozen(weights: Mapping[str, Array], *, readin_frozen: bool = False) -> list[str]:
    """Names that get no gradient: recurrent biases, normal priors' variances, and read-ins where asked."""
    return [name for name in weights if name.endswith((".bias_hh", "_prior.logvar")) or (readin_frozen and name.startswith("readin."))]
