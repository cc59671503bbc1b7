"""Gamma against scipy, and its continuation where exp and log-gamma would overflow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from lfads_core.rng import stream
from lfads_plugins_emg.gamma import Gamma, exp_held


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def one(log_shape, log_rate, x, dtype=torch.float64):
    params = torch.tensor([[[log_shape, log_rate]]], dtype=dtype, requires_grad=True)
    loss = Gamma().nll(params, torch.tensor([[x]], dtype=dtype))
    (gradient,) = torch.autograd.grad(loss.sum(), params)
    return loss.item(), gradient.ravel().numpy()


def test_loss_and_mean_follow_scipy(rng):
    log_shape, log_rate = rng.normal(0, 2, (2, 3, 5, 4))
    x = rng.gamma(1.0, 1.0, (3, 5, 4))
    params = torch.as_tensor(np.stack([log_shape, log_rate], axis=-1))
    exact = -stats.gamma.logpdf(x, np.exp(log_shape), scale=np.exp(-log_rate))
    np.testing.assert_allclose(Gamma().nll(params, torch.as_tensor(x)), exact, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(Gamma().mean(params), np.exp(log_shape - log_rate), rtol=1e-12)


def test_the_density_integrates_to_one():
    total = integrate.quad(lambda x: math.exp(-one(0.7, 0.2, x)[0]), 1e-9, 60)[0]
    assert total == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("x", [0.0, 1e-320])
def test_zero_counts_as_the_smallest_normal_number(x):
    loss, gradient = one(0.4, 0.1, x)
    assert loss == pytest.approx(one(0.4, 0.1, np.finfo(float).tiny)[0], rel=1e-12)
    assert math.isfinite(loss)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("log_shape", [-59.0, -61.0, -300.0])
def test_very_small_shapes_follow_the_exact_loss(log_shape):
    """ln Γ(a) = -ln a - γa + ...: to all digits -ln a down there."""
    loss, gradient = one(log_shape, 0.5, 2.0)
    assert loss == pytest.approx(-log_shape + math.log(2.0) + 2.0 * math.exp(0.5), rel=1e-12)
    np.testing.assert_allclose(gradient, [-1, 2 * math.exp(0.5)], rtol=1e-12)


def test_parameters_above_60_act_along_the_tangent():
    x = torch.tensor([60.0, 61.0, 1e4], dtype=torch.float64, requires_grad=True)
    held = exp_held(x)
    np.testing.assert_allclose(held.detach() / math.exp(60), [1, 2, 1e4 - 59], rtol=1e-12)
    (slope,) = torch.autograd.grad(held.sum(), x)
    np.testing.assert_allclose(slope / math.exp(60), 1, rtol=1e-12)


@pytest.mark.parametrize("log_rate", [80.0, 1e4])
def test_gradients_lead_back_from_far_out(log_rate):
    """Where the rate is far too large for the data, descent lowers it; it was stuck where the exponent is held."""
    _, gradient = one(0.0, log_rate, 1.0, dtype=torch.float32)
    assert gradient[1] > 0
    _, gradient = one(log_rate, 0.0, 1.0, dtype=torch.float32)
    assert gradient[0] > 0


def test_samples_follow_scipys_distribution():
    params = torch.tensor([0.8, -0.3], dtype=torch.float64).expand(100, 100, 1, 2)
    draws = Gamma().sample(params, stream(0, "x")).numpy().ravel()
    assert stats.kstest(draws, stats.gamma(math.exp(0.8), scale=math.exp(0.3)).cdf).pvalue > 1e-6


def test_the_loss_is_least_at_the_maximum_likelihood_fit(rng):
    x = rng.gamma(2.3, 0.7, 20_000)
    shape, _, scale = stats.gamma.fit(x, floc=0)
    params = torch.tensor([math.log(shape), -math.log(scale)], dtype=torch.float64, requires_grad=True)
    Gamma().nll(params.expand(1, x.size, 2), torch.as_tensor(x)[None]).mean().backward()
    np.testing.assert_allclose(params.grad, 0, atol=1e-6)
    assert math.log(shape) - special.digamma(shape) == pytest.approx(math.log(x.mean()) - np.log(x).mean(), abs=1e-6)
