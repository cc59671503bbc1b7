"""Bounds on the likelihood of trials, against integration over a latent space of one dimension."""

from __future__ import annotations

import itertools
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy import integrate, special, stats

import lfads_core
from lfads_core.augment.stack import AugmentationStack
from lfads_core.cli.main import cli
from lfads_core.components import AbstractAugmentation
from lfads_core.config.load import resolve
from lfads_core.data.loader import SplitTensors
from lfads_core.errors import ConfigError
from lfads_core.infer.posterior import draw_samples
from lfads_core.model.build import prepare_model
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import Encoded, Posterior
from lfads_core.plugins import load_registry
from lfads_core.rng import stream
from lfads_core.train.data import read_for
from lfads_plugins_lab.evaluate.bound import bound_split, bounds_of, log_weights
from lfads_plugins_lab.evaluate.bound_files import MEANINGS, bound_files

NOTHING = AugmentationStack((), ())


@pytest.fixture
def small(write_tiny, tiny_settings):
    """``small(*overrides, controller=False)``: a model in float64 and its validation trials."""

    def make(*overrides, controller=False):
        registry = load_registry()
        sizes = [text for text in tiny_settings if controller or "controller" not in text]
        config = resolve([], (), [*sizes, *([] if controller else ["model.controller=null"]), *overrides], registry)
        sessions = read_for(config, [write_tiny()], registry)
        model = prepare_model(config, sessions, registry, "cpu").double()
        with torch.no_grad():
            for number, p in enumerate(model.parameters()):
                p.add_(torch.randn(p.shape, generator=stream(number, "more"), dtype=p.dtype), alpha=0.2)
        source = SplitTensors.from_split(sessions[0].splits["valid"], extras=())
        batch = source.take(torch.arange(6))
        return model, {"tiny": replace(batch, encod=batch.encod.double(), recon=batch.recon.double(), external=batch.external.double())}

    return make


def log_likelihoods(model, batches):
    """ln p(x) of each trial by integrating p(x | z) p(z) over the one dimension of z."""
    (batch,) = batches.values()
    grid = np.linspace(-4, 4, 1001)
    found = []
    for trial in range(6):
        z = torch.tensor(grid)[:, None]
        encoded = Encoded(ic=Posterior(mean=z, std=torch.zeros_like(z)), ci=None)
        with torch.no_grad():
            latents = model.unroll(encoded, batch.external[:1].expand(len(grid), -1, -1), model.standardise(Noise()))
            rate = torch.exp(model.read_out("tiny", latents.factors)[..., 0]).numpy()
        counts = batch.recon[trial].numpy()
        stirling = np.where(counts > 1, counts * np.log(np.maximum(counts, 1)) - counts + 0.5 * np.log(2 * np.pi * np.maximum(counts, 1)), 0)
        log_p = (counts * np.log(rate) - rate - stirling).sum((1, 2)) + stats.norm(
            model.ic_prior.mean.item(), np.exp(model.ic_prior.log_var.item() / 2)
        ).logpdf(grid)
        found.append(np.log(integrate.simpson(np.exp(log_p - log_p.max()), x=grid)) + log_p.max())
    return np.array(found)


@pytest.mark.long
def test_the_bound_of_many_samples_is_the_likelihood_by_integration_and_the_elbo_lies_below(small):
    model, batches = small("model.generator.ic_size=1")
    exact = log_likelihoods(model, batches)
    many = bounds_of(model, batches, draw_samples(model, batches, 1200, seed=1))
    np.testing.assert_allclose(many.iwae, exact, rtol=0, atol=0.2)
    assert (many.elbo < exact).all()
    assert (many.elbo < many.iwae).all()
    np.testing.assert_allclose(many.elbo, -(many.nll + many.kl_ic + many.kl_inputs), rtol=1e-12)
    assert (many.kl_inputs == 0).all()


def test_the_bound_is_the_logarithm_of_the_mean_weight(small):
    model, batches = small("model.generator.ic_size=2", controller=True)
    draws = list(draw_samples(model, batches, 3, seed=1))
    with torch.no_grad():
        log_w = -np.array([[part.numpy() for part in parts] for parts in log_weights(model, batches, draws)]).sum(axis=1)
    np.testing.assert_allclose(bounds_of(model, batches, draws).iwae, special.logsumexp(log_w, axis=0) - np.log(3), rtol=1e-12)


@pytest.mark.parametrize("controller", [False, True])
def test_one_sample_is_the_elbo_on_average_and_more_samples_only_raise_the_bound(small, controller):
    model, batches = small(controller=controller)
    with torch.no_grad():
        rows = [torch.stack(parts).sum(0) for parts in log_weights(model, batches, draw_samples(model, batches, 48, seed=2))]
    log_w = -torch.stack(rows)
    elbo = bounds_of(model, batches, draw_samples(model, batches, 48, seed=2)).elbo
    expected = []
    for k in (1, 4, 12, 24, 48):
        by_k = torch.logsumexp(log_w.view(-1, k, 6), dim=1) - np.log(k)
        expected.append(by_k.mean(0).numpy())
    np.testing.assert_allclose(expected[0], elbo, rtol=1e-10)
    for fewer, more in itertools.pairwise(expected):
        assert (more >= fewer - 1e-12).all()  # Jensen, within every group of samples


def test_numbers_of_a_trial_do_not_depend_on_its_batch_and_the_first_sample_is_of_many(small):
    model, batches = small(controller=True)
    batch = batches["tiny"]
    source = {"tiny": SplitTensors(encod=batch.encod, recon=batch.recon, external=batch.external)}
    whole, parted = (bound_split(model, NOTHING, source, samples=3, batch_size=size, seed=4)["tiny"] for size in (6, 2))
    for name in ("nll", "kl_ic", "kl_inputs", "elbo", "iwae"):
        np.testing.assert_allclose(getattr(whole, name), getattr(parted, name), rtol=1e-10)


def test_bounds_come_again_with_the_seed_and_only_with_it(small):
    model, batches = small(controller=True)
    source = {"tiny": SplitTensors(encod=batches["tiny"].encod, recon=batches["tiny"].recon, external=batches["tiny"].external)}
    one, same, other = (bound_split(model, NOTHING, source, samples=2, batch_size=6, seed=seed)["tiny"].elbo for seed in (4, 4, 5))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


class _Noisy(AbstractAugmentation):
    """Adds a random number of its own to what encoders read after the first bins."""

    name = "noisy"

    def draw(self, batch, rng):
        return {"shift": torch.randn((), generator=rng, dtype=batch.encod.dtype)}

    def augment(self, batch, noise):
        encod = batch.encod.clone()
        encod[:, batch.ic_bins :] += noise["shift"]
        return replace(batch, encod=encod)


def test_augmentations_of_inference_act_on_bounds_with_the_seed_and_the_batch(small):
    model, batches = small("model.encoder.ic_bins=2", controller=True)
    batch = batches["tiny"]
    source = {"tiny": SplitTensors(encod=batch.encod, recon=batch.recon, external=batch.external)}
    stack, shifts = AugmentationStack((_Noisy(),), ()), []
    for number in (0, 1):
        rng = stream(4, "infer augmentations", number)
        shifts.append(torch.randn((), generator=rng, dtype=batch.encod.dtype))
    found = bound_split(model, stack, source, samples=2, batch_size=3, seed=4)["tiny"]
    encod = batch.encod.clone()
    encod[:3, 2:] += shifts[0]
    encod[3:, 2:] += shifts[1]
    by_hand = bound_split(model, NOTHING, {"tiny": replace(source["tiny"], encod=encod)}, samples=2, batch_size=3, seed=4)["tiny"]
    np.testing.assert_allclose(found.elbo, by_hand.elbo, rtol=1e-12)
    assert shifts[0] != shifts[1]


def test_unobserved_values_cost_nothing(small):
    model, batches = small(controller=True)
    holes = batches["tiny"].recon.clone()
    holes[:, 4:] = float("nan")
    draws = list(draw_samples(model, batches, 2, seed=0))
    parted = bounds_of(model, {"tiny": replace(batches["tiny"], recon=holes)}, draws)
    output = [model(batches, noise) for noise in draws]
    with torch.no_grad():
        per_value = torch.stack([model.reconstructions["tiny"].nll(one.params["tiny"], batches["tiny"].recon) for one in output])
    np.testing.assert_allclose(parted.nll, per_value[:, :, :4].sum((2, 3)).mean(0).numpy(), rtol=1e-10)


def test_a_prior_without_density_is_refused(small):
    model, batches = small("components.ic_prior=null")
    with pytest.raises(ConfigError) as caught:
        bounds_of(model, batches, draw_samples(model, batches, 2, seed=0))
    assert str(caught.value) == "components.ic_prior: must have a density for bounds on the likelihood, got a prior without. Train with another one."


def test_the_command_writes_every_trials_numbers(train_tiny):
    run = train_tiny("train.epochs=2").run
    done = CliRunner().invoke(cli, ["bound", str(run.path), "--samples", "4"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.startswith("tiny: train/elbo ")
    loaded = lfads_core.load(run.path)
    with h5py.File(run.path / "lfads_bound_tiny.h5") as file:
        assert set(file) == {f"{s}_{f}" for s in ("train", "valid") for f in ("nll", "kl_ic", "kl_inputs", "elbo", "iwae")} | {
            "prior_ic_mean",
            "prior_ic_std",
        }
        assert file["train_elbo"].shape == (12,)
        assert file["train_elbo"].attrs["unit"] == "nats"
        assert file.attrs["lfads_posterior_samples"] == 4
        np.testing.assert_allclose(file["prior_ic_mean"][()], loaded.parameters()["ic_prior.mean"])
        np.testing.assert_allclose(file["prior_ic_std"][()] ** 2, np.exp(loaded.parameters()["ic_prior.log_var"]), rtol=1e-6)


def test_bounds_of_other_recordings_are_theirs_and_go_where_they_are_told(train_tiny, write_tiny, tmp_path):
    run = train_tiny("train.epochs=1", "train.seed=3").run
    loaded = lfads_core.load(run.path)
    other = write_tiny("other.h5", seed=9)
    folder = tmp_path / "to be" / "made"
    (path, means), *none = bound_files(loaded, [other], samples=2, output=folder / "of other.h5").values()
    assert none == []
    assert path == folder / "of other.h5"
    own = bound_files(loaded, None, samples=2, output=folder)["tiny"]
    assert own[0] == folder / "lfads_bound_tiny.h5"
    assert own[1].keys() == means.keys()
    assert own[1] != means
    with h5py.File(path) as file:
        assert {name: file[name.replace("/", "_")][()].mean() for name in means} == pytest.approx(means)
        for name, meaning in MEANINGS.items():
            assert dict(file[f"valid_{name}"].attrs) == {"meaning": meaning, "unit": "nats"}
        assert file["prior_ic_mean"].attrs["unit"] == "arbitrary"
        source = {"tiny": SplitTensors.from_split(read_for(loaded.config, [other], loaded.registry)[0].splits["valid"], extras=())}
    batch = source["tiny"].take(torch.arange(source["tiny"].trials))
    wanted = bounds_of(loaded.model, {"tiny": batch}, draw_samples(loaded.model, {"tiny": batch}, 2, seed=3))
    assert means["valid/elbo"] == pytest.approx(wanted.elbo.mean())
    assert bound_files(loaded, None, samples=2, output=None)["tiny"][0] == run.path / "lfads_bound_tiny.h5"


def test_bounds_of_several_sessions_go_into_a_folder(train_tiny, write_tiny, tmp_path):
    run = train_tiny("train.epochs=1", data=[write_tiny("a.h5"), write_tiny("b.h5", seed=5)]).run
    loaded = lfads_core.load(run.path)
    found = bound_files(loaded, None, samples=2, output=tmp_path / "bounds")
    assert {name: path for name, (path, _) in found.items()} == {name: tmp_path / "bounds" / f"lfads_bound_{name}.h5" for name in ("a", "b")}
    assert all(path.is_file() for path, _ in found.values())
    assert found["a"][1] != found["b"][1]
