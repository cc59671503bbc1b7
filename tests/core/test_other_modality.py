"""Reconstructing another modality than is read: spikes in, muscle activity or behaviour out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lfads_core.augment.stack import augmented
from lfads_core.config.load import resolve
from lfads_core.data.checks import check_sessions
from lfads_core.data.hold_out import hold_out_channels
from lfads_core.data.layout import session_from_arrays
from lfads_core.data.loader import SplitTensors
from lfads_core.errors import DataError
from lfads_core.model.build import build_stacks, prepare_model
from lfads_core.objective.total import Objective
from lfads_core.plugins import load_registry
from lfads_core.rng import stream
from lfads_core.train.auto import resolve_auto
from lfads_core.train.optim import build_optimizer
from lfads_core.train.step import LoneMember, StepInputs, take_step

SMALL = [
    "model.controller=null", "model.generator.hidden=6", "model.generator.ic_size=3", "model.generator.factors=3", "model.encoder.hidden=4",
    "data.batch_size=8", "components.reconstruction=gaussian",
]  # fmt: skip


def spikes_to_muscles(channels: int, muscles: int):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, trials in (("train", 10), ("valid", 4)):
        arrays[f"{split}_encod_data"] = rng.poisson(0.5, (trials, 7, channels)).astype(np.float32)
        arrays[f"{split}_recon_data"] = rng.normal(size=(trials, 7, muscles)).astype(np.float32)
    return session_from_arrays("arm", arrays)


@pytest.mark.parametrize(("channels", "muscles"), [(9, 2), (3, 5), (4, 4)])
@pytest.mark.parametrize("augmentation", ["coordinated-dropout", "sample-validation", "temporal-shift", "random-gain"])
def test_any_numbers_of_channels_train_and_every_loss_teaches(channels, muscles, augmentation):
    session, registry = spikes_to_muscles(channels, muscles), load_registry()
    assert not session.splits["train"].nested
    config = resolve_auto(resolve([], [], [*SMALL, f"components.train_augmentations=[{augmentation}]"], registry), [session])
    model, stack = prepare_model(config, [session], registry, "cpu"), build_stacks(config, registry)[0]
    raw = {"arm": SplitTensors.from_split(session.splits["train"]).take(torch.arange(8))}
    batches = augmented(raw, stack, None, stream(0, "masks"))
    assert not torch.equal(batches["arm"].encod, raw["arm"].encod)
    per_value = torch.rand(8, 7, muscles, requires_grad=True)
    stack.weigh(per_value, batches["arm"]).sum().backward()
    assert torch.equal(per_value.grad, torch.ones_like(per_value))
    noise = model.draw_noise(8, stream(0, "noise"), sample=True, dropout=True)
    optimizer, objective = build_optimizer(model, config.optim), Objective(config.regularisation)
    one = LoneMember(model=model, objective=objective, optimizer=optimizer, train_stack=stack, clip_norm=200.0)
    (result,) = take_step([one], [StepInputs(epoch=0, step=0, batches=batches, noise=noise)])
    assert torch.isfinite(result.losses.total)
    assert result.losses.per_value["arm"].shape == (8, 7, muscles)


def test_input_that_is_part_of_the_target_is_recognised_through_gaps():
    counts = np.random.default_rng(1).poisson(1.0, (6, 5, 4)).astype(np.float32)
    gaps = counts.copy()
    gaps[0, 1, 2] = np.nan
    mended = counts.copy()
    mended[3, 2, 1] += 1
    for recon in (counts, gaps, mended, np.concatenate([counts, counts[..., :1]], axis=2)):
        arrays = {"train_encod_data": counts, "train_recon_data": recon, "valid_encod_data": counts, "valid_recon_data": recon}
        assert session_from_arrays("a", arrays).splits["train"].nested


def test_other_neurons_are_another_modality_though_most_bins_of_both_are_silent():
    rng = np.random.default_rng(2)
    counts, others = (rng.poisson(0.02, (20, 50, 8)).astype(np.float32) for _ in range(2))
    assert (counts == others).mean() > 0.95
    arrays = {"train_encod_data": counts, "train_recon_data": others, "valid_encod_data": counts, "valid_recon_data": others}
    assert not session_from_arrays("a", arrays).splits["train"].nested


def test_the_checks_say_that_another_modality_is_predicted():
    session = spikes_to_muscles(9, 2)
    notes = [p.text for p in check_sessions([session], support="real", observes_missing=False) if p.severity == "info"]
    assert (
        "arm: the encoders read other values than are reconstructed, so another modality is predicted: "
        "masks of the input do not concern the loss, and all channels count as held out."
    ) in notes


def test_channels_of_another_modality_cannot_be_held_out():
    wanted = r"^session 'arm': channels can be held out of one modality only, got another one to reconstruct\. Set data\.hold_out to null\.$"
    with pytest.raises(DataError, match=wanted):
        hold_out_channels(spikes_to_muscles(4, 4), 0.25, 0)
