"""Replay of whole trainings, and of posterior averages."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lfads_core.config.schema import OptimConfig
from lfads_core.infer.posterior import average
from lfads_core.model.lfads import LFADS
from lfads_core.objective.total import Objective
from lfads_core.train.optim import build_optimizer
from lfads_core.train.step import LoneMember, StepInputs, StepResult, take_step
from parity.fixture import Fixture, tensor
from parity.report import Report, as_array
from parity.translate import batch_of, model_of, noise_of, regularisation, session_inputs, stack_of
from parity.weights import load_weights, weight_of

_TORCH_BETAS = (0.9, 0.999)
"""The moments' decay where the file says nothing of it: that of AdamW itself, not our default."""


def _loaded(fixture: Fixture, report: Report) -> LFADS:
    model = model_of(fixture)
    load_weights(model, fixture, report)
    return model


def optim_config(fixture: Fixture) -> OptimConfig:
    """Settings of the optimiser, from the attributes or the model's settings."""
    given = {**fixture.config, **fixture.attributes}
    return OptimConfig(
        lr=float(given["lr_init"]),
        betas=tuple(given.get("betas", _TORCH_BETAS)),
        eps=float(given.get("eps", 1e-8)),
        weight_decay=float(given["weight_decay"]),
        clip_norm=float(given["grad_clip"]),
    )


def _logged(done: StepResult) -> dict[str, Any]:
    """One step's numbers under the fixture's names."""
    losses = done.losses
    return {
        "loss": losses.total,
        "recon": losses.recon,
        "l2": losses.l2,
        "ic_kl": losses.ic_kl,
        "co_kl": losses.input_kl,
        "kl_ramp": losses.ramps.kl,
        "l2_ramp": losses.ramps.l2,
        "grad_norm": done.grad_norm,
    }


def replay_training(fixture: Fixture, report: Report) -> None:
    """``o_*``: every step's losses, and the weights at the end."""
    report.expected = {name for name in fixture.arrays if name.startswith(("steps/", "final_weights/"))}
    config, optim = fixture.config, optim_config(fixture)
    wanted = fixture.group("steps")
    per_epoch = len({name.split("/")[1] for name in fixture.arrays if name.startswith("batches/")})
    model, segment = _loaded(fixture, report), int(config["ic_enc_seq_len"])
    optimizer, objective, stack = build_optimizer(model, optim), Objective(regularisation(config)), stack_of(fixture)
    member = LoneMember(model=model, objective=objective, optimizer=optimizer, train_stack=stack, clip_norm=optim.clip_norm)
    kept, noise = fixture.arrays.get("cd_masks"), fixture.group("noise")
    rows: dict[str, list[float]] = {name: [] for name in wanted}
    clipped = 0
    for step in range(len(wanted["loss"])):
        epoch, index = divmod(step, per_epoch)
        decay = optim.weight_decay * objective.ramps(epoch).l2
        optimizer.weight_decay = decay
        batch = batch_of(fixture.group(f"batches/{index}"), segment)
        masks = {} if kept is None else {"coordinated-dropout": {"keep": tensor(kept[step]), "pass": torch.zeros(kept[step].shape)}}
        drawn = noise_of({name: array[step] for name, array in noise.items()}, {}, 0.0, sample=bool(fixture.attributes["sample_posteriors"]))
        batches = {"sess0": stack.augment(batch, masks)}
        (done,) = take_step([member], [StepInputs(epoch=epoch, step=index, batches=batches, noise=drawn)])
        ours = {**_logged(done), "weight_decay": decay, "epoch": epoch, "batch": index}
        for name in rows.keys() & ours.keys():
            rows[name].append(float(as_array(ours[name])))
        clipped += as_array(done.grad_norm) > (optim.clip_norm or np.inf)
    for name, values in rows.items():
        report.compare(f"steps/{name}", wanted[name], values)
    for name, expected in fixture.group("final_weights").items():
        report.compare(f"final_weights/{name}", expected, weight_of(model, name, expected))
    if "clipped_steps" in fixture.attributes:
        report.compare("attribute clipped_steps", fixture.attributes["clipped_steps"], clipped)


@torch.no_grad()
def replay_average(fixture: Fixture, report: Report) -> None:
    """``s_*``: every output averaged over posterior samples; what is read out counts as means."""
    report.expected = {name for name in fixture.arrays if name.startswith("outputs/")}
    model = _loaded(fixture, report)
    session, given = next(iter(session_inputs(fixture).items()))
    batch = batch_of(given, int(fixture.config["ic_enc_seq_len"]))
    noise = fixture.group("noise")
    samples = int(fixture.attributes["num_samples"])
    report.require("attribute num_samples", all(len(array) == samples for array in noise.values()))
    draws = (noise_of({name: array[draw] for name, array in noise.items()}, {}, 0.0, sample=True) for draw in range(samples))
    ours = average(model, {session: batch}, draws)[session]
    for name, expected in fixture.group("outputs").items():
        report.compare(f"outputs/{name}", expected, ours.get(name))
