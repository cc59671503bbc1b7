"""The optimiser against torch's own, and against the oracle's."""

from __future__ import annotations

import copy
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from lfads_core.train.optim import AdamW, clip_gradients
from oracle.training import AdamW as OracleAdamW

SETTINGS = {"lr": 3e-3, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.01}


def parameters(dtype=torch.float32):
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(shape, dtype=dtype, generator=rng, requires_grad=True) for shape in ((3, 4), (5,), (2,))]


def give_gradients(params, step, *, without=()):
    rng = torch.Generator().manual_seed(step + 1)
    for i, p in enumerate(params):
        drawn = torch.randn(p.shape, dtype=p.dtype, generator=rng)
        p.grad = None if i in without else drawn


def test_weights_are_those_of_torchs_fused_optimiser_to_the_bit():
    ours, theirs = parameters(), parameters()
    mine, other = AdamW(ours, **SETTINGS), torch.optim.AdamW(theirs, fused=True, **SETTINGS)
    for step in range(5):
        for params, optimizer in ((ours, mine), (theirs, other)):
            give_gradients(params, step, without=(1,) if step == 2 else ())
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_weights_follow_the_equations():
    params = parameters(torch.float64)
    optimizer, oracle = AdamW(params, **SETTINGS), OracleAdamW(lr=3e-3, betas=(0.8, 0.95), eps=1e-6)
    weights = {str(i): p.detach().numpy().copy() for i, p in enumerate(params)}
    for step in range(4):
        give_gradients(params, step)
        weights = oracle.step(weights, {str(i): p.grad.numpy() for i, p in enumerate(params)}, 0.01)
        optimizer.step()
    for i, p in enumerate(params):
        np.testing.assert_allclose(p.detach(), weights[str(i)], rtol=1e-12)


def test_a_step_that_is_skipped_changes_nothing_and_does_not_count():
    params, straight = parameters(), parameters()
    optimizer, other = AdamW(params, **SETTINGS), AdamW(straight, **SETTINGS)
    give_gradients(params, 0)
    params[0].grad[0, 0] = torch.nan
    before = [p.detach().clone() for p in params]
    optimizer.step(skip=torch.tensor(1.0))
    assert all(torch.equal(p, b) for p, b in zip(params, before, strict=True))
    give_gradients(params, 1)
    give_gradients(straight, 1)
    optimizer.step(skip=torch.tensor(0.0))
    other.step()
    assert all(torch.equal(a, b) for a, b in zip(params, straight, strict=True))


@pytest.mark.parametrize("back", [False, True])
def test_its_state_goes_over_to_torchs_optimiser_and_back(back):
    ours, theirs = parameters(), parameters()
    mine, other = AdamW(ours, **SETTINGS), torch.optim.AdamW(theirs, fused=True, **SETTINGS)
    give_gradients(ours, 0)
    give_gradients(theirs, 0)
    mine.step()
    other.step()
    fresh = AdamW(ours, **SETTINGS) if back else torch.optim.AdamW(theirs, fused=True, **SETTINGS)
    old = other if back else mine
    fresh.load_state_dict(copy.deepcopy(old.state_dict()))
    give_gradients(ours, 1)
    give_gradients(theirs, 1)
    fresh.step()
    old.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_state_of_other_parameters_is_refused():
    params = parameters()
    optimizer = AdamW(params, **SETTINGS)
    give_gradients(params, 0)
    optimizer.step()
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"^the optimiser's state must be of 2 parameters, got 3$"):
        AdamW(parameters()[:2], **SETTINGS).load_state_dict(state)
    with pytest.raises(ValueError, match=r"^'exp_avg' of parameter 1 must have shape \(2,\), got \(5,\)$"):
        AdamW([parameters()[0], parameters()[2], parameters()[1]], **SETTINGS).load_state_dict(state)


@pytest.mark.long
def test_training_does_not_load_torchs_compiler():
    script = (
        "import sys, torch\n"
        "from lfads_core.train.optim import AdamW\n"
        "p = torch.ones(3, requires_grad=True)\n"
        "o = AdamW([p], lr=0.1, betas=(0.9, 0.99), eps=1e-8)\n"
        "p.square().sum().backward()\n"
        "o.step()\n"
        "o.load_state_dict(o.state_dict())\n"
        "o.zero_grad()\n"
        "print(p.grad, 'torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "None False\n"


def test_the_optimiser_of_a_training_is_made_with_its_settings(make_trainer):
    optimizer = make_trainer("made", "optim.betas=[0.8, 0.95]", "optim.eps=1e-5", "optim.lr=0.02").optimizer
    assert (optimizer.betas, optimizer.eps, optimizer.lr) == ((0.8, 0.95), 1e-5, 0.02)


@pytest.mark.parametrize(("limit", "left"), [("0.5", 0.5), ("1e3", None), ("null", None)])
def test_gradients_are_clipped_by_the_norm_that_the_settings_say(make_trainer, limit, left):
    trainer = make_trainer("clipped", f"optim.clip_norm={limit}")
    params = [p for p in trainer.model.parameters() if p.requires_grad]
    for p in params:
        p.grad = torch.full_like(p, 0.2)
    norm = 0.2 * math.sqrt(sum(p.numel() for p in params))
    clip_gradients(params, torch.tensor(norm), trainer.clip_norm)
    found = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in params])).item()
    assert found == pytest.approx(norm if left is None else left, rel=1e-4)
