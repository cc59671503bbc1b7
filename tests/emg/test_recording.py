"""The recipe on a real recording, where there is one beside the repository."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lfads_core.augment.stack import augmented
from lfads_core.config.load import resolve
from lfads_core.data.inspect import inspect_session
from lfads_core.model.build import build_stacks, prepare_model
from lfads_core.objective.total import Objective
from lfads_core.plugins import load_registry
from lfads_core.rng import stream
from lfads_core.train.auto import resolve_auto
from lfads_core.train.data import put_on, read_for
from lfads_core.train.optim import build_optimizer
from lfads_core.train.step import LoneMember, StepInputs, take_step


@pytest.fixture
def recording(shared):
    path = shared / "data" / "emg_uci_actions_sub02.h5"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the folder 'shared'")
    return path


def first_bins(split, bins):
    return replace(split, encod=split.encod[:, :bins], recon=split.recon[:, :bins], external=split.external[:, :bins])


def test_the_recipe_learns_from_a_recording_with_finite_losses_and_gradients(recording):
    registry = load_registry()
    config = resolve([], ["emg"], [], registry)
    (session,) = read_for(config, [recording], registry)
    config = resolve_auto(config, [session])
    assert inspect_session(session, "gamma", registry) == []
    session = replace(session, splits={name: first_bins(split, 60) for name, split in session.splits.items()})  # for time's sake
    model = prepare_model(config, [session], registry, "cpu")
    stack, _ = build_stacks(config, registry)
    source = put_on("cpu", [session]).splits["train"][session.name]
    optimizer, losses = build_optimizer(model, config.optim), []
    one = LoneMember(model=model, objective=Objective(config.regularisation), optimizer=optimizer, train_stack=stack, clip_norm=200.0)
    for step in range(6):
        drawn = step % 5  # the last draws are the first ones, so that losses compare
        batches = augmented({session.name: source.take(torch.arange(8))}, stack, None, stream(0, "masks", drawn))
        noise = model.draw_noise(8, stream(0, "noise", drawn), sample=True, dropout=True)
        (result,) = take_step([one], [StepInputs(epoch=10, step=step, batches=batches, noise=noise)])
        losses.append(result.losses.total.item())
        assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)
    assert losses[-1] < losses[0]
