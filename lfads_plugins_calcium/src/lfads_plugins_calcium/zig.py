"""Zero-inflated gamma for deconvolved calcium events (Wei et al. 2020; Zhu et al. 2022, RADICaL)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractReconstruction, Support
from lfads_plugins_calcium.settings import ZIGConfig

_FLOOR = 1e-5  # of the three squashed parameters
_LEAST_SCALE = 1e-5  # of the trainable scales, which a large step could take below zero
_LOGIT_FLOOR = math.log(_FLOOR / (1 - _FLOOR))
_NO_DATA_SCALE = 2.0  # of the trainable scales before they saw data
_MOST_SQUASHED = 0.02  # a sigmoid further out hardly learns
_BORROWED = 5.0  # events whose spread of sizes each channel borrows from all for its start
_LEAST_SHAPE, _MOST_SHAPE = 0.05, 50.0  # of the start
_LEAST_SIZE = 1e-6  # an event no larger than gamma_loc counts as this much above it, instead of being impossible


def floored_sigmoid(x: Tensor) -> Tensor:
    """``max(sigmoid(x), 1e-5)``."""
    return torch.sigmoid(x).clamp(min=_FLOOR)


class ZeroInflatedGamma(AbstractReconstruction):
    """Three parameters per channel and bin: shape, rate, and the chance q of an event.

    shape = s0 * scale[0], rate = s1 * scale[1], q = s2, each s a sigmoid with floor 1e-5; the scales (2, N) are trainable.
    """

    n_params: ClassVar[int] = 3
    support: ClassVar[Support] = "nonnegative"

    def __init__(self, config: ZIGConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.scale = nn.Parameter(torch.full((2, channels), _NO_DATA_SCALE if config.scale_init is None else config.scale_init))
        # Where the scales start, for the penalty alone: made again from the training data whenever training goes on, so not saved.
        self.start: Tensor
        self.register_buffer("start", self.scale.detach().clone(), persistent=False)

    @torch.no_grad()
    def start_from(self, data: Float[Tensor, "B T N"]) -> Float[Tensor, "N P"]:
        """Set each channel's scales to twice the shape and rate of a gamma fitted to its events; return what gives this gamma and their share.

        A channel with few events borrows from all the others (:func:`fit_events`). With ``scale_init`` set, the scales stay and only the
        returned parameters follow the data.
        """
        shape, rate, logit = fit_events(data, self.config.gamma_loc)
        wanted = torch.stack([shape, rate])
        if self.config.scale_init is None:
            self.scale.copy_(2 * wanted)  # twice: a sigmoid of 0 leaves as much room above as below
            self.start.copy_(self.scale)
        share = (wanted / self.scale).clamp(_MOST_SQUASHED, 1 - _MOST_SQUASHED)
        params = torch.stack([*torch.logit(share), logit], dim=-1)
        return params.to(self.scale.dtype)

    def shape_and_rate(self, params: Float[Tensor, "*B T N P"]) -> tuple[Float[Tensor, "*B T N"], Float[Tensor, "*B T N"]]:
        """Parameters of the gamma part."""
        # Below the floor gradients still pass, so that a scale finds its way back.
        scale = self.scale + (self.scale.clamp(min=_LEAST_SCALE) - self.scale).detach()
        return floored_sigmoid(params[..., 0]) * scale[0], floored_sigmoid(params[..., 1]) * scale[1]

    def nll(self, params: Float[Tensor, "*B T N P"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
        """``-ln(1 - q)`` where nothing happened, else ``-ln q - ln Gamma(x - gamma_loc; shape, rate)``, in nats.

        Written with softplus of q's logit, finite for every logit; sizes are made harmless before the gamma's log-density
        sees bins without an event, so that no NaN can travel back through the choice.
        """
        logit = params[..., 2].clamp(min=_LOGIT_FLOOR)
        happened = data > 0
        excess = data - self.config.gamma_loc
        size = torch.where(excess > 0, excess, _LEAST_SIZE).clamp(min=torch.finfo(data.dtype).tiny)
        shape, rate = self.shape_and_rate(params)
        log_density = shape * rate.log() + (shape - 1) * size.log() - rate * size - torch.lgamma(shape)
        return torch.where(happened, nn.functional.softplus(-logit) - log_density, nn.functional.softplus(logit))

    def mean(self, params: Float[Tensor, "*B T N P"]) -> Float[Tensor, "*B T N"]:
        """``q (shape / rate + gamma_loc)``."""
        shape, rate = self.shape_and_rate(params)
        return floored_sigmoid(params[..., 2]) * (shape / rate + self.config.gamma_loc)

    def distribution_params(self, params: Float[Tensor, "*B T N P"]) -> dict[str, Float[Tensor, "*B T N"]]:
        """Shape and rate of an event's size above ``gamma_loc``, and the chance q of an event."""
        shape, rate = self.shape_and_rate(params)
        return {"shape": shape, "rate": rate, "q": floored_sigmoid(params[..., 2])}

    def sample(self, params: Float[Tensor, "*B T N P"], rng: torch.Generator) -> Float[Tensor, "*B T N"]:
        """Events."""
        shape, rate = self.shape_and_rate(params)
        # torch.distributions takes no generator; this primitive is what it calls.
        size = torch._standard_gamma(shape, generator=rng) / rate + self.config.gamma_loc  # noqa: SLF001
        return size * torch.bernoulli(floored_sigmoid(params[..., 2]), generator=rng)

    def penalty(self) -> Float[Tensor, ""]:
        """``½ strength Σ (scale - prior)²``; without a prior ``½ strength Σ (scale / start - 1)²``, the same in whatever unit events are."""
        prior = self.config.scale_prior
        distance = self.scale / self.start - 1 if prior is None else self.scale - prior
        return 0.5 * self.config.scale_penalty * distance.square().sum()


def fit_events(data: Float[Tensor, "B T N"], gamma_loc: float = 0.0) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Shape and rate of each channel's event sizes, and the logit of its share of events; NaN in the data: not observed.

    With s = ln(mean size) - mean(ln size), the maximum-likelihood shape is (3 - s + sqrt((s - 3)² + 24 s)) / 12 s to within 1.5 %
    (Minka 2002), and rate = shape / mean size. A channel with few events borrows from the others: five events' worth of their s, one of
    their ln(mean size), one value of their share of events; so silent channels start where the others are. Without any event: shape and
    rate 1, one event in 1000.
    """
    data = data.double()
    observed, happened = ~data.isnan(), data > 0
    size = torch.where(happened, (data - gamma_loc).clamp(min=_LEAST_SIZE), 1.0)
    seen, events, total, logs = (x.sum((0, 1)) for x in (observed, happened, size * happened, size.log()))
    all_events = events.sum().clamp(min=1)
    chance = (events.sum() / seen.sum().clamp(min=1)).clamp(1e-3, 1 - 1e-3)
    share = ((events + chance) / (seen + 1)).clamp(2 * _FLOOR, 1 - 2 * _FLOOR)
    if not happened.any():
        return torch.ones_like(share), torch.ones_like(share), torch.logit(share)
    log_mean = torch.where(events > 0, total / events.clamp(min=1), 1.0).log()
    s = log_mean - logs / events.clamp(min=1)
    s = (events * s + _BORROWED * (events * s).sum() / all_events) / (events + _BORROWED)
    s = s.clamp(min=1e-3)  # equal sizes would make the shape infinite
    mean = ((events * log_mean + (events * log_mean).sum() / all_events) / (events + 1)).exp()
    shape = ((3 - s + ((s - 3).square() + 24 * s).sqrt()) / (12 * s)).clamp(_LEAST_SHAPE, _MOST_SHAPE)
    return shape, shape / mean, torch.logit(share)
