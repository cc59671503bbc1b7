"""The decoder: dropout at the published sites only, padding, models without controller, reproducible passes, generation."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import pytest
import torch

from backends import ON_CPU
from lfads_core.model.noise import DropoutMasks, Noise
from lfads_core.objective.total import kl_terms
from lfads_core.rng import stream


def full_masks(model, rate=0.5, trials=3):
    """Masks that drop nothing yet; kept values are still divided by 1 - rate."""
    masks = model.draw_noise(trials, stream(0), sample=False, dropout=True).dropout
    kept = {f.name: torch.full_like(m, 1 / (1 - rate)) for f in fields(masks) if isinstance(m := getattr(masks, f.name), torch.Tensor)}
    return DropoutMasks(**kept)


def latents_of(model, batch, masks=None, **noise):
    return model({"a": batch}, Noise(dropout=masks, **noise)).latents


def step(gru, drive, h):
    """One GRU step by hand: update, reset before the product, candidate."""
    (d_z, d_r, d_n), (u_z, u_r, u_n) = drive.chunk(3, dim=-1), gru.recurrent.chunk(3)
    z, r = torch.sigmoid(d_z + h @ u_z.T), torch.sigmoid(d_r + h @ u_r.T)
    return z * h + (1 - z) * torch.tanh(d_n + (r * h) @ u_n.T)


def test_masks_have_the_rate_and_shape_of_each_site(make_model):
    model = make_model("model.dropout=0.25")
    masks = model.draw_noise(2000, stream(0), sample=False, dropout=True).dropout
    shapes = {f.name: tuple(getattr(masks, f.name).shape[1:]) for f in fields(masks)}
    assert shapes == {
        "data": (7, 6),
        "ic_final": (10,),
        "gen_init": (7,),
        "gen_state": (9, 7),
        "external": (9, 2),
        "con_input": (9, 8 + 4),
    }
    for name in shapes:
        mask = getattr(masks, name)
        assert set(mask.unique().tolist()) == {0.0, 1 / 0.75}
        assert abs((mask > 0).double().mean() - 0.75) < 6 * (0.1875 / mask.numel()) ** 0.5


def test_rate_zero_and_models_without_controller_or_input_draw_no_such_masks(make_model):
    assert make_model("model.dropout=0").draw_noise(2, stream(0), sample=True, dropout=True).dropout is None
    assert make_model().draw_noise(2, stream(0), sample=True, dropout=False).dropout is None
    masks = make_model("model.controller=null", external=0).draw_noise(2, stream(0), sample=False, dropout=True).dropout
    assert masks.con_input is None
    assert masks.external is None


@pytest.mark.parametrize("backend", ON_CPU)
def test_each_mask_acts_where_it_is_published_and_nowhere_else(make_model, make_batch, usable, backend):
    """Zero one site's mask at a time, all others keeping everything, and see by hand what must follow."""
    model, batch = make_model(), make_batch()
    model.loops = usable(backend)
    full = full_masks(model)
    base = latents_of(model, batch, full)

    def without(site, where=slice(None)):
        mask = getattr(full, site).clone()
        mask[where] = 0
        return latents_of(model, batch, replace(full, **{site: mask}))

    silent = latents_of(model, replace(batch, encod=torch.zeros_like(batch.encod)), full)
    torch.testing.assert_close(without("data").factors, silent.factors)

    torch.testing.assert_close(without("ic_final").ic.mean, model.encoder.posterior.bias[:3].expand(3, -1))
    torch.testing.assert_close(without("ic_final").ci, base.ci)

    unfed = without("external")
    assert (unfed.gen_inputs[..., 2:] == 0).all()
    torch.testing.assert_close(base.gen_inputs[..., 2:], batch.external / 0.5)

    last = without("gen_state", (slice(None), 8))  # the last bin's factors feed no controller any more
    assert (last.factors[:, 8] == 0).all()
    torch.testing.assert_close(last.gen_states, base.gen_states)
    earlier = without("gen_state", (slice(None), 3))
    assert (earlier.factors[:, 3] == 0).all()
    torch.testing.assert_close(earlier.gen_states[:, :4], base.gen_states[:, :4])
    assert not torch.allclose(earlier.con_states[:, 4], base.con_states[:, 4])

    unstarted = without("gen_init")
    torch.testing.assert_close(unstarted.gen_init, base.gen_init)  # the state itself keeps everything
    gen = model.decoder.generator
    first = step(gen, unstarted.gen_inputs[:, 0] @ gen.input.T + gen.bias, unstarted.gen_init)
    torch.testing.assert_close(unstarted.gen_states[:, 0], first)
    assert not torch.allclose(unstarted.con_states[:, 0], base.con_states[:, 0])

    deaf = without("con_input")
    h, weights = model.decoder.controller.h0.expand(3, -1), model.decoder.controller.gru
    for t in range(3):  # the controller runs on its bias alone
        h = step(weights, weights.bias, h)
        torch.testing.assert_close(deaf.con_states[:, t], h)


@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_the_share_of_units_that_are_dropped_is_that_of_the_settings(make_model, rate):
    masks = vars(make_model(f"model.dropout={rate}").draw_noise(400, stream(0), sample=False, dropout=True).dropout)
    assert len(masks) == 6
    for mask in masks.values():
        kept = mask[mask != 0]
        torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - rate)))
        assert abs(kept.numel() / mask.numel() - (1 - rate)) < 5 * (rate * (1 - rate) / mask.numel()) ** 0.5


def test_masks_that_keep_everything_at_rate_zero_change_nothing(make_model, make_batch):
    model, batch = make_model(), make_batch()
    torch.testing.assert_close(latents_of(model, batch, full_masks(model, rate=0.0)).factors, latents_of(model, batch).factors)


def test_external_input_that_ends_early_is_zero_from_there(make_model, make_batch):
    model, batch = make_model(), make_batch(external_bins=4)
    padded = replace(batch, external=torch.cat([batch.external, batch.external.new_zeros(3, 5, 2)], dim=1))
    one, other = latents_of(model, batch), latents_of(model, padded)
    assert torch.equal(one.factors, other.factors)
    assert (one.gen_inputs[:, 4:, 2:] == 0).all()


@pytest.mark.parametrize("external", [0, 2])
def test_without_a_controller_the_dynamics_are_autonomous(make_model, make_batch, external):
    model, batch = make_model("model.controller=null", external=external), make_batch(external=external)
    noise = model.draw_noise(3, stream(0), sample=True, dropout=True)
    assert noise.inputs is None
    assert noise.inputs_kl is None
    output = model({"a": batch}, noise)
    latents = output.latents
    assert latents.inputs is latents.ci is latents.con_states is None
    still = model({"a": batch}, model.draw_noise(3, stream(0), sample=False, dropout=False)).latents
    torch.testing.assert_close(still.gen_inputs, batch.external)
    ic_kl, input_kl = kl_terms(model, output, noise)
    assert ic_kl > 0
    assert input_kl == 0
    assert not any(name.startswith(("input_encoder", "input_prior", "decoder.controller")) for name in model.state_dict())


def test_null_priors_work_with_and_without_a_controller(make_model, make_batch):
    for name, *overrides in (('"null"',), ("null",), ('"null"', "model.controller=null")):
        model = make_model(f"components.ic_prior={name}", f"components.input_prior={name}", *overrides)
        noise = model.draw_noise(3, stream(0), sample=True, dropout=True)
        output = model({"a": make_batch()}, noise)
        assert [float(kl) for kl in kl_terms(model, output, noise)] == [0.0, 0.0]
        output.params["a"].sum().backward()
        drawn = model.generate(torch.zeros(4, 9, 2, dtype=torch.float64), stream(0))
        assert drawn.factors.isfinite().all()


def test_without_noise_the_posterior_means_are_decoded(make_model, make_batch):
    model, batch = make_model(), make_batch()
    mean, noise = latents_of(model, batch), model.draw_noise(3, stream(0), sample=True, dropout=False)
    torch.testing.assert_close(mean.gen_inputs[..., :2], mean.inputs.mean)
    torch.testing.assert_close(mean.gen_init, model.decoder.to_generator(mean.ic.mean))
    drawn = latents_of(model, batch, ic=noise.ic, inputs=noise.inputs)
    torch.testing.assert_close(drawn.gen_init, model.decoder.to_generator(mean.ic.mean + mean.ic.std * noise.ic["normal"]))
    torch.testing.assert_close(drawn.gen_inputs[..., :2], drawn.inputs.mean + drawn.inputs.std * noise.inputs["normal"])


def test_the_same_noise_gives_the_same_output_and_nothing_is_remembered(make_model, make_batch):
    model, batch = make_model(), make_batch()
    noise = model.draw_noise(3, stream(0), sample=True, dropout=True)
    first = latents_of(model, batch, noise.dropout, ic=noise.ic, inputs=noise.inputs).factors
    state = copy.deepcopy(model.state_dict())
    model({"a": make_batch(5, seed=9)}, model.draw_noise(5, stream(1), sample=True, dropout=True))
    again = latents_of(model, batch, noise.dropout, ic=noise.ic, inputs=noise.inputs).factors
    assert torch.equal(first, again)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_noise_comes_again_with_the_seed_and_only_with_it(make_model):
    model = make_model()
    one, same, other = (model.draw_noise(3, stream(seed), sample=True, dropout=True) for seed in (1, 1, 2))
    for draw in ("ic", "inputs", "ic_kl", "inputs_kl"):
        assert torch.equal(getattr(one, draw)["normal"], getattr(same, draw)["normal"])
        assert not torch.equal(getattr(one, draw)["normal"], getattr(other, draw)["normal"])
    assert not torch.equal(one.ic["normal"], one.ic_kl["normal"])
    assert torch.equal(one.dropout.data, same.dropout.data)


def test_states_stay_within_the_clip(make_model, make_batch):
    latents = latents_of(make_model("model.cell_clip=0.1"), make_batch())
    for states in (latents.gen_states, latents.con_states, latents.ci):
        assert states.abs().max() <= 0.1


def test_new_trials_come_from_the_priors(make_model):
    model = make_model()
    external = torch.zeros(4000, 9, 2, dtype=torch.float64)
    drawn = model.generate(external, stream(0))
    assert torch.equal(drawn.factors, model.generate(external, stream(0)).factors)
    assert drawn.inputs is drawn.con_states is drawn.ci is None
    assert drawn.gen_inputs.shape == (4000, 9, 4)
    variance = torch.exp(model.ic_prior.log_var[0]).item()
    assert drawn.ic.mean.var().item() == pytest.approx(variance, rel=6 * (2 / 12_000) ** 0.5)
    prior = model.input_prior
    stationary = (prior.log_variance.exp() / (1 - torch.exp(-2 * torch.exp(-prior.log_tau))))[0].item()
    assert drawn.gen_inputs[:, 5, :2].var().item() == pytest.approx(stationary, rel=6 * (2 / 8000) ** 0.5)
