"""What each setting of each component does, from a run's settings to its numbers."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
import torch

from lfads_core.augment.stack import augmented
from lfads_core.objective.total import Objective
from lfads_core.rng import stream
from lfads_plugins_calcium.zig import fit_events


def trained(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def losses(of, epoch=100, seed=0, batch=None):
    """The terms of the loss of all training trials, without dropout."""
    batches = {"tiny": of.batch if batch is None else batch}
    noise = of.model.draw_noise(len(of.batch.encod), stream(seed), sample=True, dropout=False)
    with torch.no_grad():
        return Objective.of(of.config)(of.model, batches, of.model(batches, noise), noise, of.stacks[0], epoch)


def test_an_autoregressive_prior_starts_and_is_trained_as_is_asked_for(built):
    for settings, free in (("train_tau: true, train_variance: false", 1), ("train_tau: false, train_variance: true", 1), ("train_tau: true", 2)):
        of = built(f"components.input_prior={{name: autoregressive, tau: 20, variance: 0.3, {settings}}}")
        assert of.model.input_prior.scalars()["tau"] == pytest.approx(20, rel=1e-5)
        assert of.model.input_prior.scalars()["variance"] == pytest.approx(0.3, rel=1e-5)
        assert len([name for name in trained(of.model) if name.startswith("input_prior")]) == free


def test_the_divergence_of_inputs_is_a_mean_or_a_sum_over_bins(built):
    cost = {how: float(losses(built(f"components.input_prior={{name: autoregressive, over_time: {how}}}")).input_kl) for how in ("mean", "sum")}
    assert cost["sum"] == pytest.approx(8 * cost["mean"], rel=1e-4)


def test_a_normal_prior_starts_and_is_trained_as_is_asked_for(built):
    mean, std = built("components.ic_prior={name: normal, mean: 0.7, variance: 0.36}").model.ic_prior.moments()
    np.testing.assert_allclose(mean, 0.7, rtol=1e-6)
    np.testing.assert_allclose(std, 0.6, rtol=1e-6)
    for settings, names in (
        ("train_mean: true", {"ic_prior.mean"}),
        ("train_mean: false", set()),
        ("train_mean: false, train_variance: true", {"ic_prior.free_variance"}),
    ):
        of = built(f"components.ic_prior={{name: normal, {settings}}}")
        assert {name for name in trained(of.model) if name.startswith("ic_prior")} == names
    prior = built("components.ic_prior={name: normal, train_variance: true, variance: 0.3, min_variance: 0.2, max_variance: 0.5}").model.ic_prior
    for push, bound in ((-50.0, 0.2), (50.0, 0.5)):
        with torch.no_grad():
            prior.free_variance.fill_(push)
        np.testing.assert_allclose(prior.moments()[1] ** 2, bound, rtol=1e-5)


def test_a_student_t_prior_starts_and_is_trained_as_is_asked_for(built):
    of = built("components.ic_prior={name: student-t, location: 0.4, scale: 0.5, degrees: 8}")
    mean, std = of.model.ic_prior.moments()
    np.testing.assert_allclose(mean, 0.4, rtol=1e-6)
    np.testing.assert_allclose(std, 0.5 * math.sqrt(8 / 6), rtol=1e-5)
    assert "degrees" not in of.model.ic_prior.scalars()
    of = built("components.ic_prior={name: student-t, degrees: 8, train_degrees: true}")
    assert of.model.ic_prior.scalars()["degrees"] == pytest.approx(8)
    assert any("stretch" in name for name in trained(of.model))


@pytest.fixture
def events(write_tiny):
    """Gamma events above 0.2 in half of the bins."""
    rng = np.random.default_rng(0)
    made = {split: (0.2 + rng.gamma(3.0, 0.5, (count, 8, 5))) * (rng.random((count, 8, 5)) < 0.5) for split, count in (("train", 12), ("valid", 6))}
    return write_tiny("tiny.h5", **{f"{split}_encod_data": values.astype("f4") for split, values in made.items()})


def test_zero_inflated_gammas_start_and_are_priced_as_is_asked_for(built, events):
    name = "components.reconstruction={name: zero-inflated-gamma"
    fitted = built(f"{name}, gamma_loc: 0.2, scale_penalty: 0}}", data=events)
    zig = fitted.model.reconstructions["tiny"]
    shape, rate, _ = fit_events(fitted.batch.recon, 0.2)
    np.testing.assert_allclose(zig.scale.detach(), 2 * torch.stack([shape, rate]), rtol=1e-4)
    assert float(losses(built(f"{name}, gamma_loc: 0.2}}", data=events)).recon) != pytest.approx(float(losses(built(f"{name}}}", data=events)).recon))
    given = built(f"{name}, scale_init: 7, scale_prior: 4, scale_penalty: 0.5}}", data=events)
    np.testing.assert_allclose(given.model.reconstructions["tiny"].scale.detach(), 7)
    extra = float(losses(given).l2) - float(losses(built(f"{name}, scale_init: 7, scale_prior: 4, scale_penalty: 0}}", data=events)).l2)
    assert extra == pytest.approx(0.5 * 0.5 * 10 * (7 - 4) ** 2, rel=1e-4)


def test_a_gaussian_weighs_its_gradients_as_is_asked_for(built):
    """Of two bins the second has four times the variance: its mean is asked for as much less as beta leaves of that."""
    for settings, slower in (("", 4), (", beta: 0.5", 2), (", beta: 1", 1)):
        gaussian = built(f"components.reconstruction={{name: gaussian{settings}}}").model.reconstructions["tiny"]
        params = torch.zeros(1, 2, 5, 2)
        params[:, 1, :, 1] = math.log(4)
        (found,) = torch.autograd.grad(gaussian.nll(params.requires_grad_(), torch.ones(1, 2, 5)).sum(), params)
        np.testing.assert_allclose(found[0, 0, :, 0], slower * found[0, 1, :, 0], rtol=1e-5)


def hidden(of, seed=0):
    return augmented({"tiny": of.batch}, of.stacks[0], None, stream(seed))["tiny"]


def test_coordinated_dropout_hides_and_passes_as_much_as_is_asked_for(built, write_tiny):
    ones = write_tiny("tiny.h5", train_encod_data=np.ones((400, 8, 5), "f4"), valid_encod_data=np.ones((100, 8, 5), "f4"))
    for settings, rate, learnt in (("rate: 0.4", 0.4, 0.4), ("rate: 0.4, pass_rate: 0.5", 0.4, 0.4 + 0.6 * 0.5)):
        batch = hidden(built(f"components.train_augmentations=[{{name: coordinated-dropout, {settings}}}]", data=ones))
        assert float((batch.encod == 0).float().mean()) == pytest.approx(rate, abs=0.02)
        np.testing.assert_allclose(batch.encod[batch.encod > 0], 1 / 0.6, rtol=1e-5)
        assert float(batch.masks["coordinated-dropout/learn"].mean()) == pytest.approx(learnt, abs=0.02)


def test_coordinated_dropout_masks_the_input_or_all_that_is_reconstructed(built):
    for mask, channels in (("input", 3), ("reconstruction", 5)):
        held = ("data.hold_out.fraction=0.45", f"components.train_augmentations=[{{name: coordinated-dropout, mask: {mask}}}]")
        assert hidden(built(*held)).masks["coordinated-dropout/learn"].shape[2] == channels


def test_sample_validation_hides_and_logs_as_is_asked_for(built, write_tiny):
    ones = write_tiny("tiny.h5", train_encod_data=np.ones((400, 8, 5), "f4"), valid_encod_data=np.ones((100, 8, 5), "f4"))
    found = {}
    for reduce in ("mean", "sum"):
        of = built(f"components.train_augmentations=[{{name: sample-validation, rate: 0.7, reduce: {reduce}}}]", data=ones)
        batch = hidden(of)
        assert float((batch.encod == 0).float().mean()) == pytest.approx(0.7, abs=0.02)
        (found[reduce],) = (float(value) for value in losses(of, batch=batch).measures.values())
    assert found["sum"] == pytest.approx(found["mean"] * 8 * 5, rel=1e-4)  # what all values of a trial would cost like those


def test_moves_in_time_are_as_wide_as_is_asked_for(built, write_tiny):
    train = np.zeros((200, 41, 2), "f4")
    train[:, 20] = 1
    one = write_tiny("tiny.h5", train_encod_data=train, valid_encod_data=train[:50])

    def moves(settings):
        batch = hidden(built(f"components.train_augmentations=[{settings}]", data=one))
        return batch.recon.argmax(dim=1).flatten() - 20

    jitter = moves("{name: spike-jitter, width: 5}")
    assert (int(jitter.min()), int(jitter.max())) == (-5, 5)
    shift = moves("{name: temporal-shift, std: 6, max_shift: 20}").float()
    assert float(shift.std()) == pytest.approx(6, rel=0.2)
    assert int(moves("{name: temporal-shift, std: 30, max_shift: 4}").abs().max()) == 4


def test_gains_are_as_wide_as_is_asked_for(built, write_tiny):
    ones = write_tiny("tiny.h5", train_encod_data=np.ones((400, 8, 5), "f4"), valid_encod_data=np.ones((100, 8, 5), "f4"))
    for common, own in ((0.6, 0), (0, 0.3)):
        logs = hidden(built(f"components.train_augmentations=[{{name: random-gain, common: {common}, own: {own}}}]", data=ones)).recon[:, 0].log()
        assert float(logs.std()) == pytest.approx(common + own, rel=0.2)
        assert float(logs.std(dim=1).mean()) == pytest.approx(0.94 * own, rel=0.2, abs=1e-6)  # of five normal values, c4(5) = 0.94


def test_augmentations_change_the_loss_in_the_order_that_is_asked_for(built):
    both = "components.train_augmentations=[coordinated-dropout, {name: sample-validation, rate: 0.5}]"
    plain, turned = (built(both, *more).stacks[0] for more in ((), ("components.loss_order=[sample-validation, coordinated-dropout]",)))
    assert [part.name for part in plain.loss_order] == ["coordinated-dropout", "sample-validation"]
    assert [part.name for part in turned.loss_order] == ["sample-validation", "coordinated-dropout"]
    for order, logged in (("[sample-validation]", 1), ("[coordinated-dropout]", 0)):
        of = built(both, f"components.loss_order={order}")
        assert len(losses(of, batch=hidden(of)).measures) == logged


def test_readins_have_the_width_and_are_trained_as_is_asked_for(built):
    of = built("components.readin={name: linear, size: 4, trainable: false}")
    assert of.model.readins["tiny"].weight.shape == (4, 5)
    assert not any(name.startswith("readins") for name in trained(of.model))
    assert any(name.startswith("readins") for name in trained(built("components.readin=linear").model))


@pytest.fixture
def aligned(write_tiny):
    """A recording with a projection whose transpose is not its inverse."""
    weight = np.random.default_rng(1).normal(size=(5, 3))
    return write_tiny("tiny.h5", readin_weight=weight, readout_bias=np.full(5, 0.5)), weight


def test_projections_of_the_file_are_undone_and_trained_as_is_asked_for(built, aligned):
    data, weight = aligned
    for inverse, undo in (("pinv", np.linalg.pinv(weight).T), ("transpose", weight)):
        of = built("components.readin=pcr", f"components.readout={{name: pcr, inverse: {inverse}, linearise: false}}", data=data)
        np.testing.assert_allclose(of.model.readouts["tiny"].weight.detach(), undo, rtol=1e-5)
        np.testing.assert_allclose(of.model.readouts["tiny"].bias.detach(), 0.5)
    linear = built("components.readin=pcr", "components.readout=pcr", data=data)
    rates = linear.batch.recon.mean(dim=(0, 1))
    np.testing.assert_allclose(linear.model.readouts["tiny"].bias.detach(), rates.log(), rtol=1e-3)
    for readin, readout in (("true", "false"), ("false", "true")):
        of = built(f"components.readin={{name: pcr, trainable: {readin}}}", f"components.readout={{name: pcr, trainable: {readout}}}", data=data)
        assert any(name.startswith("readins") for name in trained(of.model)) == (readin == "true")
        assert any(name.startswith("readouts") for name in trained(of.model)) == (readout == "true")


def test_a_readout_starts_at_the_mean_where_that_is_asked_for(built):
    of, zero = built(), built("components.readout={name: linear, start_at_mean: false}")
    np.testing.assert_allclose(of.model.readouts["tiny"].bias.detach(), of.batch.recon.mean(dim=(0, 1)).log(), rtol=1e-3)
    assert not zero.model.readouts["tiny"].bias.any()


def test_encoders_are_built_as_is_asked_for(built, shaken):
    bias = dict(built("components.encoder={name: lstm, forget_bias: 2.5}").model.encoder.named_parameters())
    assert all(2.5 in value for name, value in bias.items() if name.endswith("bias") and "ways" in name)
    small = "heads: 2, head_size: 3, expansion: 4"
    shapes = {}
    for name, settings in {"small": f"layers: 1, {small}", "deep": f"layers: 3, {small}", "narrow": f"layers: 1, {small}, window: 1"}.items():
        shapes[name] = {
            key: tuple(value.shape)
            for key, value in built(f"components.encoder={{name: transformer, {settings}}}").model.encoder.part.named_parameters()
        }
    assert len({key.split(".blocks.")[1].split(".")[0] for key in shapes["deep"] if ".blocks." in key}) == 3
    sizes = {key.split(".")[-2]: shape for key, shape in shapes["small"].items() if key.endswith("weight") and len(shape) == 2}
    assert sizes["keys_queries_values"] == (3 * 2 * 3, 6)
    assert sizes["wide"] == (4 * 6, 6)
    one_head = built("components.encoder={name: transformer, layers: 1, heads: 1, head_size: 6}").model.encoder.part
    two_heads = built("components.encoder={name: transformer, layers: 1, heads: 2, head_size: 3}").model.encoder.part
    x = built().batch.encod
    assert not torch.allclose(one_head(x), two_heads(x))
    reached = {}
    for window in ("1", "3", "null"):
        of = built(f"components.encoder={{name: transformer, layers: 1, heads: 2, head_size: 3, window: {window}}}")
        changed = x.clone()
        changed[:, 2] += 1
        forwards = (of.model.encoder.part(changed) != of.model.encoder.part(x))[0].any(-1).any(0)
        reached[window] = torch.nonzero(forwards).flatten().tolist()
    assert reached == {"1": [2], "3": [2, 3, 4], "null": [2, 3, 4, 5, 6, 7]}


def test_generators_are_built_as_is_asked_for(built):
    first = {
        p: dict(built(f"components.generator={{name: linear-dynamics, persistence: {p}}}").model.decoder.generator.named_parameters())
        for p in (0.9, 1)
    }
    recurrent = next(value for name, value in first[1].items() if value.shape == (8, 8))
    np.testing.assert_allclose(recurrent.detach(), np.eye(8), atol=1e-6)
    other = next(value for name, value in first[0.9].items() if value.shape == (8, 8))
    assert float(other.detach().diagonal().mean()) == pytest.approx(0.9, abs=0.1)
    low = built("components.generator={name: low-rank, rank: 2, leak: 0}")
    assert {tuple(value.shape) for value in low.model.decoder.generator.parameters()} >= {(2, 8), (8, 2)}
    still = low.pass_over().latents.gen_states
    np.testing.assert_allclose(still[:, -1], still[:, 0], atol=1e-6)  # nothing leaks, nothing moves
    moving = built("components.generator={name: low-rank, rank: 2, leak: 0.5}").pass_over().latents.gen_states
    assert not torch.allclose(moving[:, -1], moving[:, 0])
    mlp = built("components.generator={name: mlp, hidden: 11, layers: 3, change: 0}")
    shapes = [tuple(value.shape) for value in mlp.model.decoder.generator.parameters() if value.dim() == 2]
    assert sorted(shapes).count((11, 11)) == 2
    still = mlp.pass_over().latents.gen_states
    np.testing.assert_allclose(still[:, -1], still[:, 0], atol=1e-6)
    moving = built("components.generator={name: mlp, hidden: 11, layers: 3, change: 0.5}").pass_over().latents.gen_states
    assert not torch.allclose(moving[:, -1], moving[:, 0])


@pytest.fixture
def behaving(write_tiny):
    rng = np.random.default_rng(2)
    made = {
        f"{split}_{key}": rng.normal(size=(count, 8, width)).astype("f4")
        for split, count in (("train", 12), ("valid", 6))
        for key, width in (("behavior", 2), ("cursor", 3))
    }
    return write_tiny("tiny.h5", **made)


def test_behaviour_is_decoded_from_the_array_and_the_bin_that_are_asked_for(built, behaving):
    of = built("components.losses=[{name: behaviour, key: cursor, lag_bins: 3}]", data=behaving)
    part = of.model.losses["tiny"]["behaviour"]
    wanted = of.batch.extras["cursor"]
    target = (wanted[:, 3:] - wanted.mean(dim=(0, 1))) / wanted.std(dim=(0, 1), correction=0)
    noise = of.model.draw_noise(12, stream(0), sample=False, dropout=False)
    with torch.no_grad():
        output = of.pass_over()
        found = Objective.of(of.config)(of.model, {"tiny": of.batch}, output, noise, of.stacks[0], 100).further["loss/behaviour/error"]
        wanted = (part.decoder(output.latents.factors[:, :5]) - target).square().mean()
    assert float(found) == pytest.approx(float(wanted), rel=1e-4)


@pytest.mark.parametrize("name", ["behaviour", "input-correlation"])
def test_a_loss_counts_with_its_scale_and_ramp(built, behaving, name):
    of = built(f"components.losses=[{{name: {name}, scale: 3, start_epoch: 2, increase_epochs: 3}}]", data=behaving)
    for epoch, weight in ((0, 0), (1, 0), (2, 1 / 4), (4, 3 / 4), (5, 1), (9, 1)):
        found = losses(of, epoch)
        term = sum(float(value) for key, value in found.further.items() if key.startswith("loss/"))
        others = float(found.recon) + found.ramps.kl * 2e-5 * (float(found.ic_kl) + float(found.input_kl)) + found.ramps.l2 * float(found.l2)
        assert float(found.total) == pytest.approx(1e4 * (others + weight * 3 * term), rel=1e-4)


def test_a_context_has_the_size_the_price_and_the_place_that_are_asked_for(built):
    of = built("components.latents=[{name: context, size: 3, hidden: 7, variance: 4, kl: 0.5}]")
    part = of.model.latents["context"]
    assert (part.size, tuple(part.read.weight.shape), tuple(part.posterior.weight.shape)) == (3, (7, 5), (6, 7))
    np.testing.assert_allclose(part.prior.moments()[1], 2)
    found = losses(of)
    term = float(found.further["latent/context/kl"])
    assert term > 0
    without = float(found.recon) + 2e-5 * (float(found.ic_kl) + float(found.input_kl)) + float(found.l2)
    assert float(found.total) == pytest.approx(1e4 * (without + 0.5 * term), rel=1e-4)
    width = {where: built(f"components.latents=[{{name: context, size: 3, enters: {where}}}]").model for where in ("generator", "initial")}
    assert width["generator"].decoder.generator.input.shape[1] == width["initial"].decoder.generator.input.shape[1] + 3


def test_every_slot_takes_the_component_that_is_named(built, train_tiny, aligned):
    of = built("components.reconstruction=gaussian", "components.ic_prior=student-t", "components.encoder=lstm", "components.generator=low-rank",
               "components.readin=pcr", "components.readout=pcr", "components.train_augmentations=[spike-jitter]",
               "components.infer_augmentations=[sample-validation]", "components.latents=[context]", "components.losses=[input-correlation]",
               data=aligned[0])  # fmt: skip
    model = of.model
    parts = (
        model.reconstructions["tiny"],
        model.ic_prior,
        model.encoder.part,
        model.decoder.generator,
        model.readins["tiny"],
        model.readouts["tiny"],
    )
    assert [type(part).__name__ for part in parts] == ["Gaussian", "StudentTPrior", "LSTMEncoder", "LowRankNetwork", "LinearReadin", "PCRReadout"]
    assert (list(model.latents), list(model.losses["tiny"])) == (["context"], ["input-correlation"])
    assert [[part.name for part in stack.batch_order] for stack in of.stacks] == [["spike-jitter"], ["sample-validation"]]
    run = train_tiny("train.epochs=1", "components.input_prior=null", "components.train_augmentations=[]").run
    with (run.path / "fitlog.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["valid/input_kl"]) == 0 < float(row["valid/ic_kl"])
