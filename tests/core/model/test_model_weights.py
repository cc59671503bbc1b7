"""Weights as they start: the published spreads and biases, unit rows, seeds."""

from __future__ import annotations

import math

import pytest
import torch

from lfads_core.model.layers import Affine, GRUParameters, UnitRows, drop
from lfads_core.rng import stream


def has_spread(weight, std):
    n = weight.numel()
    assert weight.std().item() == pytest.approx(std, rel=6 / math.sqrt(2 * n))
    assert abs(weight.mean().item()) < 6 * std / math.sqrt(n)


@pytest.mark.parametrize(("joint", "fan_in", "fan_hidden"), [(True, 40 + 60, 40 + 60), (False, 40, 60)])
def test_recurrent_cells_start_with_the_published_spreads_and_biases(joint, fan_in, fan_hidden):
    part = GRUParameters(40, 60, stream(0), joint_scale=joint)
    has_spread(part.input, fan_in**-0.5)
    has_spread(part.recurrent, fan_hidden**-0.5)
    assert part.bias.tolist() == [1.0] * 120 + [0.0] * 60
    assert (part.input.shape, part.recurrent.shape) == ((180, 40), (180, 60))


def test_linear_maps_start_with_the_published_spread():
    part = Affine(80, 50, stream(0))
    has_spread(part.weight, 80**-0.5)
    assert (part.bias == 0).all()
    has_spread(UnitRows(90, 30, stream(0)).weight, 90**-0.5)


def test_the_whole_model_starts_as_published(make_model):
    sizes = ("encoder.hidden=50", "controller.encoder_hidden=40", "controller.hidden=45", "generator.hidden=60", "generator.ic_size=30")
    model = make_model(*(f"model.{size}" for size in (*sizes, "generator.factors=20", "controller.inputs=6")), channels={"a": (70, 80)}, external=9)
    con, gen = model.decoder.controller, model.decoder.generator
    for gru, joint in ((model.encoder.gru, 70 + 50), (model.input_encoder.gru, 70 + 40)):
        for part in (gru.forward_gru, gru.backward_gru):
            has_spread(part.input, joint**-0.5)
            has_spread(part.recurrent, joint**-0.5)
        assert (gru.h0 == 0).all()
        assert gru.h0.requires_grad
    has_spread(gen.input, (6 + 9) ** -0.5)
    has_spread(gen.recurrent, 60**-0.5)
    has_spread(con.gru.input, (2 * 40 + 20) ** -0.5)
    has_spread(con.gru.recurrent, 45**-0.5)
    has_spread(con.posterior.weight, 45**-0.5)
    has_spread(model.encoder.posterior.weight, 100**-0.5)
    has_spread(model.decoder.to_generator.weight, 30**-0.5)
    assert (con.h0 == 0).all()


def test_factor_rows_have_unit_length_whatever_the_weights():
    part = UnitRows(5, 3, stream(0)).double()
    part.weight.data *= torch.tensor([[1e-9], [1.0], [1e9]], dtype=torch.float64)
    torch.testing.assert_close(part.rows().norm(dim=-1), torch.ones(3, dtype=torch.float64), rtol=1e-12, atol=0)


def test_a_factor_row_of_zeros_stays_zero_with_a_finite_gradient():
    part = UnitRows(5, 3, stream(0))
    part.weight.data[1] = 0
    rows = part.rows()
    (rows * torch.arange(15.0).view(3, 5)).sum().backward()
    assert (rows[1] == 0).all()
    assert part.weight.grad.isfinite().all()


def test_dropping_multiplies_by_the_mask():
    x = torch.tensor([1.0, 2.0, 3.0])
    assert drop(x, torch.tensor([2.0, 0.0, 2.0])).tolist() == [2.0, 0.0, 6.0]
    assert drop(x, None) is x


def test_the_seed_decides_the_weights(make_model):
    one, same, other = (make_model(f"train.seed={seed}").state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    moved = {name.split(".")[0] for name in one if not torch.equal(one[name], other[name])}
    assert moved == {"encoder", "input_encoder", "decoder", "readouts"}


def test_another_session_leaves_the_weights_of_the_first_alone(make_model):
    alone = make_model("components.readin=linear").state_dict()
    beside = make_model("components.readin=linear", channels={"a": (6, 8), "b": (5, 9)}).state_dict()
    assert all(torch.equal(beside[name], value) for name, value in alone.items())
