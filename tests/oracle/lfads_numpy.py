"""LFADS in NumPy float64, written from the public description of the parity files and from nothing else.

``run(case)`` gives everything a model file holds: outputs, losses, controller input. It is slow and plain on purpose: it is what the torch
model is tested against. ``derive.gradients(case, names)`` differentiates it by complex steps (see ``arrays``).
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from oracle import augmentations, priors, reconstructions
from oracle.arrays import Array, concat
from oracle.case import Case, Result, Session, has_controller
from oracle.model import Encoded, decode, encode, external_input, readin, readout

POISSON = {"type": "Poisson"}


def changed(case: Case, session: int) -> bool:
    """Whether an augmentation changes this session's data."""
    s = case.sessions[session]
    return "cd_mask" in case.masks or bool(np.isnan(s.recon_data).any() or np.isnan(s.encod_data).any())


def augmented(case: Case) -> tuple[Session, ...]:
    """The sessions as the model sees them: missing values filled, then coordinated dropout of the input."""
    out = []
    for s in case.sessions:
        encod = augmentations.sbtt_input(s.encod_data)
        if "cd_mask" in case.masks:
            encod = augmentations.cd_input(encod, case.masks["cd_mask"], case.cd_rate, case.config["ic_enc_seq_len"])
        out.append(replace(s, encod_data=encod, recon_data=augmentations.sbtt_target(s.recon_data)))
    return tuple(out)


def augmented_loss(recon_all: Array, original: Session, case: Case) -> Array:
    """Loss after coordinated dropout's blocking, then after the correction for missing targets (this order)."""
    if "cd_mask" in case.masks:
        first = case.config["ic_enc_seq_len"] if case.loss_mask_first_bin is None else case.loss_mask_first_bin
        shape = recon_all.shape[-3:]
        mask = augmentations.cd_padded_mask(case.masks["cd_mask"], case.masks["pass_mask"], case.cd_rate, shape, first)
        recon_all = augmentations.cd_loss(recon_all, mask)
    if np.isnan(original.recon_data).any():
        recon_all = augmentations.sbtt_loss(recon_all, original.recon_data)
    return recon_all


def ramp(epoch: int, start: int, increase: int) -> float:
    """clamp((epoch + 1 - start) / (increase + 1), 0, 1), epochs counted from 0."""
    return float(min(max((epoch + 1 - start) / (increase + 1), 0.0), 1.0))


def l2(case: Case) -> Array:
    """Weighted sum of half squared norms of the recurrent kernels over the number of entries that take part, plus the ZIG scale penalty."""
    config, weights = case.config, case.weights
    kernels = [("encoder.ic_enc.fwd_gru", "ic_enc"), ("encoder.ic_enc.bwd_gru", "ic_enc"), ("decoder.rnn.cell.gen_cell", "gen")]
    if has_controller(config):
        kernels += [("encoder.ci_enc.fwd_gru", "ci_enc"), ("encoder.ci_enc.bwd_gru", "ci_enc"), ("decoder.rnn.cell.con_cell", "con")]
    total: Array = np.zeros(())
    entries = 0
    for name, scale_of in kernels:
        kernel = weights[(name + ".cell" if name.startswith("encoder") else name) + ".weight_hh"]
        scale = config[f"l2_{scale_of}_scale"]
        if scale > 0:
            total = total + scale * 0.5 * (kernel * kernel).sum(axis=(-2, -1))
            entries += kernel.shape[-2] * kernel.shape[-1]
    total = total / (entries + 1e-8)
    recon = config.get("recon", POISSON)
    for s in range(len(case.sessions)):
        if recon["type"] == "ZeroInflatedGamma":
            total = total + 0.5 * recon["scale_penalty"] * ((weights[f"recon.{s}.scale"] - recon["scale_prior"]) ** 2).sum(axis=(-2, -1))
    return total


def per_session(case: Case) -> list[tuple[str, slice]]:
    """For each session the prefix of its names ("" when it is the only one) and its rows in the concatenated batch."""
    ends = np.cumsum([0, *(len(s.encod_data) for s in case.sessions)])
    return [(f"sess{i}/" if len(case.sessions) > 1 else "", slice(*rows)) for i, rows in enumerate(pairwise(ends))]


def forward(case: Case) -> Result:
    """Outputs, controller input and what the model saw; no losses."""
    config, weights = case.config, case.weights
    recon = config.get("recon", POISSON)
    sessions = augmented(case)
    data = concat([readin(s.encod_data, weights, i) for i, s in enumerate(sessions)], -3)
    encoded: Encoded = encode(data, case)
    decoded = decode(encoded, external_input(sessions, config["recon_seq_len"], config["ext_input_dim"]), case)
    outputs: dict[str, Array] = {}
    inputs: dict[str, Array] = {}
    for i, (here, rows) in enumerate(per_session(case)):
        for name, value in decoded.items():
            outputs[here + name] = value[..., rows, :] if name == "gen_init" else value[..., rows, :, :]
        outputs[f"{here}ic_mean"], outputs[f"{here}ic_std"] = encoded.ic_mean[..., rows, :], encoded.ic_std[..., rows, :]
        params = reconstructions.split(readout(outputs[f"{here}factors"], weights, i), reconstructions.PARAMETERS[recon["type"]])
        outputs[f"{here}output_params"] = params
        outputs[f"{here}output_means"] = reconstructions.mean(recon, params, weights.get(f"recon.{i}.scale"))
        if changed(case, i):
            inputs[f"{here}encod_data_after_augmentation"] = sessions[i].encod_data
            inputs[f"{here}recon_data_after_augmentation"] = sessions[i].recon_data
    intermediate = {"ci": encoded.ci}
    if len(sessions) > 1:
        intermediate["encod_after_readin"] = data
    return Result(outputs=outputs, loss={}, intermediate=intermediate, inputs=inputs)


def run(case: Case) -> Result:
    """Evaluate the model and its loss. Several sessions: names get ``sess<i>/`` in front, as in the files."""
    config, weights = case.config, case.weights
    recon = config.get("recon", POISSON)
    result = forward(case)
    sessions = augmented(case)
    loss: dict[str, Array] = {}
    recons = []
    for i, (here, _) in enumerate(per_session(case)):
        before = reconstructions.loss(recon, result.outputs[f"{here}output_params"], sessions[i].recon_data, weights.get(f"recon.{i}.scale"))
        after = augmented_loss(before, case.sessions[i], case)
        per_trial = after.mean(axis=(-2, -1)) if config["recon_reduce_mean"] else after.sum(axis=(-2, -1))
        recons.append(per_trial.mean(axis=-1))
        loss[f"{here}recon_all"], loss[f"{here}recon"] = after, recons[-1]
        if changed(case, i):
            loss[f"{here}recon_all_before_augmentation"] = before

    def all_trials(name: str, axis: int) -> Array:
        return concat([result.outputs[here + name] for here, _ in per_session(case)], axis)

    loss["recon"] = sum(recons) / len(recons)
    loss["ic_kl"] = priors.kl(config["ic_prior"], "ic", weights, all_trials("ic_mean", -2), all_trials("ic_std", -2), case.noise, per_bin=False)
    loss["co_kl"] = priors.kl(config["co_prior"], "co", weights, all_trials("co_means", -3), all_trials("co_stds", -3), case.noise, per_bin=True)
    loss["l2"] = l2(case)
    epoch = config["current_epoch"]
    loss["l2_ramp"] = np.array(ramp(epoch, config["l2_start_epoch"], config["l2_increase_epoch"]))
    loss["kl_ramp"] = np.array(ramp(epoch, config["kl_start_epoch"], config["kl_increase_epoch"]))
    kls = config["kl_ic_scale"] * loss["ic_kl"] + config["kl_co_scale"] * loss["co_kl"]
    loss["total"] = config["loss_scale"] * (loss["recon"] + loss["l2_ramp"] * loss["l2"] + loss["kl_ramp"] * kls)
    return replace(result, loss=loss)
