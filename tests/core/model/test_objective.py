"""The loss, term by term, against sums written out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components import AbstractAugmentation
from lfads_core.config.schema import RampConfig, RegularisationConfig
from lfads_core.objective.terms import l2_of_kernels, l2_shares, ramp, recurrent_kernels, reduce_reconstruction
from lfads_core.objective.total import Objective
from lfads_core.rng import stream

NOTHING = AugmentationStack((), ())
FULL = RampConfig(start_epoch=0, increase_epochs=0)


@pytest.fixture
def two(make_model, make_batch):
    """Two sessions of different numbers of trials."""
    model = make_model("components.readin=linear", channels={"a": (6, 8), "b": (4, 5)})
    batches = {"a": make_batch(4, channels=(6, 8), seed=1), "b": make_batch(1, channels=(4, 5), seed=2)}
    noise = model.draw_noise(5, stream(0), sample=True, dropout=False)
    return model, batches, noise, model(batches, noise)


def price(case, epoch=10, stack=NOTHING, **settings):
    model, batches, noise, output = case
    return Objective(RegularisationConfig(**{"kl_ic": 2e-5, "kl_inputs": 2e-5, "kl_ramp": FULL, "l2_ramp": FULL} | settings))(
        model, batches, output, noise, stack, epoch
    )


@pytest.mark.parametrize(
    ("start", "increase", "values"),
    [
        (0, 0, [1, 1, 1, 1, 1, 1]),
        (0, 3, [0.25, 0.5, 0.75, 1, 1, 1]),
        (2, 3, [0, 0, 0.25, 0.5, 0.75, 1]),
        (4, 0, [0, 0, 0, 0, 1, 1]),
    ],
)
def test_ramps_grow_from_zero_to_one(start, increase, values):
    assert [ramp(epoch, start, increase) for epoch in range(6)] == values


def test_each_term_has_its_own_ramp():
    scales = RegularisationConfig(kl_ramp=RampConfig(start_epoch=2, increase_epochs=3), l2_ramp=RampConfig(start_epoch=0, increase_epochs=9))
    ramps = Objective(scales).ramps(3)
    assert (ramps.kl, ramps.l2) == (0.5, 0.4)


def test_kernels_without_a_scale_count_neither_above_nor_below():
    w = [torch.full((3, 2), value, dtype=torch.float64) for value in (1.0, 2.0, 3.0)]

    def price_of(*kernels):
        return l2_of_kernels([kernel for _, kernel in kernels], l2_shares(kernels))

    price_ = price_of((0.5, w[0]), (0.0, w[1]), (2.0, w[2]))
    assert price_.item() == pytest.approx((0.5 * 0.5 * 6 + 2.0 * 0.5 * 54) / (12 + 1e-8), rel=1e-12)
    assert price_of((0.0, w[0])).item() == 0
    assert price_of().item() == 0
    assert price_of((0.0, torch.zeros(2, 2, device="meta"))).device.type == "meta"


def test_the_kernels_are_the_recurrent_matrices_with_their_scales(make_model):
    scales = RegularisationConfig(l2_encoder=1.0, l2_generator=2.0, l2_input_encoder=3.0, l2_controller=4.0)
    kernels = [(scale, tuple(kernel.shape)) for scale, kernel in recurrent_kernels(make_model(), scales)]
    assert kernels == [(1.0, (15, 5))] * 2 + [(2.0, (21, 7))] + [(3.0, (12, 4))] * 2 + [(4.0, (18, 6))]
    autonomous = recurrent_kernels(make_model("model.controller=null"), scales)
    assert [scale for scale, _ in autonomous] == [1.0, 1.0, 2.0]


def test_reconstruction_is_a_mean_over_values_or_a_sum_per_trial():
    loss = torch.arange(24.0).view(2, 3, 4)
    assert reduce_reconstruction(loss, "mean").item() == 11.5
    assert reduce_reconstruction(loss, "sum").item() == (66 + 210) / 2


@pytest.mark.parametrize("how", ["mean", "sum"])
def test_sessions_count_alike_however_many_trials_they_have(two, how):
    model, batches, _, output = two
    losses = price(two, reduce=how)
    by_hand = {}
    for name, batch in batches.items():
        log_rate, k = output.params[name][..., 0], batch.recon
        value = log_rate.exp() - k * log_rate
        value = value + torch.where(k > 1, k * k.clamp(min=1).log() - k + 0.5 * torch.log(2 * torch.pi * k.clamp(min=1)), 0.0)
        by_hand[name] = value.mean() if how == "mean" else value.sum(dim=(1, 2)).mean()
        torch.testing.assert_close(losses.per_session[name], by_hand[name])
    torch.testing.assert_close(losses.recon, (by_hand["a"] + by_hand["b"]) / 2)
    assert model.reconstructions["a"].penalty() == 0


def test_divergences_are_means_over_all_trials_of_all_sessions(two):
    model, _, noise, output = two
    losses, latents = price(two), output.latents
    ic = model.ic_prior.kl(latents.ic.mean, latents.ic.std, noise.ic_kl)
    inputs = model.input_prior.kl(latents.inputs.mean, latents.inputs.std, noise.inputs_kl)
    assert ic.shape == inputs.shape == (5,)
    torch.testing.assert_close(losses.ic_kl, ic.sum() / 5)
    torch.testing.assert_close(losses.input_kl, inputs.sum() / 5)


def test_the_total_is_the_scaled_and_ramped_sum(two):
    scales = {"kl_ic": 0.3, "kl_inputs": 0.02, "l2_generator": 0.7, "l2_encoder": 0.1, "loss_scale": 50.0}
    losses = price(two, epoch=1, kl_ramp=RampConfig(start_epoch=0, increase_epochs=3), l2_ramp=RampConfig(start_epoch=1, increase_epochs=3), **scales)
    wanted = 50.0 * (losses.recon + 0.25 * losses.l2 + 0.5 * (0.3 * losses.ic_kl + 0.02 * losses.input_kl))
    torch.testing.assert_close(losses.total, wanted)
    assert losses.l2 > 0
    assert list(losses.terms()) == ["recon", "ic_kl", "input_kl", "l2", "total"]


def test_trainable_parameters_of_a_reconstruction_add_to_the_l2_term(make_model, make_batch):
    model = make_model(plugins=("zig",))
    noise, batch = model.draw_noise(3, stream(0), sample=True, dropout=False), make_batch()
    case = (model, {"a": batch}, noise, model({"a": batch}, noise))
    with_penalty = price(case).l2
    part = model.reconstructions["a"]
    before = part.penalty().item()
    part.scale.data += 1
    dearer = part.penalty().item() - before
    assert dearer > 0
    assert (price(case).l2 - with_penalty).item() == pytest.approx(dearer, rel=1e-6)


class _Half(AbstractAugmentation):
    name = "half"

    def augment(self, batch, noise):
        return batch

    def weigh(self, loss, batch):
        return loss / 2

    def measure(self, loss, batch):
        return {"seen": loss.mean()}


def test_augmentations_weigh_the_loss_and_measure_it_unweighed(two):
    part, plain = _Half(), price(two)
    losses = price(two, stack=AugmentationStack([part], [part]))
    torch.testing.assert_close(losses.recon, plain.recon / 2)
    torch.testing.assert_close(losses.per_value["a"], plain.per_value["a"] / 2)
    torch.testing.assert_close(losses.measures["seen"], (plain.per_value["a"].mean() + plain.per_value["b"].mean()) / 2)


def test_the_loss_is_a_plain_function(two):
    first = price(two)
    assert torch.equal(first.total, price(two).total)
    model, batches, noise, output = two
    more = replace(batches["a"], recon=batches["a"].recon + 1)
    assert not torch.equal(price((model, {**batches, "a": more}, noise, output)).total, first.total)
