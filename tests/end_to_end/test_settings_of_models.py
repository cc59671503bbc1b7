"""What each setting of the model does to the model that a training begins with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lfads_core.rng import stream

CAUSAL = ("model.controller.causal=true", "model.encoder.read_bins=2")


def inputs(latents):
    return latents.inputs.mean


def initial(latents):
    return latents.ic.mean[:, None]


def size_of(model, name):
    return tuple(dict(model.named_parameters())[name].shape)


def test_every_part_has_the_size_that_is_asked_for(built):
    sizes = ("encoder.hidden=7", "generator.ic_size=5", "controller.encoder_hidden=6", "controller.hidden=4", "controller.inputs=3")
    of = built(*(f"model.{size}" for size in sizes), "model.generator.hidden=9", "model.generator.factors=2")
    found = of.pass_over().latents
    last = {"gen_states": 9, "factors": 2, "con_states": 4}
    assert {name: getattr(found, name).shape[-1] for name in last} == last
    assert (found.ic.mean.shape[-1], found.inputs.mean.shape[-1]) == (5, 3)
    assert size_of(of.model, "encoder.gru.forward_gru.recurrent") == (21, 7)
    assert size_of(of.model, "input_encoder.gru.forward_gru.recurrent") == (18, 6)


def test_without_a_controller_nothing_is_inferred_from_bin_to_bin(built):
    assert built("model.controller=null").pass_over().latents.inputs is None
    assert built().pass_over().latents.inputs is not None


def test_the_initial_condition_is_read_from_the_bins_that_are_asked_for(built, shaken):
    for setting in ("read_bins", "ic_bins"):
        of = built(f"model.encoder.{setting}=3")
        shaken(of.model)
        assert of.bins_reached(2, initial) == [0]
        assert of.bins_reached(3, initial) == []
    every = built()
    shaken(every.model)
    assert every.bins_reached(7, initial) == [0]


def test_the_first_bins_are_the_initial_encoders_alone_where_the_trial_is_parted(built, shaken):
    """What a controller hears of bin 1 comes from the factors alone, and without feedback from nowhere."""
    reached = {}
    for setting in ("read_bins", "ic_bins"):
        of = built(f"model.encoder.{setting}=3", "model.controller.feedback=none")
        shaken(of.model)
        reached[setting] = of.bins_reached(1, inputs)
    assert reached["ic_bins"] == []
    assert reached["read_bins"]


@pytest.mark.parametrize("lag", [0, 2])
def test_a_causal_controller_knows_of_a_bin_as_late_as_is_asked_for(built, shaken, lag):
    of = built(*CAUSAL, f"model.controller.lag_bins={lag}")
    shaken(of.model)
    assert of.bins_reached(5, inputs) == list(range(5 + lag, 8))
    both_ways = built("model.encoder.read_bins=2", f"model.controller.lag_bins={lag}")
    shaken(both_ways.model)
    assert both_ways.bins_reached(5, inputs)[0] == 0


@pytest.mark.parametrize("feedback", ["factors", "rates", "none"])
def test_a_controller_hears_of_the_bin_before_what_is_asked_for(built, shaken, feedback):
    of = built(f"model.controller.feedback={feedback}")
    shaken(of.model)

    def changed(name):
        before = of.pass_over().latents.con_states
        parameter = dict(of.model.named_parameters())[name]
        with torch.no_grad():
            parameter.add_(1.0)
            after = of.pass_over().latents.con_states
            parameter.sub_(1.0)
        return not torch.equal(before, after)

    assert changed("decoder.to_generator.bias") == (feedback != "none")
    assert changed("readouts.tiny.bias") == (feedback == "rates")


def test_the_posterior_of_the_initial_condition_is_never_surer_than_is_asked_for(built):
    of = built("model.encoder.min_variance=0.09")
    with torch.no_grad():
        of.model.encoder.posterior.weight.zero_()
        of.model.encoder.posterior.bias.fill_(-60)
    np.testing.assert_allclose(of.pass_over().latents.ic.std, 0.3, rtol=1e-6)


def test_first_weights_are_scaled_as_is_asked_for(built):
    plain = {name: value.detach() for name, value in built().model.named_parameters()}
    for setting, touched in (
        ("model.weight_scale", ("encoder.gru.forward_gru.recurrent", "input_encoder.gru.forward_gru.input", "decoder.controller.gru.recurrent")),
        ("model.generator.input_scale", ("decoder.generator.input",)),
        ("model.generator.recurrent_scale", ("decoder.generator.recurrent",)),
    ):
        other = dict(built(f"{setting}=3").model.named_parameters())
        for name, value in plain.items():
            if name in touched:
                np.testing.assert_allclose(other[name].detach(), 3 * value, rtol=1e-5, err_msg=f"{setting} {name}")
        assert torch.equal(other["readouts.tiny.weight"], plain["readouts.tiny.weight"])


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_so_many_units_are_dropped(built, rate):
    of = built(f"model.dropout={rate}")
    noise = of.model.draw_noise(400, stream(0), sample=False, dropout=True)
    masks = [] if noise.dropout is None else [value for value in vars(noise.dropout).values() if isinstance(value, torch.Tensor)]
    dropped = float(torch.cat([mask.flatten() for mask in masks]).eq(0).float().mean()) if masks else 0.0
    assert dropped == pytest.approx(rate, abs=0.02)


def test_every_recurrent_state_stays_within_the_bound(built):
    """The encoders' first states lie beyond it, and an open gate would carry them on."""
    of = built("model.cell_clip=0.05")
    free = built()
    for one in (of, free):
        with torch.no_grad():
            for name, parameter in one.model.named_parameters():
                if name.endswith("h0"):
                    parameter.fill_(4.0)
    found, wide = of.pass_over().latents, free.pass_over().latents
    for name in ("gen_states", "con_states"):
        assert float(getattr(found, name).abs().max()) <= 0.05 + 1e-6 < float(getattr(wide, name).abs().max())
    for part in (of.model.encoder.part, of.model.input_encoder.part):
        assert float(part(of.batch.encod).detach().abs().max()) <= 0.05 + 1e-6
    assert float(free.model.encoder.part(free.batch.encod).detach().abs().max()) > 0.05


def test_external_inputs_go_where_is_asked_for(built):
    given = {f"{split}_ext_input": np.ones((count, 8, 2), "f4") for split, count in (("train", 12), ("valid", 6))}
    straight, through = (built(f"model.external_inputs={where}", **given).model for where in ("generator", "encoders"))
    assert size_of(straight, "encoder.gru.forward_gru.input")[1] == 5
    assert size_of(through, "encoder.gru.forward_gru.input")[1] == 7
    assert size_of(straight, "decoder.generator.input")[1] == size_of(through, "decoder.generator.input")[1] + 2
