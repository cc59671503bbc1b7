"""The parts themselves."""

import math

import torch
from torch import nn

from lfads_core.components import AbstractEncoder, AbstractGenerator, AbstractLatent, AbstractLoss, AbstractPrior


class Traces(AbstractEncoder):
    """Leaky averages of each unit, in each direction."""

    def __init__(self, settings, info):
        super().__init__()
        self.gain, self.size, self.directions = settings.gain, info.hidden, 1 if info.causal else 2
        weight = torch.empty(self.directions, info.hidden, info.width)
        self.weight = nn.Parameter(weight.normal_(std=info.width**-0.5, generator=info.rng))

    def forward(self, x):
        """States of each direction."""
        return torch.stack([self.read(x.flip(-2) if way else x, weight) for way, weight in enumerate(self.weight)])

    def read(self, x, weight):
        """One direction."""
        trace, traces = 0.0, []
        for here in torch.tanh(self.gain * (x @ weight.T)).unbind(-2):
            trace = 0.7 * trace + 0.3 * here
            traces.append(trace)
        return torch.stack(traces, dim=-2)


class Leaky(AbstractGenerator):
    """Rates that leak."""

    def __init__(self, settings, info):
        super().__init__()
        self.leak = settings.leak
        self.weight = nn.Parameter(torch.empty(info.size, info.size).normal_(std=info.size**-0.5, generator=info.rng))
        self.drive = nn.Parameter(torch.empty(info.size, info.inputs).normal_(std=0.3, generator=info.rng))

    def step(self, state, inputs):
        """One bin."""
        return (1 - self.leak) * state + self.leak * torch.tanh(state @ self.weight.T + inputs @ self.drive.T)

    def kernels(self):
        """What L2 counts."""
        return [self.weight]


class Calm(AbstractLoss):
    """A price on change."""

    def forward(self, seen):
        """One term."""
        return {"change": seen.latents.factors.diff(dim=1).square().mean()}


class Normal(AbstractPrior):
    """A normal prior around zero."""

    def __init__(self, variance):
        super().__init__()
        self.variance = variance

    def kl(self, mean, std, draw):
        """In nats."""
        each = (mean**2 + std**2) / self.variance - 1 - 2 * std.log() + math.log(self.variance)
        return 0.5 * each.flatten(1).sum(1)

    def generate(self, like, rng):
        """Draws from it."""
        return torch.empty_like(like).normal_(std=self.variance**0.5, generator=rng)


class Mood(AbstractLatent):
    """A number of each trial, from the average of what is read in."""

    size, per, enters = 1, "trial", "generator"

    def __init__(self, settings, info):
        super().__init__()
        self.prior = Normal(settings.variance)
        self.weight = nn.Parameter(torch.empty(2, info.width).normal_(std=info.width**-0.5, generator=info.rng))

    def forward(self, x):
        """Mean and log-variance."""
        return x.mean(dim=-2) @ self.weight.T


def build_traces(settings, info):
    """Build the encoder."""
    return Traces(settings, info)


def build_leaky(settings, info):
    """Build the generator."""
    return Leaky(settings, info)


def build_calm(settings, info):
    """Build the loss."""
    return Calm()


def build_mood(settings, info):
    """Build the latent."""
    return Mood(settings, info)
