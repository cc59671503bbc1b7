"""What holds for every prior of the packages: shapes, reproducible draws, gradients, populations, state."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lfads_core.rng import stream
from lfads_plugins_std import plugin as std

SPECS = {spec.name: spec for spec in std.lfads_priors()}
OTHERWISE = {
    "normal with a trained variance": ("normal", {"train_variance": True}),
    "normal with a bounded variance": ("normal", {"train_variance": True, "min_variance": 0.05, "max_variance": 0.4}),
    "autoregressive by the bin": ("autoregressive", {"over_time": "mean"}),
    "autoregressive of fixed time constant": ("autoregressive", {"train_tau": False}),
    "student-t with learned degrees": ("student-t", {"train_degrees": True}),
}
"""Settings with which a prior computes something else."""
B, T, K = 5, 7, 3


@pytest.fixture(params=[*SPECS, *OTHERWISE])
def spec(request):
    name, settings = OTHERWISE.get(request.param, (request.param, {}))
    return SimpleNamespace(name=name, config=partial(SPECS[name].config, **settings), build=SPECS[name].build)


def build(spec):
    part = spec.build(spec.config(), K).double()
    for number, value in enumerate(part.parameters()):
        value.data += 0.1 * (number + torch.arange(K))
    return part


def posterior(*shape, seed=0):
    rng = stream(seed, "posterior")
    mean, log_std = (torch.empty(*shape, dtype=torch.float64).normal_(generator=rng) for _ in range(2))
    return mean, torch.exp(0.3 * log_std)


def shapes(spec):
    return [(B, T, K)] if spec.name == "autoregressive" else [(B, K), (B, T, K)]


def test_the_divergence_is_one_number_per_trial(spec):
    part = build(spec)
    for shape in shapes(spec):
        mean, std_ = posterior(*shape)
        kl = part.kl(mean, std_, part.draw(mean, stream(0)))
        assert kl.shape == (B,)
        assert kl.isfinite().all()


def test_trials_do_not_touch_one_another(spec):
    part = build(spec)
    for shape in shapes(spec):
        mean, std_ = posterior(*shape)
        draw = part.draw(mean, stream(0))
        whole = part.kl(mean, std_, draw)
        alone = [part.kl(mean[i : i + 1], std_[i : i + 1], {name: value[i : i + 1] for name, value in draw.items()}) for i in range(B)]
        torch.testing.assert_close(whole, torch.cat(alone), rtol=1e-12, atol=1e-12)


def test_gradients_are_finite_differences(spec):
    part = build(spec)
    # A draw moves with its degrees of freedom, so that their gradient is right on average alone (test_priors).
    trained = [value for name, value in part.named_parameters() if value.requires_grad and name != "log_stretch"]
    for shape in shapes(spec):
        mean, std_ = (x.requires_grad_() for x in posterior(*shape))
        draw = part.draw(mean.detach(), stream(0))
        if spec.name == "null":
            assert not part.kl(mean, std_, draw).requires_grad
            continue
        assert torch.autograd.gradcheck(lambda m, s, *_, d=draw: part.kl(m, s, d), (mean, std_, *trained))


def test_the_divergence_is_the_mean_of_the_ratio_over_draws(spec):
    """KL is the expectation of ln q - ln p under q; over bins it is their mean where the prior says so, the ratio always their sum."""
    part = build(spec)
    if spec.name == "null":
        pytest.skip("it has no density")
    for shape in shapes(spec):
        mean, std_ = (x[:1].expand(20_000, *x.shape[1:]) for x in posterior(*shape))
        bins = T if len(shape) == 3 and getattr(spec.config(), "over_time", "mean") == "mean" else 1
        ratio, kl = part.log_ratio(mean, std_, part.draw(mean, stream(0))), part.kl(mean, std_, part.draw(mean, stream(1)))
        assert ratio.shape == kl.shape == (20_000,)
        error = (ratio.std() / 20_000**0.5 + bins * kl.std() / 20_000**0.5).item()
        assert abs(ratio.mean() - bins * kl.mean()).item() < 6 * error
        assert ratio.std() > 0.1


def test_its_moments_are_those_of_what_it_generates(spec):
    part = build(spec)
    if spec.name == "null":
        assert part.moments() is None
        return
    many = part.generate(torch.zeros(40_000, 2, K, dtype=torch.float64), stream(0)).detach()
    mean, spread = (x.numpy() for x in part.moments())
    for bin_ in range(2):
        found, error = many[:, bin_].numpy(), many[:, bin_].std(dim=0).numpy() / 200
        assert (np.abs(found.mean(axis=0) - mean) < 6 * error).all()
        np.testing.assert_allclose(found.std(axis=0), spread, rtol=0.1 if spec.name == "student-t" else 0.03)  # tails converge slowly


def test_draws_and_samples_come_again_with_the_seed_and_only_with_it(spec):
    part = build(spec)
    mean, std_ = posterior(B, T, K)
    one, same, other = (part.sample(mean, std_, part.draw(mean, stream(seed))) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    for value in part.draw(mean.float(), stream(0)).values():
        assert (value.shape, value.dtype) == (mean.shape, torch.float32)
    first, again = (part.generate(mean, stream(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == mean.shape


def test_a_sample_is_location_plus_scale_times_standard_noise(spec):
    part = build(spec)
    mean, std_ = posterior(B, T, K)
    draw = part.draw(mean, stream(0))
    torch.testing.assert_close(part.sample(mean, std_, draw), mean + std_ * part.standardise(draw), rtol=0, atol=0)


class _Divergence(nn.Module):
    """A prior's divergence as a module's forward, which ``functional_call`` wants."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, mean, std_, draw):
        return self.part.kl(mean, std_, draw)


def test_a_population_with_its_own_parameters_vectorises(spec):
    members = [build(spec) for _ in range(3)]
    for number, part in enumerate(members):
        for value in part.parameters():
            value.data += 0.2 * number
    state = {f"part.{name}": torch.stack([dict(m.named_parameters())[name] for m in members]) for name, _ in members[0].named_parameters()}
    for shape in shapes(spec):
        mean, std_ = posterior(3, *shape)
        draw = members[0].draw(mean, stream(0))
        call = torch.func.vmap(lambda s, *of: torch.func.functional_call(_Divergence(copy.deepcopy(members[0])), s, of))
        for i, (got, part) in enumerate(zip(call(state, mean, std_, draw), members, strict=True)):
            wanted = part.kl(mean[i], std_[i], {name: value[i] for name, value in draw.items()})
            torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_it_pickles_and_its_state_goes_round(spec):
    part = build(spec)
    mean, std_ = posterior(B, T, K)
    draw = part.draw(mean, stream(0))
    fresh = spec.build(spec.config(), K).double()
    fresh.load_state_dict(part.state_dict())
    for other in (pickle.loads(pickle.dumps(part)), fresh):
        assert torch.equal(other.kl(mean, std_, draw), part.kl(mean, std_, draw))
        assert other.scalars() == part.scalars()


def test_nothing_is_remembered_between_calls(spec):
    part = build(spec)
    before = {name: value.clone() for name, value in part.state_dict().items()}
    attributes = set(vars(part))
    mean, std_ = posterior(B, T, K)
    draw = part.draw(mean, stream(0))
    first = part.kl(mean, std_, draw)
    part.kl(*posterior(B, T, K, seed=9), part.draw(mean, stream(3)))
    part.generate(mean, stream(0))
    assert torch.equal(part.kl(mean, std_, draw), first)
    assert set(vars(part)) == attributes
    assert all(torch.equal(value, before[name]) for name, value in part.state_dict().items())
