"""Poisson, Poisson in bits per spike, Gaussian and squared error against scipy, with their constants."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

from lfads_core.rng import stream
from lfads_plugins_std import plugin, poisson
from lfads_plugins_std.gaussian import MSE, Gaussian, floored_log_variance
from lfads_plugins_std.poisson import Poisson, PoissonBPS, PoissonLoss, rate_from_log, stirling


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def tensor(x):
    return torch.as_tensor(np.asarray(x, dtype=np.float64))


def stacked(*blocks):
    return tensor(np.stack(blocks, axis=-1))


def test_poisson_is_scipys_likelihood_but_for_stirlings_term(rng):
    log_rate = rng.normal(0, 1, (3, 4, 5))
    k = rng.poisson(3 * np.exp(log_rate)).astype(float)
    loss = Poisson().nll(stacked(log_rate), tensor(k)).numpy()
    exact = -stats.poisson.logpmf(k, np.exp(log_rate))
    approximation = np.where(k > 1, k * np.log(np.maximum(k, 1)) - k + 0.5 * np.log(2 * np.pi * np.maximum(k, 1)), 0)
    factorial = np.vectorize(math.lgamma)(k + 1)
    np.testing.assert_allclose(loss - approximation, exact - factorial, rtol=1e-10, atol=1e-10)


def test_stirlings_term_errs_by_less_than_a_twelfth_over_k():
    k = np.arange(0, 200, dtype=float)
    error = np.vectorize(math.lgamma)(k + 1) - stirling(tensor(k)).numpy()
    assert (error[:2] == 0).all()
    assert (error[2:] > 0).all()
    assert (error[2:] < 1 / (12 * k[2:])).all()


def test_between_one_and_two_spikes_stirlings_term_is_its_formula():
    """Counts need not be whole: behaviour of the term between those that are."""
    assert stirling(tensor(1.5)).item() == pytest.approx(2 * math.log(1.5) - 1.5 + 0.5 * math.log(2 * math.pi), rel=1e-12)
    assert Poisson().nll(tensor([[[0.3]]]), tensor([[1.5]])).item() == pytest.approx(math.exp(0.3) - 0.45 + stirling(tensor(1.5)).item(), rel=1e-12)


def test_counts_that_are_differentiated_cost_the_same_and_have_a_gradient(rng):
    log_rate, k = tensor(rng.normal(0, 1, (3, 4, 5))), tensor(rng.poisson(2.0, (3, 4, 5)))
    log_rate[0, 0, 0] = 65.0
    alike = Poisson().nll(log_rate.unsqueeze(-1), k)
    free = (k + 2.25).requires_grad_()  # away from 1, where the term has its corner
    torch.testing.assert_close(Poisson().nll(log_rate.unsqueeze(-1), k.clone().requires_grad_()), alike, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda counts: Poisson().nll(log_rate.unsqueeze(-1).clamp(max=5), counts), (free,))


@pytest.mark.parametrize("block", [1, 2, 7, 60, 61])
def test_blocks_of_any_size_cost_the_same(rng, monkeypatch, block):
    log_rate, k = tensor(rng.normal(0, 1, (3, 4, 5, 1))), tensor(rng.poisson(2.0, (3, 4, 5)))
    wanted = Poisson().nll(log_rate, k)
    monkeypatch.setattr(poisson, "BLOCK", block)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert torch.equal(Poisson().nll(log_rate, k), wanted)


class _Allocations(TorchDispatchMode):
    """Operations by name, and the memory of everything that they return."""

    def __init__(self):
        super().__init__()
        self.calls, self.memory = Counter(), set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        self.calls[func.overloadpacket.__name__] += 1
        self.memory |= {t.untyped_storage().data_ptr() for t in torch.utils._pytree.tree_leaves(found) if isinstance(t, torch.Tensor)}
        self.kept = [*getattr(self, "kept", ()), found]  # or memory that is given back would be given out again
        return found


@pytest.mark.parametrize("block", [7, 60, 1000])
def test_a_block_is_worked_on_at_a_time_in_the_memory_of_three_arrays(rng, monkeypatch, block):
    log_rate, k = tensor(rng.normal(0, 1, (3, 4, 5))), tensor(rng.poisson(2.0, (3, 4, 5)))
    monkeypatch.setattr(poisson, "BLOCK", block)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with _Allocations() as seen:
        PoissonLoss.forward(log_rate, k)
    assert seen.calls["exp"] == math.ceil(60 / (2 * block))
    assert len(seen.memory - {log_rate.data_ptr(), k.data_ptr()}) == 3  # loss, slope and scratch


def test_log_rates_above_60_act_along_the_tangent():
    x = tensor([59.0, 60.0, 61.0, 1e4]).requires_grad_()
    rate = rate_from_log(x)
    np.testing.assert_allclose(rate.detach() / math.exp(60), [math.exp(-1), 1, 2, 1e4 - 59], rtol=1e-12)
    (slope,) = torch.autograd.grad(rate.sum(), x)
    np.testing.assert_allclose(slope / math.exp(60), [math.exp(-1), 1, 1, 1], rtol=1e-12)


def test_bits_per_spike_is_the_loss_over_the_null_models_in_bits(rng):
    rates = rng.gamma(2.0, 0.4, (6, 7, 3))
    k = rng.poisson(rates).astype(float)
    loss = PoissonBPS().nll(stacked(np.log(rates)), tensor(k))
    null = np.broadcast_to(k.mean((0, 1)), k.shape)
    bits = (stats.poisson.logpmf(k, null) - stats.poisson.logpmf(k, rates)) / math.log(2)
    assert loss.mean().item() == pytest.approx(bits.sum() / k.sum(), rel=1e-6)  # the null's rate is 1e-8 higher
    np.testing.assert_allclose(loss.numpy(), bits / k.mean(), rtol=1e-5, atol=1e-6)


def test_the_null_model_itself_costs_no_bits(rng):
    k = rng.poisson(0.7, (5, 6, 4)).astype(float)
    null = np.broadcast_to(np.log(k.mean((0, 1)) + 1e-8), k.shape)
    np.testing.assert_allclose(PoissonBPS().nll(stacked(null), tensor(k)).numpy(), 0, atol=1e-7)


def test_gaussian_is_scipys_likelihood_without_its_constant(rng):
    mean, log_var, x = rng.normal(0, 2, (3, 2, 4, 3))
    loss = Gaussian().nll(stacked(mean, log_var), tensor(x)).numpy()
    exact = -stats.norm.logpdf(x, mean, np.exp(log_var / 2)) - 0.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(loss, exact, rtol=1e-12)


def test_below_the_floor_the_variance_stays_and_its_gradient_passes():
    log_var = tensor([-20.0, math.log(1e-6) - 1e-9, 0.0, 5.0]).requires_grad_()
    value = floored_log_variance(log_var)
    np.testing.assert_allclose(value.detach(), [math.log(1e-6), math.log(1e-6), 0, 5], atol=1e-12)
    (slope,) = torch.autograd.grad(value.sum(), log_var)
    np.testing.assert_allclose(slope, [math.exp(-20) / 1e-6, 1, 1, 1], rtol=1e-8)


def test_gradients_pass_the_floor_as_published(rng):
    """As if v = 1e-6 were exp(log-variance) in the derivative of v and the floor in that of the loss."""
    x, mean, log_var = 0.3, 0.1, -18.0
    params = stacked([[mean]], [[log_var]]).requires_grad_()
    Gaussian().nll(params, tensor([[x]])).sum().backward()
    d_v = 0.5 * (1 / 1e-6 - (x - mean) ** 2 / 1e-12)
    np.testing.assert_allclose(params.grad.ravel(), [-(x - mean) / 1e-6, d_v * math.exp(log_var)], rtol=1e-12)


def gradients(part, params, x):
    """Of the summed loss, with respect to parameters."""
    free = params.clone().requires_grad_()
    (found,) = torch.autograd.grad(part.nll(free, x).sum(), free)
    return found


@pytest.mark.parametrize("beta", [0.25, 0.5, 1.0])
def test_beta_weighs_the_gradients_of_each_value_and_leaves_its_loss(rng, beta):
    mean, log_var, x = rng.normal(0, 2, (3, 5, 7, 3))
    params = stacked(mean, log_var)
    assert torch.equal(Gaussian(beta).nll(params, tensor(x)), Gaussian().nll(params, tensor(x)))
    weight = np.exp(beta * log_var)
    weight /= weight.mean((0, 1))
    plain = gradients(Gaussian(), params, tensor(x)).numpy()
    np.testing.assert_allclose(gradients(Gaussian(beta), params, tensor(x)), weight[..., None] * plain, rtol=1e-11)


def test_with_a_beta_of_1_a_wrong_mean_is_mended_as_fast_wherever_it_is(rng):
    mean, log_var, x = rng.normal(0, 2, (3, 5, 7, 3))
    found = gradients(Gaussian(1.0), stacked(mean, log_var), tensor(x))[..., 0]
    np.testing.assert_allclose(found, (mean - x) / np.exp(log_var).mean((0, 1)), rtol=1e-11)


def test_the_unit_of_a_channel_does_not_change_its_weights(rng):
    mean, log_var, x = rng.normal(0, 1, (3, 5, 7, 2))
    plain = gradients(Gaussian(0.5), stacked(mean, log_var), tensor(x))
    larger = gradients(Gaussian(0.5), stacked(1000 * mean, log_var + 2 * math.log(1000)), tensor(1000 * x))
    np.testing.assert_allclose(larger, plain.numpy() * [1e-3, 1], rtol=1e-9)


def test_samples_and_models_are_weighed_each_by_itself(rng):
    mean, log_var, x = rng.normal(0, 2, (3, 2, 5, 7, 3))
    params = stacked(mean, log_var)
    both = gradients(Gaussian(0.5), params, tensor(x))
    for at in range(2):
        np.testing.assert_allclose(both[at], gradients(Gaussian(0.5), params[at], tensor(x[at])), rtol=1e-12)


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_weighed_gradients_are_finite_for_every_variance(beta):
    log_var = torch.tensor([-1e4, -100.0, -30.0, 0.0, 30.0, 100.0, 1e4]).reshape(1, 7, 1)
    params = torch.stack([torch.zeros_like(log_var), log_var], dim=-1)
    for x in (0.0, 1e-45, 1.0, -1e6):
        assert gradients(Gaussian(beta), params, torch.full((1, 7, 1), x)).isfinite().all()


def test_gaussian_samples_have_the_variance():
    params = stacked(np.full((200, 200, 2), 1.0), np.broadcast_to([-1.0, -30.0], (200, 200, 2)))
    draws = Gaussian().sample(params, stream(0, "x")).numpy()
    np.testing.assert_allclose(draws.var((0, 1)), [math.exp(-1), 1e-6], rtol=6 * math.sqrt(2 / 40_000))


def test_squared_error_is_a_normal_of_variance_a_half_up_to_a_constant(rng):
    mean, x = rng.normal(0, 2, (2, 2, 4, 3))
    exact = -stats.norm.logpdf(x, mean, 0.5**0.5) - 0.5 * math.log(math.pi)
    np.testing.assert_allclose(MSE().nll(stacked(mean), tensor(x)), exact, rtol=1e-12, atol=1e-12)
    draws = MSE().sample(stacked(np.zeros((200, 200, 1))), stream(0, "x")).numpy()
    assert draws.var() == pytest.approx(0.5, rel=6 * math.sqrt(2 / 40_000))


def test_poisson_counts_follow_scipys_distribution():
    draws = Poisson().sample(stacked(np.full((100, 200, 1), math.log(1.7))), stream(0, "x")).numpy().astype(int)
    seen = np.bincount(np.minimum(draws.ravel(), 7), minlength=8)
    expected = np.append(stats.poisson.pmf(range(7), 1.7), stats.poisson.sf(6, 1.7)) * draws.size
    assert stats.chisquare(seen, expected).pvalue > 1e-6


def test_every_reconstruction_is_built_by_its_name():
    built = {spec.name: type(spec.build(spec.config(), 2)) for spec in plugin.lfads_reconstructions()}
    assert built == {"poisson": Poisson, "poisson-bps": PoissonBPS, "gaussian": Gaussian, "mse": MSE}
