"""What holds for every reconstruction of the three packages, with its default settings."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from lfads_core.rng import stream
from lfads_plugins_calcium import plugin as calcium
from lfads_plugins_emg import plugin as emg
from lfads_plugins_std import plugin as std

SPECS = {spec.name: spec for module in (std, calcium, emg) for spec in module.lfads_reconstructions()}
EXTREME_PARAMS = [-1e4, -100.0, -30.0, -10.0, 0.0, 10.0, 17.0, 40.0, 100.0, 1e4]
EXTREME_DATA = {
    "counts": [0.0, 1.0, 2.0, 170.0, 1e6],
    "real": [0.0, 1e-45, -1e-20, 1.0, -1.0, 1e6, -1e6],
    "nonnegative": [0.0, 1e-45, 1e-30, 1e-6, 1.0, 1e6],
    "positive": [0.0, 1e-45, 1e-30, 1e-6, 1.0, 1e6],  # 0 is refused by the data checks; rounding may still bring it
}


@pytest.fixture(params=SPECS)
def spec(request):
    return SPECS[request.param]


def build(spec, channels=3):
    return spec.build(spec.config(), channels).double()


def moderate(part, *shape, seed=0):
    """Parameters of an ordinary size, in float64."""
    return torch.empty(*shape, part.n_params, dtype=torch.float64).uniform_(-1, 1.5, generator=stream(seed, "params"))


def data_for(part, params, seed=0):
    return part.sample(params, stream(seed, "data"))


def everywhere(part):
    """Every combination of extreme parameters and data, one channel each, in float32: (1, 1, K, P) and (1, 1, K)."""
    grid = torch.tensor(list(itertools.product(*[EXTREME_PARAMS] * part.n_params, EXTREME_DATA[part.support])), dtype=torch.float32)
    return grid[:, :-1].reshape(1, 1, -1, part.n_params).clone().requires_grad_(), grid[:, -1].reshape(1, 1, -1)


def in_support(part, x):
    checks = {
        "counts": lambda: (x >= 0) & (x == x.round()),
        "real": x.isfinite,
        "nonnegative": lambda: x >= 0,
        "positive": lambda: x > 0,
    }
    return bool(checks[part.support]().all())


def test_the_mean_of_samples_is_the_mean(spec):
    part = build(spec)
    params = moderate(part, 1, 4, 3)
    draws = data_for(part, params.expand(40_000, -1, -1, -1)).detach()
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - part.mean(params)[0]).abs() < 6 * error).all()
    assert in_support(part, draws)


def test_samples_follow_the_density_so_the_expected_score_is_zero(spec):
    """E[d nll / d params] = 0 under the parameters that the data were drawn from, for every density."""
    part = build(spec)
    params = moderate(part, 1, 4, 3, seed=1).expand(40_000, -1, -1, -1)
    free = params.clone().requires_grad_()
    (score,) = torch.autograd.grad(part.nll(free, data_for(part, params).detach()).sum(), free)
    assert (score.mean(0).abs() < 6 * score.std(0) / len(score) ** 0.5).all()


LOG_DENSITIES = {
    "gaussian": lambda x, mean, std: stats.norm.logpdf(x, mean, std) + 0.5 * np.log(2 * np.pi),  # its loss leaves out that constant
    "gamma": lambda x, shape, rate: stats.gamma.logpdf(x, shape, scale=1 / rate),
    "zero-inflated-gamma": lambda x, shape, rate, q: np.where(
        x > 0, np.log(q) + stats.gamma.logpdf(np.where(x > 0, x, 1.0), shape, scale=1 / rate), np.log1p(-q)
    ),
}
"""Of data under the parameters that ``distribution_params`` names."""


def test_the_parameters_that_it_names_are_those_of_its_density_and_its_mean(spec):
    part = build(spec)
    params = moderate(part, 2, 5, 3)
    named = {name: value.detach().numpy() for name, value in part.distribution_params(params).items()}
    if spec.name not in LOG_DENSITIES:
        assert list(named) == ["mean"]
        np.testing.assert_array_equal(named["mean"], part.mean(params).detach())
        return
    data = data_for(part, params).detach()
    np.testing.assert_allclose(-LOG_DENSITIES[spec.name](data.numpy(), **named), part.nll(params, data).detach(), rtol=1e-6)
    mean = named["mean"] if "mean" in named else named.get("q", 1.0) * named["shape"] / named["rate"]
    np.testing.assert_allclose(mean, part.mean(params).detach(), rtol=1e-12)


def test_the_parameters_that_it_names_are_finite_at_the_extremes(spec):
    params, _ = everywhere(spec.build(spec.config(), 1))
    part = spec.build(spec.config(), params.shape[2])
    for name, value in part.distribution_params(params.detach()).items():
        assert value.isfinite().all(), name
        assert name == "mean" or (value > 0).all(), name


def test_gradients_are_finite_differences(spec):
    part = build(spec)
    params = moderate(part, 2, 3, 3)
    data = data_for(part, params).detach()
    free = params.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p, *_: part.nll(p, data), (free, *part.parameters()))
    assert torch.autograd.gradcheck(lambda p, *_: part.mean(p), (free, *part.parameters()))


def test_the_price_of_trainable_parameters_has_the_right_gradient(spec):
    part = build(spec)
    if not list(part.parameters()):
        assert part.penalty() == 0
        return
    assert torch.autograd.gradcheck(lambda *_: part.penalty(), tuple(part.parameters()))


def test_loss_mean_and_gradients_are_finite_at_the_extremes(spec):
    params, data = everywhere(spec.build(spec.config(), 1))
    part = spec.build(spec.config(), data.shape[-1])
    loss, mean = part.nll(params, data), part.mean(params)
    assert loss.isfinite().all()
    assert mean.isfinite().all()
    for of in (loss, mean):
        for gradient in torch.autograd.grad(of.sum(), [params, *part.parameters()], allow_unused=True, retain_graph=True):
            assert gradient is None or gradient.isfinite().all()


def test_samples_are_finite_values_of_the_support_at_the_extremes(spec):
    params, _ = everywhere(spec.build(spec.config(), 1))
    part = spec.build(spec.config(), params.shape[2])
    draws = part.sample(params.detach(), stream(0, "extreme"))
    assert draws.isfinite().all()
    assert in_support(part, draws)
    assert part.nll(params, draws.clamp(-1e6, 1e6)).isfinite().all()


def test_silent_data_cost_a_finite_loss(spec):
    part = build(spec)
    params = moderate(part, 4, 5, 3).requires_grad_()
    loss = part.nll(params, torch.zeros(4, 5, 3, dtype=torch.float64))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert params.grad.isfinite().all()


@pytest.mark.parametrize("lead", [(2,), (4, 2), (2, 3, 2)], ids=str)
def test_any_batch_shape_gives_what_each_batch_gives_alone(spec, lead):
    part = build(spec)
    params = moderate(part, *lead, 5, 3)
    data = data_for(part, params).detach()
    assert data.shape == (*lead, 5, 3)
    loss, mean = part.nll(params, data), part.mean(params)
    for index in itertools.product(*map(range, lead[:-1])):
        torch.testing.assert_close(loss[index], part.nll(params[index], data[index]), rtol=1e-12, atol=0)
        torch.testing.assert_close(mean[index], part.mean(params[index]), rtol=1e-12, atol=0)


class _Loss(nn.Module):
    """A reconstruction's loss as a module's forward, which ``functional_call`` wants."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, params, data):
        return self.part.nll(params, data)


def test_a_population_with_its_own_parameters_vectorises(spec):
    members = [build(spec) for _ in range(3)]
    for number, part in enumerate(members):
        for value in part.parameters():
            value.data += 0.1 * number
    state = {f"part.{name}": torch.stack([dict(m.named_parameters())[name] for m in members]) for name, _ in members[0].named_parameters()}
    params = moderate(members[0], 3, 2, 5, 3)
    data = data_for(members[0], params).detach()
    loss = torch.func.vmap(lambda s, p, x: torch.func.functional_call(_Loss(copy.deepcopy(members[0])), s, (p, x)))(state, params, data)
    for got, part, p, x in zip(loss, members, params, data, strict=True):
        torch.testing.assert_close(got, part.nll(p, x), rtol=1e-12, atol=0)


def test_members_that_share_data_each_get_their_own_gradient(spec):
    part = build(spec)
    params = moderate(part, 4, 2, 5, 3)
    data = data_for(part, params[0]).detach()
    each = torch.linspace(0.5, 2.0, 4, dtype=torch.float64)
    for axis in (0, 2):
        together = params.movedim(0, axis).clone().requires_grad_()
        loss = torch.func.vmap(part.nll, in_dims=(axis, None))(together, data)
        (found,) = torch.autograd.grad((loss.sum((1, 2, 3)) * each).sum(), together)
        for member in range(4):
            alone = params[member].clone().requires_grad_()
            wanted = part.nll(alone, data)
            torch.testing.assert_close(loss[member], wanted, rtol=1e-12, atol=0)
            (slope,) = torch.autograd.grad(wanted.sum(), alone)
            torch.testing.assert_close(found.select(axis, member), each[member] * slope, rtol=1e-12, atol=1e-14)
            inside = torch.func.vmap(torch.func.grad(lambda p: part.nll(p, data).sum()), in_dims=axis)(together.detach())
            torch.testing.assert_close(inside[member], slope, rtol=1e-12, atol=1e-14)


def test_it_pickles_and_its_state_goes_round(spec):
    part = build(spec)
    for value in part.parameters():
        value.data *= 1.5
    params = moderate(part, 2, 4, 3)
    data = data_for(part, params).detach()
    wanted = part.nll(params, data)
    fresh = build(spec)
    fresh.load_state_dict(part.state_dict())
    for other in (pickle.loads(pickle.dumps(part)), fresh):
        torch.testing.assert_close(other.nll(params, data), wanted, rtol=0, atol=0)


def test_draws_come_again_with_the_seed_and_only_with_it(spec):
    part = build(spec)
    params = moderate(part, 20, 4, 3)
    one, same, other = (data_for(part, params, seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_readout_bias_from_the_mean_has_that_mean(spec):
    part = build(spec, channels=4)
    wanted = torch.tensor([0.02, 0.5, 1.0, 7.0], dtype=torch.float64)
    params = part.params_from_mean(wanted)
    if params is None:
        assert spec.name == "zero-inflated-gamma"
        return
    assert params.shape == (4, part.n_params)
    torch.testing.assert_close(part.mean(params.unsqueeze(0))[0], wanted, rtol=1e-12, atol=0)
    silent = part.params_from_mean(torch.zeros(4, dtype=torch.float64))
    assert silent.isfinite().all()


def test_sizes_and_supports_are_declared():
    declared = {name: ((part := spec.build(spec.config(), 2)).n_params, part.support, part.is_rate) for name, spec in SPECS.items()}
    assert declared == {
        "poisson": (1, "counts", True),
        "poisson-bps": (1, "counts", True),
        "gaussian": (2, "real", False),
        "mse": (1, "real", False),
        "zero-inflated-gamma": (3, "nonnegative", False),
        "gamma": (2, "positive", False),
    }


def test_float32_agrees_with_float64_over_the_ordinary_range(spec):
    part = build(spec)
    params = 4 * moderate(part, 3, 5, 3)
    data = data_for(part, moderate(part, 3, 5, 3)).detach()
    exact = part.nll(params, data).detach()
    rough = part.float().nll(params.float(), data.float()).double().detach()
    torch.testing.assert_close(rough, exact, rtol=1e-5, atol=1e-5 * float(exact.abs().max()))
