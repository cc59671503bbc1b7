"""Our own fixtures of priors, augmentations, metrics, schedules and posterior averages."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from oracle import pieces
from oracle.arrays import Array
from oracle.augmentations import jitter_probability
from oracle.derive import posterior_average
from oracle.draws import build, generator
from oracle.files import write
from oracle.lfads_numpy import ramp
from oracle.nlb_fixture import nlb_given
from oracle.recipes import Recipe
from oracle.training import reduce_on_plateau
from oracle.weights import BASE, TRIALS

T_ENC, T_REC, N_ENC, N_REC = (BASE[name] for name in ("encod_seq_len", "recon_seq_len", "encod_data_dim", "recon_dim"))
DRAWS = 3
JITTER_BINS, JITTER_WIDTH, JITTER_REPS = 8, 2, 4000
SHIFT_LIMIT, SHIFT_STD = 2, 1.5


def named(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Array]:
    """All names with ``prefix/`` in front."""
    return {f"{prefix}/{name}": np.asarray(value) for name, value in arrays.items()}


def filled(prefix: str, given: Mapping[str, Any], compute: Callable[[Mapping[str, Array]], dict[str, Array]]) -> dict[str, Array]:
    """One group: what is given and what follows from it."""
    arrays = {name: np.asarray(value) for name, value in given.items()}
    return named(prefix, {**arrays, **compute(arrays)})


def priors_file(rng: np.random.Generator) -> dict[str, Array]:
    """``j_ar_prior``."""
    data: dict[str, Array] = {}
    for i, shape in enumerate([(4, 6, 2), (3, 7, 3), (3, 1, 2)]):
        posterior = {"post_mean": rng.normal(size=shape), "post_std": rng.uniform(0.3, 1.2, size=shape)}
        taus, nvars = np.log(rng.uniform(2, 20, size=shape[-1])), np.log(rng.uniform(0.05, 0.5, size=shape[-1]))
        draws = {"sample": rng.normal(size=shape), "eps": rng.normal(size=shape)}
        data |= filled(f"ar{i}", {**posterior, **draws, "logtaus": taus, "lognvars": nvars}, pieces.ar_prior)
        prior = {"mean": 0.3 * rng.normal(size=shape[-1]), "logvar": np.log(rng.uniform(0.05, 1.0, size=shape[-1]))}
        data |= filled(f"mvn{i}", {**posterior, **prior}, pieces.normal_prior)
    return data


def losses(rng: np.random.Generator) -> dict[str, Array]:
    """A loss per element, the weights of a sum over it, and encoder data."""
    shape = (TRIALS, T_REC, N_REC)
    return {
        "loss_in": rng.normal(size=shape),
        "loss_weight": rng.normal(size=shape),
        "encod_data": rng.poisson(0.8, (TRIALS, T_ENC, N_ENC)).astype(float),
    }


def coordinated_dropout_file(rng: np.random.Generator) -> dict[str, Array]:
    """``k_coordinated_dropout``: without and with an IC segment (aligned), and at rate 0."""
    data: dict[str, Array] = {}
    for i, (rate, passing, segment) in enumerate([(0.3, 0.0, 0), (0.4, 0.2, 2), (0.0, 0.0, 0)]):
        shape = (TRIALS, T_ENC - segment, N_ENC)
        masks = {"cd_mask": (rng.random(shape) >= rate).astype(float), "pass_mask": (rng.random(shape) < passing).astype(float)}
        settings = {"cd_rate": rate, "cd_pass_rate": passing, "ic_enc_seq_len": segment}
        data |= filled(f"cd{i}", {**losses(rng), **masks, **settings}, pieces.coordinated_dropout)
    return data


def sample_validation_file(rng: np.random.Generator) -> dict[str, Array]:
    """``k_sample_validation``: mean without, sum with an IC segment (aligned)."""
    data: dict[str, Array] = {}
    for i, (rate, segment, reduce_mean) in enumerate([(0.25, 0, 1), (0.2, 2, 0)]):
        mask = (rng.random((TRIALS, T_ENC - segment, N_ENC)) >= rate).astype(float)
        settings = {"sv_rate": rate, "ic_enc_seq_len": segment, "recon_reduce_mean": reduce_mean}
        data |= filled(f"sv{i}", {**losses(rng), **settings, "sv_mask": mask}, pieces.sample_validation)
    return data


def missing_file(rng: np.random.Generator) -> dict[str, Array]:
    """``k_sbtt``."""
    given = losses(rng)
    recon = rng.poisson(0.8, given["loss_in"].shape).astype(float)
    recon[rng.random(recon.shape) < 0.25] = np.nan
    given |= {"recon_data": recon, "encod_data": recon[:, :T_ENC, :N_ENC].copy()}
    return {**given, **pieces.speckled_bins(given)}


def shift_file(rng: np.random.Generator) -> dict[str, Array]:
    """``k_temporal_shift``: real shifts, two of them halves, some beyond the limit."""
    given = {}
    for which, bins, channels in (("encod", T_ENC, N_ENC), ("recon", T_REC, N_REC)):
        given[f"{which}_data"] = rng.poisson(1.0, (TRIALS, bins, channels)).astype(float)
        shift = SHIFT_STD * rng.normal(size=(TRIALS, 1, channels))
        shift[0, 0, :3] = (0.5, 1.5, SHIFT_LIMIT + 1.2)
        given[f"{which}_shift_raw"] = shift
    return {**given, **pieces.temporal_shift(given, SHIFT_LIMIT)}


def jitter_file(rng: np.random.Generator) -> dict[str, Array]:
    """``k_spike_jitter``: where a spike may land, counted in a simulation and by rule, and one jittered example."""
    rule = jitter_probability(JITTER_BINS, JITTER_WIDTH)
    landed = np.stack([rng.multinomial(JITTER_REPS, row) for row in rule]) / JITTER_REPS
    before = rng.poisson(0.8, (TRIALS, JITTER_BINS, N_REC))
    after = np.zeros_like(before)
    for b, t, n in np.ndindex(before.shape):
        after[b, :, n] += rng.multinomial(before[b, t, n], rule[t])
    example = {"example_in": before.astype(float), "example_out": after.astype(float)}
    return {"expected_destination_probability": rule, "measured_destination_fraction": landed, **example}


def metrics_file(rng: np.random.Generator) -> dict[str, Array]:
    """``n_metrics``."""
    shape = (TRIALS, T_REC, N_REC)
    targets = rng.normal(size=shape)
    given: dict[str, Any] = {
        "lograte": 0.5 * rng.normal(size=shape),
        "counts": rng.poisson(0.9, shape).astype(float),
        "regional/encod_data_dim": N_ENC,
        "regional/encod_seq_len": T_ENC,
        "r2/preds": targets + 0.5 * rng.normal(size=shape),
        "r2/targets": targets,
    }
    for i, coef in enumerate((0.3, 0.7, 0.9)):
        given |= named(f"exp_smoothed{i}", {"coef": coef, "values": rng.normal(size=(6, 3)), "batch_sizes": rng.integers(1, 9, size=(6, 3))})
    given = {name: np.asarray(value) for name, value in given.items()}
    return {**given, **pieces.metrics(given)}


def nlb_file(rng: np.random.Generator) -> dict[str, Array]:
    """``n_nlb_tools``."""
    given = nlb_given(rng)
    return {**given, **pieces.nlb_metrics(given)}


def average_file(rng: np.random.Generator, seed: int) -> dict[str, Array]:
    """``s_posterior_average``."""
    case = build(Recipe(name="s_posterior_average", note="", config={"ext_input_dim": 2}, sampled=True), seed)
    noise = {name: rng.normal(size=(DRAWS, *case.noise[name].shape)) for name in ("ic_normal", "co_normal")}
    session = case.sessions[0]
    inputs = {name: getattr(session, name) for name in ("encod_data", "recon_data", "ext_input")}
    outputs = posterior_average(replace(case, noise=noise), DRAWS)
    return {**named("weights", case.weights), **named("inputs", inputs), **named("noise", noise), **named("outputs", outputs)}


def schedules(rng: np.random.Generator) -> dict[str, Any]:
    """``r_schedules.json``."""
    ramps = [
        {"start_epoch": start, "increase_epoch": increase, "values_by_epoch_from_0": [ramp(epoch, start, increase) for epoch in range(40)]}
        for start, increase in [(0, 30), (0, 0), (5, 10), (3, 0), (10, 1)]
    ]
    plateau = []
    for lr_init, lr_decay, lr_stop, lr_patience in [(4e-3, 0.95, 1e-5, 3), (1e-2, 0.5, 1e-3, 0)]:
        falling = np.exp(-0.08 * np.arange(25)) + 0.02 * rng.normal(size=25)
        metric = [float(v) for v in (*falling, *[falling[-1]] * 15)]
        settings = {"lr_init": lr_init, "lr_decay": lr_decay, "lr_stop": lr_stop, "lr_patience": lr_patience}
        plateau.append({**settings, "metric_by_epoch": metric, "lr_after_epoch": reduce_on_plateau(metric, **settings)})
    return {"ramps": ramps, "plateau": plateau, "early_stopping": []}


def make_small(folder: Path, seed: int) -> list[Path]:
    """Write them all into ``folder``."""

    def stream(name: str) -> np.random.Generator:
        return generator(seed, name)

    per_bin = "AR: mean over trials of sums over bins and channels; mvn: mean over trials and bins of sums over channels"
    aligned = "with an IC segment the mask lies on output bins from ic_enc_seq_len on (aligned; the published file lays it on bin 0)"
    files: list[tuple[str, Callable[[np.random.Generator], dict[str, Array]], dict[str, Any]]] = [
        ("j_ar_prior", priors_file, {"note": per_bin}),
        ("k_coordinated_dropout", coordinated_dropout_file, {"note": aligned}),
        ("k_sample_validation", sample_validation_file, {"note": aligned}),
        ("k_sbtt", missing_file, {"note": "a missing target's placeholder is 10; its loss is 0 afterwards"}),
        ("k_temporal_shift", shift_file, {"note": "half to even, then limited", "max_shift": SHIFT_LIMIT, "std": SHIFT_STD}),
        ("k_spike_jitter", jitter_file, {"note": "rows: from, columns: to", "width": JITTER_WIDTH, "reps": JITTER_REPS}),
        ("n_metrics", metrics_file, {"note": "NaN for regions without elements"}),
        ("n_nlb_tools", nlb_file, {"note": "see the NLB definitions"}),
    ]
    paths = []
    for name, make, attributes in files:
        common = {"case": name, "config": {}, "dtype": "float64", "seed": seed}
        paths.append(write(folder / f"{name}.h5", make(stream(name)), {**common, **attributes}))
    name = "s_posterior_average"
    config = {k: v for k, v in {**BASE, "ext_input_dim": 2}.items() if k != "current_epoch"}
    attributes = {
        "case": name,
        "config": config,
        "dtype": "float64",
        "seed": seed,
        "num_samples": DRAWS,
        "note": "output_params are averages of rates",
    }
    paths.append(write(folder / f"{name}.h5", average_file(stream(name), seed), attributes))
    path = folder / "r_schedules.json"
    path.write_text(json.dumps(schedules(stream(path.name))))
    return [*paths, path]
