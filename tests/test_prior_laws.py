"""What holds for every prior of the packages: shapes, reproducible draws, gradients, populations, state."""

from __future__ import annotations

import copy
import pickle

import attrs
import pytest
import torch
from torch import nn

from lfads_core.rng import stream
from lfads_plugins_std import plugin as std

SPECS = {spec.name: spec for spec in std.lfads_priors()}
B, T, K = 5, 7, 3


@pytest.fixture(params=SPECS)
def spec(request):
    return SPECS[request.param]


def build(spec, **settings):
    part = spec.build(attrs.evolve(spec.config(), **settings), K).double()
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
    trained = [value for value in part.parameters() if value.requires_grad]
    for shape in shapes(spec):
        mean, std_ = (x.requires_grad_() for x in posterior(*shape))
        draw = part.draw(mean.detach(), stream(0))
        if spec.name == "null":
            assert not part.kl(mean, std_, draw).requires_grad
            continue
        assert torch.autograd.gradcheck(lambda m, s, *_, d=draw: part.kl(m, s, d), (mean, std_, *trained))


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
