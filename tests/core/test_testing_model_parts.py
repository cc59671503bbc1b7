"""The conformance kit finds what was broken on purpose in encoders, generators, losses, alignments and latents."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lfads_core.components import AbstractAlignment, AbstractEncoder, AbstractGenerator, AbstractLatent, AbstractLoss, AbstractPrior
from lfads_core.config.losses import AlignmentConfig, LatentConfig, LossConfig
from lfads_core.plugins import AlignmentSpec, EncoderSpec, GeneratorSpec, LatentSpec, LossSpec, NoSettings
from lfads_core.testing import ConformanceError, check_alignment, check_encoder, check_generator, check_latent, check_loss


def broken(check, spec):
    """Law -> first fault, of those that the check finds broken, but for copies: classes of tests cannot all be pickled."""
    with pytest.raises(ConformanceError) as caught:
        check(spec)
    return {finding.law: finding.faults[0] for finding in caught.value.findings if finding.faults}


class Reader(AbstractEncoder):
    """Reads each bin by itself."""

    def __init__(self, info):
        super().__init__()
        self.size, self.directions = info.hidden, 1 if info.causal else 2
        self.weight = nn.Parameter(torch.empty(info.hidden, info.width).normal_(generator=info.rng))

    def forward(self, x):
        return torch.stack([torch.tanh(way @ self.weight.T) for way in (x, x.flip(-2))[: self.directions]])


class SeesAhead(Reader):
    def forward(self, x):
        return super().forward(x + 0.1 * x.mean(-2, keepdim=True))


class ListensWrong(Reader):
    def listen(self, x, memory):
        return 2 * super().listen(x, memory)[0], memory


class MixesTrials(Reader):
    def forward(self, x):
        return super().forward(x - x.mean(0, keepdim=True))


def encoder(cls, **more):
    return EncoderSpec(name="mine", summary="Mine", config=NoSettings, build=lambda _, info: cls(info), **more)


def test_a_right_encoder_passes():
    check_encoder(encoder(Reader, causal=True))


def test_an_encoder_that_knows_later_bins_is_found():
    found = broken(check_encoder, encoder(SeesAhead, causal=True))
    assert "must not depend on bins it reads later" in found["a direction knows only what it has read"]


def test_an_encoder_that_streams_something_else_is_found():
    assert set(broken(check_encoder, encoder(ListensWrong, causal=True))) == {"bin by bin it gives the same"}


def test_an_encoder_that_mixes_trials_is_found():
    assert "shapes are right, and trials do not touch one another" in broken(check_encoder, encoder(MixesTrials))


def test_an_encoder_that_keeps_to_itself_that_it_can_be_causal_is_found():
    assert set(broken(check_encoder, encoder(Reader))) == {"its record says whether it can be causal"}


class Decay(AbstractGenerator):
    """Forgets."""

    def __init__(self, info):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(info.size, info.inputs).normal_(generator=info.rng))

    def step(self, state, inputs):
        return 0.9 * state + inputs @ self.weight.T


class RunsElsewhere(Decay):
    def run(self, inputs, state, *, clip):
        return super().run(inputs, state, clip=2 * clip)


class Remembers(Decay):
    def step(self, state, inputs):
        self.last = state.detach()
        return super().step(state, inputs)


def generator(cls):
    return GeneratorSpec(name="mine", summary="Mine", config=NoSettings, build=lambda _, info: cls(info))


def test_a_right_generator_passes():
    check_generator(generator(Decay))


@pytest.mark.parametrize(
    ("cls", "law"), [(RunsElsewhere, "its own loop gives what its steps give"), (Remembers, "nothing is remembered between calls")]
)
def test_a_generator_that_breaks_a_law_is_found(cls, law):
    assert law in broken(check_generator, generator(cls))


class Change(AbstractLoss):
    """Squared change of the factors."""

    def forward(self, seen):
        return {"change": seen.latents.factors.diff(dim=1).square().mean()}


class PerTrial(Change):
    def forward(self, seen):
        return {"change": seen.latents.factors.diff(dim=1).square().mean((1, 2))}


class Detached(Change):
    def forward(self, seen):
        return {"change": super().forward(seen)["change"].detach()}


class Sum(Change):
    def forward(self, seen):
        return {"change": seen.latents.factors.diff(dim=1).square().sum()}


class InPlace(Change):
    def forward(self, seen):
        seen.batch.recon.zero_()
        return super().forward(seen)


def loss(cls):
    return LossSpec(name="mine", summary="Mine", config=LossConfig, build=lambda *_: cls())


def test_a_right_loss_passes():
    check_loss(loss(Change))


@pytest.mark.parametrize(
    ("cls", "law"),
    [
        (PerTrial, "terms are single numbers by name"),
        (Sum, "terms are means over trials"),
        (Detached, "something can be learnt from it"),
        (InPlace, "what it sees stays as it is"),
    ],
)
def test_a_loss_that_breaks_a_law_is_found(cls, law):
    assert law in broken(check_loss, loss(cls))


class Offset(AbstractAlignment):
    """Squared distance of mean factors."""

    def __init__(self, info):
        super().__init__()
        self.register_buffer("mean", torch.zeros(info.session.factors))

    def meet(self, latents):
        self.mean.copy_(latents.factors.mean((0, 1)))

    def distance(self, latents):
        return (latents.factors.mean((0, 1)) - self.mean).square().sum()


class OutOfTheWay(Offset):
    def distance(self, latents):
        return 1 / (1 + super().distance(latents))


class Forgetful(Offset):
    def __init__(self, info):
        super().__init__(info)
        del self.mean
        self.mean = torch.zeros(info.session.factors)

    def meet(self, latents):
        self.mean = latents.factors.mean((0, 1))


class Unfolded(Offset):
    def distance(self, latents):
        return (latents.factors.mean((0, 1)) - self.mean).square()


class Shifting(Offset):
    def meet(self, latents):
        super().meet(latents)
        latents.factors.sub_(self.mean)


def alignment(cls):
    return AlignmentSpec(name="mine", summary="Mine", config=AlignmentConfig, build=lambda _, info: cls(info))


def test_a_right_alignment_passes():
    check_alignment(alignment(Offset))


@pytest.mark.parametrize(
    ("cls", "law"),
    [
        (OutOfTheWay, "what it met is nearest"),
        (Forgetful, "what it met stays with its weights"),
        (Unfolded, "a distance is a single number"),
        (Shifting, "what it meets stays as it is"),
    ],
)
def test_an_alignment_that_breaks_a_law_is_found(cls, law):
    assert law in broken(check_alignment, alignment(cls))


class Unit(AbstractPrior):
    def kl(self, mean, std, draw):
        return 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).flatten(1).sum(1)

    def generate(self, like, rng):
        return torch.empty_like(like).normal_(generator=rng)


class OneNumber(Unit):
    def kl(self, mean, std, draw):
        return super().kl(mean, std, draw).sum()


class Level(AbstractLatent):
    """A number of each trial."""

    size, prior_class = 1, Unit

    def __init__(self, info):
        super().__init__()
        self.prior = self.prior_class()
        self.weight = nn.Parameter(torch.empty(2, info.width).normal_(generator=info.rng))

    def forward(self, x):
        return x.mean(-2) @ self.weight.T


class Below(Unit):
    def kl(self, mean, std, draw):
        return -super().kl(mean, std, draw)


class WithPriorBelow(Level):
    prior_class = Below


class WithOneNumber(Level):
    prior_class = OneNumber


class OfEncodedBinsOnly(Level):
    per = "bin"

    def forward(self, x):
        return x @ self.weight.T


def latent(cls):
    return LatentSpec(name="mine", summary="Mine", config=LatentConfig, build=lambda _, info: cls(info))


def test_a_right_latent_passes():
    check_latent(latent(Level))


@pytest.mark.parametrize(
    ("cls", "law"),
    [
        (WithOneNumber, "its prior fits it"),
        (WithPriorBelow, "its prior fits it"),
        (OfEncodedBinsOnly, "shapes are right, and trials do not touch one another"),
    ],
)
def test_a_latent_that_breaks_a_law_is_found(cls, law):
    assert law in broken(check_latent, latent(cls))


def test_a_loss_that_gives_a_number_a_trial_ends_a_run_with_a_sentence(train_tiny):
    from types import SimpleNamespace

    import lfads_core.builtin
    import lfads_plugins_std.plugin
    import lfads_plugins_tune.plugin
    from lfads_core.errors import PluginError
    from lfads_core.plugins import Registry, hookimpl

    @hookimpl
    def lfads_losses():
        return [loss(PerTrial)]

    ours = {"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "tune": lfads_plugins_tune.plugin}
    registry = Registry.from_plugins({**ours, "bad": SimpleNamespace(lfads_losses=lfads_losses)})
    with pytest.raises(PluginError, match=r"^bad 0 \(entry point 'bad'\): the loss 'mine': the call must give tensors of one number by name, got "):
        train_tiny("components.losses=[mine]", registry=registry)
