"""The loss, term by term, against sums written out by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components import AbstractAugmentation, AbstractLoss, Latents, Posterior
from lfads_core.components.batch import Batch
from lfads_core.config.load import resolve
from lfads_core.config.losses import LatentConfig, LossConfig
from lfads_core.config.schema import RampConfig, RegularisationConfig
from lfads_core.errors import ConfigError
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput
from lfads_core.objective.further import further_terms, latent_divergences, of_trials
from lfads_core.objective.terms import Weights, l2_of_kernels, l2_shares, ramp, recurrent_kernels, reduce_reconstruction
from lfads_core.objective.total import Objective
from lfads_core.plugins import load_registry
from lfads_core.rng import stream
from lfads_core.train.captured import LiveObjective

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


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("scales", [(0.5, 0.5), (0.5, 2.0)])
def test_the_slope_of_the_kernels_price_is_theirs_whatever_multiplies_it(scales, as_tensor):
    kernels = [torch.randn(shape, dtype=torch.float64, generator=stream(0, str(shape))).requires_grad_() for shape in ((3, 2), (4, 1))]
    shares = l2_shares(list(zip(scales, kernels, strict=True)))
    given = torch.tensor(shares, dtype=torch.float64) if as_tensor else shares
    assert torch.autograd.gradcheck(lambda *of: 3.0 * l2_of_kernels(of, given), kernels)
    price_ = l2_of_kernels(kernels, given).item()
    assert price_ == pytest.approx(sum(s / 10 * 0.5 * w.square().sum().item() for s, w in zip(scales, kernels, strict=True)), rel=1e-8)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.5, 0.25, 0.25, 0.0], torch.ones(2), torch.ones(4)], ids=str)
def test_each_kernel_has_one_share(shares):
    with pytest.raises(ValueError, match="zip"):
        l2_of_kernels([torch.ones(2, 2)] * 3, shares)


def test_kernels_that_are_not_trained_cost_nothing(make_model):
    model = make_model()
    model.decoder.generator.kernels()[0].requires_grad_(False)
    scales = RegularisationConfig(l2_encoder=1.0, l2_generator=2.0, l2_input_encoder=3.0, l2_controller=4.0)
    assert [scale for scale, _ in recurrent_kernels(model, scales)] == [1.0, 1.0, 0.0, 3.0, 3.0, 4.0]


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
        return {"seen": loss.mean(), "trials": batch.recon.new_tensor(len(batch.recon))}


def test_augmentations_weigh_the_loss_and_measure_it_unweighed(two):
    part, plain = _Half(), price(two)
    losses = price(two, stack=AugmentationStack([part], [part]))
    torch.testing.assert_close(losses.recon, plain.recon / 2)
    torch.testing.assert_close(losses.per_value["a"], plain.per_value["a"] / 2)
    torch.testing.assert_close(losses.measures["seen"], (plain.per_value["a"].mean() + plain.per_value["b"].mean()) / 2)
    assert losses.measures["trials"] == 2.5


@pytest.mark.parametrize("how", ["mean", "sum"])
def test_trials_that_only_fill_a_batch_up_count_nowhere(two, how):
    model, batches, noise, output = two
    weights = {"a": torch.tensor([1.0, 0.0, 1.0, 1.0]), "b": torch.ones(1)}
    losses = price((model, {name: replace(batch, weights=weights[name]) for name, batch in batches.items()}, noise, output), reduce=how)
    counted = [0, 2, 3]
    each = losses.per_value["a"][counted]
    torch.testing.assert_close(losses.per_session["a"], each.mean() if how == "mean" else each.sum(dim=(1, 2)).mean())
    ic = model.ic_prior.kl(output.latents.ic.mean, output.latents.ic.std, noise.ic_kl)
    torch.testing.assert_close(losses.ic_kl, ic[[*counted, 4]].mean())
    inputs = model.input_prior.kl(output.latents.inputs.mean, output.latents.inputs.std, noise.inputs_kl)
    torch.testing.assert_close(losses.input_kl, inputs[[*counted, 4]].mean())


def test_divergences_that_are_estimated_take_the_draws_that_are_theirs_alone(make_model, make_batch):
    """Priors without a closed form, and the latents of plugins: each at its own draws, over the trials that count."""
    words = ("components.ic_prior=student-t", "components.input_prior=student-t", "components.latents=[{name: context, size: 3}]")
    model, batch = make_model(*words), replace(make_batch(4), weights=torch.tensor([1.0, 1.0, 0.0, 1.0]))
    noise = model.draw_noise(4, stream(0), sample=True, dropout=False)
    output = model({"a": batch}, noise)
    losses, latents = price((model, {"a": batch}, noise, output)), output.latents
    ic = model.ic_prior.kl(latents.ic.mean, latents.ic.std, noise.ic_kl)
    inputs = model.input_prior.kl(latents.inputs.mean, latents.inputs.std, noise.inputs_kl)
    context = model.latents["context"].prior.kl(latents.further["context"].mean, latents.further["context"].std, {})
    for found, each in ((losses.ic_kl, ic), (losses.input_kl, inputs), (losses.further["latent/context/kl"], context)):
        torch.testing.assert_close(found, each[[0, 1, 3]].mean())
    assert losses.terms()["latent/context/kl"] is losses.further["latent/context/kl"]
    other = price((model, {"a": batch}, replace(noise, ic_kl=noise.ic), output))
    assert other.ic_kl != losses.ic_kl
    assert losses.ramps == Objective(RegularisationConfig(kl_ramp=FULL, l2_ramp=FULL)).ramps(10)


def test_without_a_controller_inputs_cost_nothing(make_model, make_batch):
    model, batch = make_model("model.controller=null"), make_batch(2)
    noise = model.draw_noise(2, stream(0), sample=True, dropout=False)
    assert price((model, {"a": batch}, noise, model({"a": batch}, noise))).input_kl == 0


def test_shares_of_kernels_may_be_given(two):
    model, batches, noise, output = two
    of = Objective(RegularisationConfig(kl_ic=0.0, kl_inputs=0.0, l2_generator=0.5))
    kernels = recurrent_kernels(model, of.config)
    given = [0.125 * number for number in range(len(kernels))]
    terms = of.terms(model, batches, output, noise, NOTHING, given)
    torch.testing.assert_close(terms.vector[-1], sum(share * 0.5 * kernel.square().sum() for share, (_, kernel) in zip(given, kernels, strict=True)))


def test_the_loss_is_a_plain_function(two):
    first = price(two)
    assert torch.equal(first.total, price(two).total)
    model, batches, noise, output = two
    more = replace(batches["a"], recon=batches["a"].recon + 1)
    assert not torch.equal(price((model, {**batches, "a": more}, noise, output)).total, first.total)


def latents_of(trials):
    """All kinds of latents, each with its own numbers, of which a trial's are its row's."""
    kinds = itertools.count()

    def numbers(*shape):
        return torch.arange(trials, dtype=torch.float64).reshape(-1, *(1 for _ in shape)).expand(trials, *shape) + 100 * next(kinds)

    def posterior(*shape):
        return Posterior(mean=numbers(*shape), std=numbers(*shape))

    per_bin = {name: numbers(2, 1) for name in ("ci", "gen_states", "gen_inputs", "factors")}
    further = {"context": posterior(1)}
    return Latents(ic=posterior(1), inputs=posterior(2, 1), gen_init=numbers(1), con_states=None, further=further, **per_bin)


def test_the_latents_of_some_trials_are_their_rows_of_everything():
    whole, part = latents_of(5), of_trials(latents_of(5), slice(1, 3))
    assert part.con_states is None
    for name in ("ci", "gen_init", "gen_states", "gen_inputs", "factors"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[1:3])
    for found, wanted in ((part.ic, whole.ic), (part.inputs, whole.inputs), (part.further["context"], whole.further["context"])):
        assert torch.equal(found.mean, wanted.mean[1:3])
        assert torch.equal(found.std, wanted.std[1:3])


class _Seen(AbstractLoss):
    """Prices and measures what it is shown."""

    def forward(self, seen):
        return {"of": seen.latents.factors.sum() + seen.params.sum() + seen.draw["normal"].sum(), "trials": seen.batch.recon.sum()}

    def measure(self, seen):
        return {"double": 2 * seen.params.sum()}


class _Silent(AbstractLoss):
    def forward(self, seen):
        return {"nothing": torch.tensor(float(len(seen.draw)))}


def test_a_loss_sees_its_sessions_trials_parameters_and_draws_and_sessions_are_averaged():
    rows, params = {"a": slice(0, 3), "b": slice(3, 5)}, {"a": torch.full((3, 1, 1, 1), 7.0), "b": torch.full((2, 1, 1, 1), 11.0)}
    output = ModelOutput(latents=latents_of(5), params=params, rows=rows)
    batches = {"a": Mock(spec=Batch, recon=torch.tensor(5.0)), "b": Mock(spec=Batch, recon=torch.tensor(13.0))}
    model = Mock(spec=LFADS, losses={name: {"seen": _Seen(), "silent": _Silent(), "other": None} for name in rows})
    noise = Mock(spec=Noise, losses={"a": {"seen": {"normal": torch.tensor([17.0])}}, "b": {"seen": {"normal": torch.tensor([19.0])}}})
    terms, measures = further_terms(model, ["seen", "silent"], batches, output, noise)
    factors = output.latents.factors
    assert {name: value.item() for name, value in terms.items()} == {
        "loss/seen/of": ((factors[:3].sum() + 21 + 17 + factors[3:].sum() + 22 + 19) / 2).item(),
        "loss/seen/trials": 9.0,
        "loss/silent/nothing": 0.0,
    }
    assert {name: value.item() for name, value in measures.items()} == {"loss/seen/double": 43.0}
    quiet = Mock(spec=Noise, losses={})
    assert further_terms(model, ["silent"], batches, output, quiet)[0]["loss/silent/nothing"] == 0


def test_a_latents_divergence_is_that_of_its_prior_at_its_own_draws_over_the_trials_that_count():
    def kl(mean, std, draw):
        return (mean + 2 * std + draw.get("normal", 0.0))[:, 0]

    output = Mock(spec=ModelOutput, latents=latents_of(3))
    model = Mock(spec=LFADS, latents={"context": Mock(prior=Mock(kl=kl))})
    q, draw = output.latents.further["context"], torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    each = (q.mean + 2 * q.std)[:, 0]
    noise, quiet = Mock(spec=Noise, latents_kl={"context": {"normal": draw}}), Mock(spec=Noise, latents_kl={})
    assert latent_divergences(model, output, quiet, None) == {"latent/context/kl": each.mean()}
    assert latent_divergences(model, output, noise, None) == {"latent/context/kl": (each + draw[:, 0]).mean()}
    weights = torch.tensor([1.0, 0.0, 1.0])
    assert latent_divergences(model, output, noise, weights) == {"latent/context/kl": (each + draw[:, 0])[[0, 2]].mean()}


def test_losses_and_latents_have_their_own_scales_and_ramps():
    half = RampConfig(start_epoch=0, increase_epochs=3)
    of = Objective(
        RegularisationConfig(kl_ic=3.0, kl_inputs=5.0, loss_scale=2.0, kl_ramp=half, l2_ramp=FULL),
        {"seen": LossConfig(scale=7.0, start_epoch=1, increase_epochs=1)},
        {"context": LatentConfig(kl=11.0)},
    )
    names = ["latent/context/kl", "latent/unpriced/kl", "loss/seen/of", "loss/seen/trials"]
    for dtype in (torch.float64, torch.float32):
        for epoch, kl, loss in ((0, 0.25, 0.0), (1, 0.5, 0.5), (9, 1.0, 1.0)):
            found = of.beside(epoch, names, torch.zeros(8, dtype=dtype))
            assert found.dtype == dtype
            wanted = [2.0, 2 * kl * 3, 2 * kl * 5, 2 * kl * 11, 0.0, 2 * loss * 7, 2 * loss * 7, 2.0]
            assert found.tolist() == wanted


def test_the_factors_of_a_step_are_rounded_as_the_device_would():
    third = RampConfig(start_epoch=0, increase_epochs=2)
    scales = {"kl_ic": 0.3, "kl_inputs": 0.013}  # whose product with a third depends on when it is rounded
    of = Objective(RegularisationConfig(**scales, loss_scale=1.0, kl_ramp=third, l2_ramp=third))
    exact = [1.0, 1 / 3 * 0.3, 1 / 3 * 0.013, 1 / 3]
    assert of.beside(0, [], torch.zeros(4, dtype=torch.float64)).tolist() == exact
    ramp_ = torch.tensor(1 / 3)
    rounded = of.beside(0, [], torch.zeros(4)).tolist()
    assert rounded == torch.stack([torch.tensor(1.0), ramp_ * 0.3, ramp_ * 0.013, ramp_]).tolist()
    assert rounded[1:3] != torch.tensor(exact[1:3]).tolist()


@pytest.mark.parametrize("on_device", [("kl", "l2", "losses"), ("l2",), ("losses",)])
def test_ramps_that_are_numbers_on_the_device_give_the_same_factors(on_device):
    fields = {"kl": 0.25, "l2": 0.75, "losses": {"seen": 0.5}}
    held = {
        name: {k: torch.tensor(v) for k, v in of.items()} if name == "losses" else torch.tensor(of)
        for name, of in fields.items()
        if name in on_device
    }
    config = RegularisationConfig(kl_ic=0.3, kl_inputs=0.7, loss_scale=2.0)
    of = LiveObjective(config, {"seen": LossConfig(scale=7.0)}, {"context": LatentConfig(kl=11.0)}, on_device=Weights(**fields | held))
    names = ["latent/context/kl", "latent/unpriced/kl", "loss/seen/of"]
    found = of.beside(5, names, torch.zeros(7))
    assert (found.dtype, found.shape) == (torch.float32, (7,))
    torch.testing.assert_close(found, torch.tensor([2.0, 0.5 * 0.3, 0.5 * 0.7, 0.5 * 11, 0.0, 7.0, 1.5]))


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("regularisation.kl_ic", {"kl_inputs": 1.0}),
        ("regularisation.kl_inputs", {"kl_ic": 1.0}),
        ("increase_epochs", {"kl_ic": 1.0, "kl_inputs": 1.0, "kl_ramp": RampConfig()}),
        ("components: seen: scale", {"kl_ic": 1.0, "kl_inputs": 1.0}),
        ("components.latents: context: kl", {"kl_ic": 1.0, "kl_inputs": 1.0}),
    ],
)
def test_a_scale_that_is_not_yet_known_is_named(key, settings):
    scale, kl = ("auto" if key.endswith(end) else 1.0 for end in ("scale", "context: kl"))
    losses, latents = {"seen": LossConfig(scale=scale, increase_epochs=0)}, {"context": LatentConfig(kl=kl)}
    of = Objective(RegularisationConfig(**{"kl_ramp": FULL, "l2_ramp": FULL} | settings), losses, latents)
    with pytest.raises(ConfigError, match=f"^{key}: must be a number once the recordings are known, got auto"):
        of.beside(0, ["latent/context/kl", "loss/seen/of"], torch.zeros(6))


def test_the_objective_of_a_run_has_its_scales_losses_and_latents():
    words = ["components.losses=[{name: behaviour, scale: 2.5}]", "components.latents=[{name: context, kl: 0.25}]", "regularisation.kl_ic=0.125"]
    of = Objective.of(resolve([], (), words, load_registry()))
    assert of.config.kl_ic == 0.125
    assert {name: loss.scale for name, loss in of.losses.items()} == {"behaviour": 2.5}
    assert {name: latent.kl for name, latent in of.latents.items()} == {"context": 0.25}
