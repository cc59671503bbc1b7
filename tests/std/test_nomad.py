"""The alignment 'nomad': its divergence against scipy and simulation, and what it keeps of the days before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from lfads_core.components import Latents, LossInfo, Posterior, SessionInfo
from lfads_core.plugins import AlignmentSpec, load_registry
from lfads_core.rng import stream
from lfads_core.testing import check_alignment
from lfads_plugins_std.alignment.nomad import Nomad, moments, normal_kl
from lfads_plugins_std.loss_settings import NomadConfig

G = 4


def normal(rng):
    root = rng.normal(size=(G, G))
    return rng.normal(size=G), root @ root.T + 0.1 * np.eye(G)


def latents(states):
    zero = torch.zeros(len(states), 1, dtype=states.dtype)
    start = states[:, 0]
    return Latents(
        ic=Posterior(mean=zero, std=zero), inputs=None, ci=None, gen_init=start, gen_states=states, gen_inputs=states, con_states=None, factors=states
    )


def build(**settings):
    session = SessionInfo(name="a", encod_channels=3, recon_channels=3, factors=2)
    return Nomad(NomadConfig(**settings), LossInfo(session=session, bins=6, states=G, inputs=0, rng=stream(0))).double()


def test_the_divergence_is_that_of_the_densities():
    rng = np.random.default_rng(0)
    (mean, covariance), (mean_0, covariance_0) = normal(rng), normal(rng)
    found = normal_kl(*map(torch.tensor, (mean, covariance, mean_0, covariance_0))).item()
    new, old = multivariate_normal(mean, covariance), multivariate_normal(mean_0, covariance_0)
    x = new.rvs(200_000, random_state=1)
    ratio = new.logpdf(x) - old.logpdf(x)
    assert found == pytest.approx(ratio.mean(), abs=5 * ratio.std() / np.sqrt(len(x)))
    inverse, apart = np.linalg.inv(covariance_0), mean_0 - mean
    size = np.linalg.slogdet(covariance_0)[1] - np.linalg.slogdet(covariance)[1]
    exact = 0.5 * (np.trace(inverse @ covariance) + apart @ inverse @ apart - G + size)
    assert found == pytest.approx(exact, rel=1e-12)


def test_moments_are_those_of_all_bins_of_all_trials():
    values = np.random.default_rng(0).normal(size=(5, 6, G))
    mean, covariance = moments(torch.tensor(values))
    np.testing.assert_allclose(mean, values.reshape(-1, G).mean(axis=0))
    np.testing.assert_allclose(covariance, np.cov(values.reshape(-1, G).T, bias=True))


@pytest.mark.parametrize("floor", [0.01, 0.5])
def test_a_distance_is_the_divergence_for_each_dimension_with_the_floor_in_both_covariances(floor):
    rng = np.random.default_rng(2)
    old, new = rng.normal(size=(8, 6, G)) @ rng.normal(size=(G, G)), 2 + rng.normal(size=(3, 6, G))
    part = build(floor=floor)
    part.meet(latents(torch.tensor(old)))
    (m0, s0), (m, s) = ((x.reshape(-1, G).mean(0), np.cov(x.reshape(-1, G).T, bias=True)) for x in (old, new))
    ground = floor * np.trace(s0) / G * np.eye(G)
    wanted = normal_kl(*map(torch.tensor, (m, s + ground, m0, s0 + ground))) / G
    found = part.distance(latents(torch.tensor(new)))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-12)
    assert part.distance(latents(torch.tensor(old))).item() == pytest.approx(0, abs=1e-12)
    shuffled = rng.permutation(old.reshape(-1, G)).reshape(6, 8, G)
    assert part.distance(latents(torch.tensor(shuffled))).item() == pytest.approx(0, abs=1e-12)  # no trial has its pair


def test_one_trial_of_states_that_do_not_move_has_a_finite_distance_and_gradient():
    part = build().float()
    part.meet(latents(torch.randn(9, 6, G, generator=stream(0))))
    states = torch.ones(1, 6, G, requires_grad=True)
    found = part.distance(latents(states))
    found.backward()
    assert found.isfinite()
    assert states.grad.isfinite().all()


def test_only_generator_states_count():
    part = build()
    states = torch.randn(9, 6, G, generator=stream(0), dtype=torch.float64)
    part.meet(latents(states))
    other = replace(latents(states), factors=states + 3, gen_init=states[:, 1])
    assert torch.equal(part.distance(other), part.distance(latents(states)))


def test_it_keeps_the_laws_of_alignments():
    check_alignment(load_registry().get(AlignmentSpec, "nomad"))
    check_alignment(load_registry().get(AlignmentSpec, "nomad"), NomadConfig(floor=0.3, scale=2.0))
