"""Selective backpropagation through time: missing values cost nothing and are never divided by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lfads_core.components.batch import Batch
from lfads_core.rng import stream
from lfads_plugins_calcium.sbtt import SelectiveBackprop
from lfads_plugins_calcium.settings import ZIGConfig
from lfads_plugins_calcium.zig import ZeroInflatedGamma
from lfads_plugins_emg.gamma import Gamma
from lfads_plugins_std.gaussian import Gaussian
from lfads_plugins_std.poisson import Poisson

B, T, N = 3, 6, 4


def make_batch(missing, seed=0):
    recon = torch.empty(B, T, N).uniform_(0.1, 3, generator=stream(seed, "data"))
    recon = torch.where(missing, torch.nan, recon)
    return Batch(encod=recon[:, :5, :3].clone(), recon=recon, external=recon.new_zeros(B, T, 0), trials=torch.arange(B))


@pytest.mark.property
@given(share=st.floats(0.0, 1.0), seed=st.integers(0, 2**16))
def test_the_mean_loss_is_the_mean_over_observed_values(share, seed):
    missing = torch.rand(B, T, N, generator=stream(seed, "missing")) < share
    part = SelectiveBackprop()
    after = part.augment(make_batch(missing), {})
    loss = torch.empty(B, T, N).normal_(generator=stream(seed, "loss")).requires_grad_()
    weighed = part.weigh(loss, after)
    (gradient,) = torch.autograd.grad(weighed.mean(), loss)
    if missing.all():
        assert weighed.abs().max() == 0
        assert gradient.abs().max() == 0
        return
    torch.testing.assert_close(weighed.mean(), loss[~missing].mean(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, (~missing) / (~missing).sum(), rtol=1e-5, atol=0)
    assert (weighed[missing] == 0).all()


def test_missing_inputs_become_zero_and_all_else_stays():
    missing = torch.zeros(B, T, N, dtype=torch.bool)
    missing[0, 2] = missing[2, :, 1] = True
    before = make_batch(missing)
    after = SelectiveBackprop().augment(before, {})
    assert after.recon.isfinite().all()
    assert (after.encod[before.encod.isnan()] == 0).all()
    assert torch.equal(after.encod[~before.encod.isnan()], before.encod[~before.encod.isnan()])
    assert torch.equal(after.recon[~missing], before.recon[~missing])
    assert torch.equal(after.masks["sbtt/observed"] == 0, missing)
    assert torch.equal(before.recon.isnan(), missing)  # the batch that came in is unchanged


def test_infinite_input_is_not_made_finite():
    """It is a fault of the data, which the checks refuse; hiding it would make it a very large number."""
    before = make_batch(torch.zeros(B, T, N, dtype=torch.bool))
    before.encod[0, 0, 0] = torch.inf
    assert SelectiveBackprop().augment(before, {}).encod[0, 0, 0] == torch.inf


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("part", [Poisson(), Gaussian(), Gamma(), ZeroInflatedGamma(ZIGConfig(gamma_loc=0.1), N)], ids=lambda p: type(p).__name__)
def test_gradients_are_finite_and_none_comes_from_missing_values(part, share):
    missing = torch.rand(B, T, N, generator=stream(0, "missing")) < share
    sbtt = SelectiveBackprop()
    after = sbtt.augment(make_batch(missing), {})
    params = torch.empty(B, T, N, part.n_params).normal_(0, 30, generator=stream(1, "params")).requires_grad_()
    loss = sbtt.weigh(part.nll(params, after.recon), after)
    loss.mean().backward()
    assert loss.isfinite().all()
    assert params.grad.isfinite().all()
    assert (params.grad[missing] == 0).all()
    if share == 1:
        assert loss.abs().max() == 0


def test_it_takes_care_of_missing_values_and_says_so():
    assert SelectiveBackprop.observes_missing
    assert SelectiveBackprop().draw(make_batch(torch.zeros(B, T, N, dtype=torch.bool)), stream(0)) == {}


def test_values_missing_here_and_there_in_every_trial_can_be_trained_on(tmp_path, monkeypatch, tiny_settings):
    """Shares that differ from trial to trial: what a batch weighs by is a mean over all its trials, which is no mixing of trials."""
    import yaml

    import lfads_core as lf

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    events = rng.gamma(1.0, 1.0, (30, 8, 5)) * (rng.random((30, 8, 5)) < 0.3)
    recording = lf.Recording.from_arrays(np.where(rng.random(events.shape) < 0.2, np.nan, events), bin_ms=10.0)
    settings = {key: yaml.safe_load(value) for key, value in (text.split("=") for text in tiny_settings)}
    run = lf.run(recording, plugin="zig", settings={**settings, "train.epochs": 2}, progress=False)
    assert np.isfinite(run.rates.values).all()
    assert np.isfinite(run.log["train/recon"]).all()
