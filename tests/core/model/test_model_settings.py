"""Settings of the model reach the part that they are of, whatever else is set."""

from __future__ import annotations

import math

import pytest

from lfads_core.rng import stream


def least_variance(model, make_batch):
    """Of the posterior over initial conditions whose own variance has vanished."""
    model.encoder.posterior.bias.data[3:] = -1e3
    return model.encode(make_batch().encod, None).ic.std.square().min().item()


def trained_first_states(model, make_batch):
    """How many first states of the encoder have a gradient."""
    model.encode(make_batch().encod, None).ic.mean.sum().backward()
    return int((model.encoder.part.h0.grad != 0).sum())


def first_heard(model, make_batch):
    """The first bin in which the controller hears of its encoder."""
    heard = model.encode(make_batch().encod, None).ci[0, :, : model.input_encoder.part.size]
    return int(heard.abs().sum(dim=1).nonzero()[0])


def largest_summary(model, make_batch):
    """Of the states that the initial condition is read from, under inputs beyond all bounds."""
    for parameter in model.encoder.part.parameters():
        parameter.data.normal_(0, 50, generator=stream(1))
    return model.encoder.summary(1e3 * make_batch().encod).abs().max().item()


@pytest.mark.parametrize(
    ("setting", "of", "wanted"),
    [
        ("model.encoder.min_variance=0.3", least_variance, 0.3),
        ("model.encoder.hidden=5", trained_first_states, 10),
        ("model.controller.lag_bins=2", first_heard, 2),
        ("model.controller.lag_bins=0", first_heard, 0),
        ("model.controller.encoder_hidden=3", lambda model, _: model.input_encoder.part.size, 3),
        ("model.controller.hidden=3", lambda model, _: len(model.decoder.controller.h0), 3),
        ("model.controller.inputs=3", lambda model, _: len(model.decoder.controller.posterior.bias) / 2, 3),
        ("model.generator.ic_size=6", lambda model, _: model.decoder.to_generator.weight.shape[1], 6),
        ("components.ic_prior={name: normal, variance: 0.37}", lambda model, _: model.ic_prior.log_var.exp()[0].item(), 0.37),
        ("model.cell_clip=0.25", largest_summary, 0.25),
        ("model.cell_clip=0.25", lambda model, _: model.decoder.clip, 0.25),
        ("model.cell_clip=0.25", lambda model, _: model.input_encoder.part.clip, 0.25),
    ],
)
def test_a_setting_of_the_model_reaches_the_part_that_it_is_of(make_model, make_batch, setting, of, wanted):
    sizes = () if "ic_size" in setting else ("model.generator.ic_size=3",)
    assert math.isclose(of(make_model(*sizes, setting), make_batch), wanted, rel_tol=1e-6)
