# ruff: noqa: ARG005 - a spoilt method has the arguments of a sound one
"""Latents and losses that break their contract: each is named with its package, before the first step."""

from __future__ import annotations

import itertools

import pytest
import torch

from lfads_core.errors import LfadsError
from model_parts import NormalInOne, RightLatent, RightLoss, refused, spoilt, trains, with_attributes

CALLS = itertools.count()


class NormalBelow(NormalInOne):
    """Turned around."""

    def kl(self, mean, std, draw):
        return -(0.5 * (mean**2 + std**2 - 1) - std.log()).flatten(1).sum(1)


def posterior(change):
    return {"forward": lambda self, x: change(RightLatent.forward(self, x), x, self)}


def price(change):
    return {"forward": lambda self, seen: change(RightLoss.forward(self, seen)["change"], seen)}


def changes_recording(value, seen):
    seen.batch.recon.zero_()
    return {"change": value}


def changes_latents(value, seen):
    seen.latents.factors.data.zero_()
    return {"change": value}


BAD = {
    "a latent without a width": ("latent", with_attributes("latent", size=0), "build must give it a 'size', a whole number above 0, got 0"),
    "a latent of each week": ("latent", with_attributes("latent", per="week"), "build must give it 'per', one of trial, bin, got 'week'"),
    "a latent that enters nowhere": (
        "latent",
        with_attributes("latent", enters="nowhere"),
        "build must give it 'enters', one of generator, initial, got 'nowhere'",
    ),
    "a latent without a prior": ("latent", with_attributes("latent", prior=None), "build must give it a 'prior', an AbstractPrior, got None"),
    "a latent whose prior sums up": ("latent", with_attributes("latent", prior=NormalInOne()), r"kl must give the shape \(B\) = \(4\), got \(\)"),
    "a posterior of half the width": (
        "latent",
        posterior(lambda q, *_: q[..., :1]),
        r"the call must give the shape \(\*B, K2\) = \(4, 2\) or \(\*B, T, K2\) = \(4, 8, 2\), got \(4, 1\)",
    ),
    "a posterior of each bin where there is one a trial": (
        "latent",
        posterior(lambda _, x, self: x @ self.weight.T),
        r"the call must give a row for each trial, as its attribute per='trial' says, got the shape \(4, 8, 2\)",
    ),
    "a posterior that mixes trials": (
        "latent",
        posterior(lambda q, *_: q - q.mean(0, keepdim=True)),
        "the call must give each trial what it gets alone",
    ),
    "a posterior too wide for any number": (
        "latent",
        posterior(lambda q, *_: 0 * q + 1000),
        "must give log-variances, so that exp of half of them is a number, got 1000",
    ),
    "a latent whose prior is below 0": (
        "latent",
        with_attributes("latent", prior=NormalBelow()),
        "kl must be 0 or more over samples of the posterior",
    ),
    "a posterior that is none": ("latent", posterior(lambda *_: None), "the call must give a tensor, got None"),
    "a price without a name": ("loss", price(lambda value, _: value), r"must give tensors of one number by name, got a tensor of shape \(\)"),
    "a price of each trial": ("loss", price(lambda _, seen: {"a": seen.latents.factors.mean((1, 2))}), r"got a tensor of shape \(4,\) for 'a'"),
    "a price summed over trials": (
        "loss",
        price(lambda _, seen: {"a": seen.latents.factors.square().sum()}),
        "must give means over trials, but 'a' of twice the trials is twice as much",
    ),
    "a price that validations lack": (
        "loss",
        price(lambda value, _: {"a": value} if torch.is_grad_enabled() else {}),
        "must give the same without gradients, as in a validation, got something else",
    ),
    "a price that is none": ("loss", price(lambda *_: {"a": None}), "must give tensors of one number by name, got None for 'a'"),
    "a price that is a number": ("loss", price(lambda *_: {"a": 1.0}), "must give tensors of one number by name, got 1.0 for 'a'"),
    "no price at all": ("loss", price(lambda *_: {}), "must give one term at least, 0 where it costs nothing, got none"),
    "a price that is NaN": ("loss", price(lambda value, _: {"a": value * torch.nan}), "must give finite numbers, got nan in 1 of 1"),
    "a price without gradient": (
        "loss",
        price(lambda value, _: {"a": value.detach()}),
        "must pass gradients on to seen, but what it gives carries none",
    ),
    "a price by chance": ("loss", price(lambda value, _: {"a": value * torch.rand(())}), "but used torch's global generator"),
    "a price with a path for a name": (
        "loss",
        price(lambda value, _: {"a/b c": value}),
        "must name numbers by words without spaces and slashes, got 'a/b c'",
    ),
    "a price of changing names": (
        "loss",
        price(lambda value, _: {f"a{next(CALLS)}": value}),
        "must give the same when it is called twice with the same",
    ),
    "a loss that changes the recording": ("loss", price(changes_recording), "must leave 'seen' as it was, but changed it in place"),
    "a loss that changes latents": ("loss", price(changes_latents), "must leave 'seen' as it was, but changed it in place"),
    "measures that are plain": (
        "loss",
        {"measure": lambda self, seen: {"m": 0.5}},
        "measure must give tensors of one number by name, got 0.5 for 'm'",
    ),
    "chance that is none": ("loss", {"draw": lambda self, batch, rng: None}, "draw must give tensors by name, got None"),
    "one array in place of several": (
        "loss",
        with_attributes("loss", arrays="behavior"),
        "build must give it 'arrays', a tuple of keys, got 'behavior'",
    ),
    "a start with other parameters": (
        "loss",
        {"start_from": lambda self, arrays: setattr(self, "w", torch.nn.Parameter(torch.ones(3)))},
        r"start_from must change parameters and buffers in place .* but 'w' was none and is \(3,\)",
    ),
    "a start that raises": ("loss", {"start_from": lambda self, arrays: 1 // 0}, r"failed in start_from \(ZeroDivisionError"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_breaks_its_contract_is_named_before_the_first_step(case, train_tiny, capfd):
    kind, bad, text, *more = BAD[case]
    refused(kind, bad if isinstance(bad, type) else spoilt(kind, **bad), text, train_tiny, *more)
    assert "epoch 1" not in capfd.readouterr().out


def test_what_a_loss_needs_of_the_file_is_asked_for_in_its_name(train_tiny):
    with pytest.raises(LfadsError, match=r"'train_pupil' must be there for the loss 'bad' \(components.losses\), got nothing of that name\.$"):
        trains("loss", with_attributes("loss", arrays=("pupil",)), train_tiny)
