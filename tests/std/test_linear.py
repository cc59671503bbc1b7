"""Read-ins and read-outs: the affine algebra of principal-component regression, and what a file must hold for it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from lfads_core.components import SessionInfo
from lfads_core.errors import DataError
from lfads_core.model.build import slopes_at
from lfads_plugins_emg.gamma import Gamma
from lfads_plugins_std import plugin
from lfads_plugins_std.gaussian import MSE, Gaussian
from lfads_plugins_std.linear import (
    LinearReadin,
    LinearReadout,
    PCRReadout,
    build_linear_readin,
    build_linear_readout,
    build_pcr_readin,
    build_pcr_readout,
)
from lfads_plugins_std.poisson import Poisson
from lfads_plugins_std.settings import LinearReadinConfig, LinearReadoutConfig, PCRReadinConfig, PCRReadoutConfig

N, D = 7, 3


@pytest.fixture
def rng():
    return np.random.default_rng(2)


@pytest.fixture
def session(rng):
    arrays = {"readin_weight": rng.normal(size=(N, D)), "readout_bias": rng.normal(size=N)}
    return SessionInfo(name="monday", encod_channels=N, recon_channels=N, factors=D, n_params=2, arrays=arrays)


def test_a_pcr_readin_projects_what_differs_from_the_mean(session, rng):
    x = rng.normal(size=(4, 5, N))
    part = build_pcr_readin(PCRReadinConfig(), session).double()
    wanted = (x - session.arrays["readout_bias"]) @ session.arrays["readin_weight"]
    np.testing.assert_allclose(part(torch.as_tensor(x)).detach(), wanted, rtol=1e-12, atol=1e-12)
    assert part.size == D


def test_a_pcr_readout_undoes_the_projection_within_its_span(session, rng):
    """What lies in the span of the projection comes back whole through read-in and read-out."""
    weight, means = session.arrays["readin_weight"], session.arrays["readout_bias"]
    x = means + rng.normal(size=(4, 5, D)) @ np.linalg.pinv(weight)
    factors = build_pcr_readin(PCRReadinConfig(), session).double()(torch.as_tensor(x))
    back = build_pcr_readout(PCRReadoutConfig(), session).double()(factors)
    np.testing.assert_allclose(back[..., :N].detach(), x, rtol=1e-9, atol=1e-9)
    assert (back[..., N:] == 0).all()  # the second parameter of every channel starts at 0


def test_the_transpose_is_the_inverse_of_an_orthonormal_projection(session, rng):
    orthonormal = np.linalg.qr(rng.normal(size=(N, D)))[0]
    session = replace(session, arrays={**session.arrays, "readin_weight": orthonormal})
    transposed, inverted = (build_pcr_readout(PCRReadoutConfig(inverse=how), session) for how in ("transpose", "pinv"))
    torch.testing.assert_close(transposed.weight, inverted.weight, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(transposed.bias, inverted.bias, rtol=0, atol=0)


def test_read_in_and_out_are_trained_or_not_as_the_settings_say(session):
    assert not any(p.requires_grad for p in build_pcr_readin(PCRReadinConfig(), session).parameters())
    assert all(p.requires_grad for p in build_pcr_readin(PCRReadinConfig(trainable=True), session).parameters())
    assert all(p.requires_grad for p in build_pcr_readout(PCRReadoutConfig(), session).parameters())
    assert not any(p.requires_grad for p in build_pcr_readout(PCRReadoutConfig(trainable=False), session).parameters())


@pytest.mark.parametrize(
    ("key", "array", "text"),
    [
        ("readin_weight", None, "'readin_weight' of shape (7, D) in the file, got nothing."),
        ("readin_weight", np.zeros((5, D)), "'readin_weight' of shape (7, D) in the file, got (5, 3)."),
        ("readin_weight", np.zeros(N), "'readin_weight' of shape (7, D) in the file, got (7,)."),
        ("readout_bias", None, "'readout_bias' of shape (7,) in the file, got nothing."),
        ("readout_bias", np.zeros((N, 1)), "'readout_bias' of shape (7,) in the file, got (7, 1)."),
    ],
)
def test_a_file_without_a_fitting_alignment_is_refused(session, key, array, text):
    arrays = {k: v for k, v in session.arrays.items() if k != key} | ({} if array is None else {key: array})
    for build, settings in ((build_pcr_readin, PCRReadinConfig()), (build_pcr_readout, PCRReadoutConfig())):
        with pytest.raises(DataError, match=f"^{re.escape('monday: the read-in and read-out ' + repr('pcr') + ' need ' + text)}$"):
            build(settings, replace(session, arrays=arrays))


def test_a_pcr_readout_needs_as_many_factors_as_columns(session):
    text = "monday: 'readin_weight' must have as many columns as there are factors (8), got 3. Use --set model.generator.factors=3."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        build_pcr_readout(PCRReadoutConfig(), replace(session, factors=8))


def test_a_pcr_readin_takes_the_held_in_channels_which_come_first(session, rng):
    held = replace(session, recon_channels=N + 2, arrays={**session.arrays, "readout_bias": np.append(session.arrays["readout_bias"], [8.0, 9.0])})
    part, whole = (build_pcr_readin(PCRReadinConfig(), s) for s in (held, session))
    assert torch.equal(part.weight, whole.weight)
    assert torch.equal(part.bias, whole.bias)


def test_a_pcr_readout_needs_the_channels_of_the_readin(session):
    text = "monday: the read-out 'pcr' needs as many reconstructed channels as 'readin_weight' has rows (7), got 9. Use the read-out 'linear'."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        build_pcr_readout(PCRReadoutConfig(), replace(session, recon_channels=9))


def test_a_linear_readin_is_an_affine_map_of_the_chosen_width(session, rng):
    part = build_linear_readin(LinearReadinConfig(size=4), session)
    part.bias.data += 1
    x = torch.as_tensor(rng.normal(size=(2, 5, N)), dtype=torch.float32)
    torch.testing.assert_close(part(x), x @ part.weight.T + part.bias)
    assert part.size == part(x).shape[-1] == 4
    assert build_linear_readin(LinearReadinConfig(), session).size == D


def test_a_readout_lays_the_parameters_of_all_channels_side_by_side(session, rng):
    part = build_linear_readout(LinearReadoutConfig(), session)
    factors = torch.as_tensor(rng.normal(size=(2, 5, D)), dtype=torch.float32)
    out = part(factors)
    assert out.shape == (2, 5, 2 * N)
    torch.testing.assert_close(out, factors @ part.weight.T + part.bias)


def test_a_readout_starts_at_given_parameters_if_the_settings_ask(session):
    params = torch.arange(2.0 * N).reshape(N, 2)
    part = build_linear_readout(LinearReadoutConfig(), session)
    part.start_at(params)
    at_zero = part(torch.zeros(1, 1, D))[0, 0].unflatten(0, (2, N)).T
    assert torch.equal(at_zero, params)
    assert part.bias.requires_grad
    for other in (build_linear_readout(LinearReadoutConfig(start_at_mean=False), session), build_pcr_readout(PCRReadoutConfig(), session)):
        before = other.bias.detach().clone()
        other.start_at(params.to(before))
        assert torch.equal(other.bias, before)


def test_random_weights_have_the_published_spread_and_belong_to_seed_and_session(session):
    big = replace(session, encod_channels=400, recon_channels=300, factors=100)
    readin, readout = build_linear_readin(LinearReadinConfig(), big), build_linear_readout(LinearReadoutConfig(), big)
    for part, fan_in in ((readin, 400), (readout, 100)):
        weight = part.weight.detach()
        assert weight.std().item() == pytest.approx(fan_in**-0.5, rel=6 / (2 * weight.numel()) ** 0.5)
        assert abs(weight.mean().item()) < 6 * (fan_in * weight.numel()) ** -0.5
        assert (part.bias == 0).all()
    assert torch.equal(build_linear_readin(LinearReadinConfig(), big).weight, readin.weight)
    for other in (replace(big, name="tuesday"), replace(big, seed=1)):
        assert not torch.equal(build_linear_readin(LinearReadinConfig(), other).weight, readin.weight)


def test_every_part_is_built_by_its_name(session):
    readins = {spec.name: type(spec.build(spec.config(), session)) for spec in plugin.lfads_readins()}
    readouts = {spec.name: type(spec.build(spec.config(), session)) for spec in plugin.lfads_readouts()}
    assert readins == {"linear": LinearReadin, "pcr": LinearReadin}
    assert readouts == {"linear": LinearReadout, "pcr": PCRReadout}


def test_a_fixed_linear_readin_is_not_trained(session):
    part = build_linear_readin(LinearReadinConfig(trainable=False), session)
    assert not any(p.requires_grad for p in part.parameters())
    assert torch.equal(part.weight, build_linear_readin(LinearReadinConfig(), session).weight)


RECONSTRUCTIONS = [
    pytest.param(Poisson(), id="poisson"),
    pytest.param(MSE(), id="mse"),
    pytest.param(Gaussian(), id="gaussian"),
    pytest.param(Gamma(), id="gamma"),
]


@pytest.mark.parametrize("part", RECONSTRUCTIONS)
def test_a_pcr_readout_starts_where_expected_values_follow_the_factors_as_the_inverse_says(session, rng, part):
    info = replace(session, n_params=part.n_params)
    means = torch.as_tensor(rng.uniform(0.5, 2.0, N))
    params = part.params_from_mean(means)
    readout = build_pcr_readout(PCRReadoutConfig(), info).double()
    readout.start_near(params, slopes_at(part, params))
    factors = torch.zeros(1, 1, D, dtype=torch.float64, requires_grad=True)

    def expected(f):
        return part.mean(readout(f).unflatten(-1, (part.n_params, N)).movedim(-2, -1))[0, 0]

    torch.testing.assert_close(expected(factors), means)
    jacobian = torch.autograd.functional.jacobian(expected, factors)[:, 0, 0]
    torch.testing.assert_close(jacobian, torch.as_tensor(np.linalg.pinv(session.arrays["readin_weight"]).T))


def test_a_pcr_readout_keeps_the_files_numbers_if_the_settings_ask(session):
    readout = build_pcr_readout(PCRReadoutConfig(linearise=False), session)
    before = {name: p.detach().clone() for name, p in readout.named_parameters()}
    readout.start_near(torch.ones(N, 2, dtype=torch.float64), torch.ones(N, 2, dtype=torch.float64))
    assert all(torch.equal(p, before[name]) for name, p in readout.named_parameters())


def test_the_slopes_are_the_least_change_of_the_parameters_that_raises_the_mean_by_one():
    params = torch.tensor([[0.3, -0.4], [1.0, 2.0]], dtype=torch.float64)
    mean = torch.exp(params[:, 0] - params[:, 1])
    torch.testing.assert_close(slopes_at(Gamma(), params), torch.stack([0.5 / mean, -0.5 / mean], dim=-1))
    assert torch.equal(slopes_at(Gaussian(), params), torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64))
