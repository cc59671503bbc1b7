"""An encoder, a generator, a latent and a loss that keep their contracts, and trainings with others that do not."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import lfads_core.builtin
import lfads_plugins_std.plugin
from lfads_core.components import AbstractEncoder, AbstractGenerator, AbstractLatent, AbstractLoss, AbstractPrior
from lfads_core.config.losses import LatentConfig, LossConfig
from lfads_core.errors import LfadsError
from lfads_core.plugins import EncoderSpec, GeneratorSpec, LatentSpec, LossSpec, NoSettings, Registry, hookimpl


class RightEncoder(AbstractEncoder):
    """Sums in both directions."""

    def __init__(self, info):
        super().__init__()
        self.size, self.directions = info.hidden, 1 if info.causal else 2
        self.weight = nn.Parameter(torch.empty(self.directions, info.hidden, info.width).normal_(std=0.3, generator=info.rng))

    def forward(self, x):
        return torch.stack([torch.tanh((x.flip(-2) if way else x) @ kernel.T).cumsum(-2) / 3 for way, kernel in enumerate(self.weight)])


class RightGenerator(AbstractGenerator):
    """A network of rates."""

    def __init__(self, info):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(info.size, info.size).normal_(std=0.3, generator=info.rng))
        self.drive = nn.Parameter(torch.empty(info.size, info.inputs).normal_(std=0.3, generator=info.rng))

    def step(self, state, inputs):
        return torch.tanh(state @ self.weight.T + inputs @ self.drive.T)


class Normal(AbstractPrior):
    """A standard normal prior."""

    def kl(self, mean, std, draw):
        return (0.5 * (mean**2 + std**2 - 1) - std.log()).flatten(1).sum(1)

    def generate(self, like, rng):
        return torch.empty_like(like).normal_(generator=rng)


class NormalInOne(Normal):
    """One number for all trials."""

    def kl(self, mean, std, draw):
        return super().kl(mean, std, draw).mean()


class RightLatent(AbstractLatent):
    """A number of each trial."""

    def __init__(self, info):
        super().__init__()
        self.size, self.prior = 1, Normal()
        self.weight = nn.Parameter(torch.empty(2, info.width).normal_(std=0.3, generator=info.rng))

    def forward(self, x):
        return x.mean(-2) @ self.weight.T


class RightLoss(AbstractLoss):
    """Factors must not change fast."""

    def __init__(self, info):
        super().__init__()

    def forward(self, seen):
        return {"change": seen.latents.factors.diff(dim=1).square().mean()}


RIGHT = {"encoder": RightEncoder, "generator": RightGenerator, "latent": RightLatent, "loss": RightLoss}
HOOKS = {"encoder": "lfads_encoders", "generator": "lfads_generators", "latent": "lfads_latents", "loss": "lfads_losses"}
CHOICES = {"encoder": "encoder=bad", "generator": "generator=bad", "latent": "latents=[bad]", "loss": "losses=[bad]"}


def trains(kind, cls, train_tiny, *more):
    about = {"name": "bad", "summary": "Misbehaves", "build": lambda _, info: cls(info)}
    spec = {
        "encoder": lambda: EncoderSpec(config=NoSettings, causal=True, **about),
        "generator": lambda: GeneratorSpec(config=NoSettings, **about),
        "latent": lambda: LatentSpec(config=LatentConfig, **about),
        "loss": lambda: LossSpec(config=LossConfig, **about),
    }[kind]()
    bad = SimpleNamespace(**{HOOKS[kind]: hookimpl(lambda: [spec])})
    registry = Registry.from_plugins({"lfads-core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "lab-bad": bad})
    return train_tiny("train.epochs=1", f"components.{CHOICES[kind]}", *more, registry=registry)


def spoilt(kind, **methods):
    """The right class of a kind with other methods."""
    return type("Bad", (RIGHT[kind],), methods)


def with_attributes(kind, **attributes):
    """The right class of a kind whose instances have other attributes."""

    def start(self, info):
        RIGHT[kind].__init__(self, info)
        for name, value in attributes.items():
            setattr(self, name, value)

    return spoilt(kind, __init__=start)


def refused(kind, cls, text, train_tiny, *more):
    """Train with it, and see that it is named with its package in one sentence."""
    with pytest.raises(LfadsError) as caught:
        trains(kind, cls, train_tiny, *more)
    message = str(caught.value)
    assert message.startswith(f"lab-bad 0 (entry point 'lab-bad'): the {kind} 'bad'"), message
    assert re.search(text, message), message
    assert "\n" not in message
