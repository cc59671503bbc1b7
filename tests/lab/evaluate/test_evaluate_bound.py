"""What bounds on the likelihood are made of, against densities written out; several sessions; models and files that there are none for."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.stats
import torch

from lfads_core.augment.stack import AugmentationStack
from lfads_core.config.load import resolve
from lfads_core.data.loader import SplitTensors
from lfads_core.data.session import Session, Split
from lfads_core.errors import ConfigError, RunError
from lfads_core.infer.loading import LoadedRun
from lfads_core.infer.posterior import draw_samples
from lfads_core.model.build import prepare_model
from lfads_core.model.lfads import LFADS
from lfads_core.plugins import load_registry
from lfads_core.rng import stream
from lfads_core.runs import Run
from lfads_plugins_lab.evaluate.bound import bound_split, bounds_of, log_weights
from lfads_plugins_lab.evaluate.bound_files import bound_files

BINS, FIELDS = 7, ("nll", "kl_ic", "kl_inputs", "elbo", "iwae")


@pytest.fixture
def made(tiny_settings):
    """``made("mon", "tue")``: a model in float64 with weights that tell trials apart, and 5 and 6 validation trials of its sessions."""

    def make(*names, settings=()):
        registry, sessions = load_registry(), []
        config = resolve([], (), [*tiny_settings, *settings], registry)
        for number, name in enumerate(names):
            rng, splits = np.random.default_rng(number), {}
            for split, trials in (("train", 8), ("valid", 5 + number)):
                counts = rng.poisson(1.0 + number, (trials, BINS, 4)).astype(np.float32)
                splits[split] = Split(encod=counts, recon=counts, external=np.zeros((trials, BINS, 0), np.float32))
            sessions.append(Session(name=name, path=None, splits=splits))
        model = prepare_model(config, sessions, registry, "cpu").double().eval()
        with torch.no_grad():
            for number, p in enumerate(model.parameters()):
                p.add_(torch.randn(p.shape, generator=stream(number, "more"), dtype=p.dtype), alpha=0.2)
        found = {s.name: SplitTensors.from_split(s.splits["valid"], dtype=torch.float64) for s in sessions}
        return model, found

    return make


def taken(sources):
    return {name: source.take(torch.arange(source.trials)) for name, source in sources.items()}


def test_divergences_are_differences_of_log_densities_at_the_samples(made):
    """Inputs follow a stationary process, x_t = a x_{t-1} + normal noise of variance v, whose covariances are v a^|s - t| / (1 - a²)."""
    model, sources = made("mon")
    batches = taken(sources)
    draws = list(draw_samples(model, batches, 2, seed=5))
    means, log_vars = model.ic_prior.mean.detach().numpy(), model.ic_prior.log_var.detach().numpy()
    decays = np.exp(-1 / model.input_prior.log_tau.detach().exp().numpy())
    variances = model.input_prior.log_variance.detach().exp().numpy()
    apart = np.abs(np.arange(BINS)[:, None] - np.arange(BINS))
    with torch.no_grad():
        for noise, (nll, ic, inputs) in zip(draws, log_weights(model, batches, draws), strict=True):
            output = model(batches, noise)
            (q0, q) = ((one.mean.numpy(), one.std.numpy()) for one in (output.latents.ic, output.latents.inputs))
            z, u = q0[0] + q0[1] * noise.ic["normal"].numpy(), q[0] + q[1] * noise.inputs["normal"].numpy()
            ratio = scipy.stats.norm.logpdf(z, *q0) - scipy.stats.norm.logpdf(z, means, np.exp(log_vars / 2))
            np.testing.assert_allclose(ic, ratio.sum(axis=1), rtol=1e-9)
            log_p = np.zeros(len(u))
            for k, (a, v) in enumerate(zip(decays, variances, strict=True)):
                log_p += scipy.stats.multivariate_normal.logpdf(u[..., k], cov=v / (1 - a**2) * a**apart)
            np.testing.assert_allclose(inputs, scipy.stats.norm.logpdf(u, *q).sum(axis=(1, 2)) - log_p, rtol=1e-7)
            rates = model.reconstructions["mon"].mean(output.params["mon"]).numpy()
            counts = batches["mon"].recon.numpy()
            k = np.maximum(counts, 1)  # Stirling's formula in the place of the factorial, as the loss has it
            stirling = np.where(counts > 1, counts * np.log(k) - counts + 0.5 * np.log(2 * np.pi * k), 0.0)
            np.testing.assert_allclose(nll, (rates - counts * np.log(rates) + stirling).sum(axis=(1, 2)), rtol=1e-6)


def test_numbers_of_a_session_are_its_own_whatever_others_are_beside_it(made):
    model, sources = made("mon", "tue")
    sources["tue"] = replace(sources["tue"], recon=sources["tue"].recon.clone())
    sources["tue"].recon[:, 3] = torch.nan
    both = bound_split(model, AugmentationStack((), ()), sources, samples=3, batch_size=4, seed=2)
    assert list(both) == ["mon", "tue"]
    for name, source in sources.items():
        batch = {name: source.take(torch.arange(source.trials))}
        alone = bounds_of(model, batch, draw_samples(model, batch, 3, seed=2))
        for field in FIELDS:
            assert getattr(both[name], field).shape == (source.trials,)
            np.testing.assert_allclose(getattr(both[name], field), getattr(alone, field), rtol=1e-9)


@pytest.mark.parametrize("prior", ["ic_prior", "input_prior"])
def test_a_prior_without_density_is_named(prior, made):
    model, sources = made("mon", settings=(f"components.{prior}=null",))
    text = f"components.{prior}: must have a density for bounds on the likelihood, got a prior without. Train with another one."
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        bounds_of(model, taken(sources), draw_samples(model, taken(sources), 2, seed=0))


def test_further_latents_are_named():
    model = Mock(spec=LFADS, latents={"trial": None, "context": None})
    text = "components.latents: must be empty for bounds on the likelihood, got trial, context. Train without."
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        next(log_weights(model, {}, []))


def test_a_file_that_cannot_be_written_is_named(made, tmp_path):
    model, sources = made("mon")
    counts = sources["mon"].recon.float().numpy()
    split = Split(encod=counts, recon=counts, external=np.zeros((5, BINS, 0), np.float32))
    config = SimpleNamespace(infer=SimpleNamespace(batch_size=8), train=SimpleNamespace(seed=0))
    loaded = Mock(spec=LoadedRun, model=model.float(), config=config, infer_stack=AugmentationStack((), ()), run=Run(tmp_path))
    path = tmp_path / "lfads_bound_mon.h5"
    path.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lfads_plugins_lab.evaluate.bound_files.sessions_for", lambda *_: [Session(name="mon", path=None, splits={"valid": split})])
        with pytest.raises(RunError, match=f"^{re.escape(str(path))}: must be written in full, got: "):
            bound_files(loaded, None, samples=1, output=None)
    assert [one.name for one in tmp_path.iterdir()] == ["lfads_bound_mon.h5"]
