"""Further latents: a context of each trial, and one of each bin that a stranger brings."""

from __future__ import annotations

import csv
import re

import h5py
import numpy as np
import pytest
import torch

import lfads_core.builtin
import lfads_plugins_std.plugin
from lfads_core.components import AbstractLatent, LatentInfo
from lfads_core.components.batch import Batch
from lfads_core.config.load import resolve
from lfads_core.config.losses import LatentConfig
from lfads_core.errors import ConfigError, PluginError
from lfads_core.infer.loading import load
from lfads_core.pipeline.run import resume_run
from lfads_core.plugins import LatentSpec, Registry, hookimpl, load_registry
from lfads_core.rng import stream
from lfads_core.train.checkpoint import load_checkpoint
from lfads_core.train.progress import Display
from lfads_plugins_std.latent_settings import ContextConfig
from lfads_plugins_std.latents.context import Context
from lfads_plugins_std.normal import NormalPrior
from lfads_plugins_std.settings import NormalConfig


def test_a_context_is_read_from_the_average_of_a_layer_over_bins():
    part = Context(ContextConfig(size=2, hidden=4), LatentInfo(width=3, bins=6, rng=stream(0))).double()
    with torch.no_grad():
        for value in part.parameters():
            value.normal_(generator=stream(1, *value.shape))
    x = np.random.default_rng(0).normal(size=(5, 6, 3))
    w = {name: value.detach().numpy() for name, value in part.named_parameters()}
    units = np.tanh(x @ w["read.weight"].T + w["read.bias"]).mean(1)
    np.testing.assert_allclose(part(torch.tensor(x)).detach().numpy(), units @ w["posterior.weight"].T + w["posterior.bias"], rtol=1e-12)


@pytest.mark.parametrize("enters", ["generator", "initial"])
def test_a_context_enters_where_it_says_and_costs_its_divergence(enters, write_tiny, train_tiny):
    chosen = f"components.latents=[{{name: context, enters: {enters}, size: 3, variance: 0.5, kl: 0.2}}]"
    run = train_tiny(chosen, "regularisation.loss_scale=10", data=write_tiny(), name=enters).run
    model = load(run.path).model
    inputs = model.decoder.generator.input.shape[1]
    assert (inputs, model.decoder.to_generator.weight.shape[1]) == ((2 + 3, 4) if enters == "generator" else (2, 4 + 3))
    with run.fitlog.open() as file:
        for row in csv.DictReader(file):
            n = {key: float(value) for key, value in row.items() if value}
            kl = n["kl_ramp"] * (2e-5 * (n["valid/ic_kl"] + n["valid/input_kl"]) + 0.2 * n["valid/latent/context/kl"])
            assert n["valid/total"] == pytest.approx(10 * (n["valid/recon"] + n["l2_ramp"] * n["valid/l2"] + kl), rel=1e-5)
    outputs = load(run.path).outputs()
    assert outputs["valid_latent_context_mean"].shape == outputs["valid_latent_context_std"].shape == (6, 3)
    if enters == "generator":
        fed = outputs["valid_gen_inputs"][..., 2:]
        assert np.allclose(fed, fed[:, :1])  # the same in all bins


def test_the_divergence_of_a_context_is_that_of_two_normals(write_tiny, train_tiny):
    run = train_tiny("components.latents=[{name: context, variance: 0.5}]", "train.epochs=1", data=write_tiny()).run
    loaded = load(run.path, "last")
    out = loaded.outputs()
    mean, std = out["valid_latent_context_mean"].astype(float), out["valid_latent_context_std"].astype(float)
    wanted = 0.5 * (np.log(0.5) - 2 * np.log(std) + (std**2 + mean**2) / 0.5 - 1).sum(-1)
    prior = loaded.model.latents["context"].prior
    np.testing.assert_allclose(prior.kl(torch.tensor(mean), torch.tensor(std), {}).detach().numpy(), wanted, rtol=1e-5)


def test_a_resumed_run_with_a_context_is_the_run_that_was_never_interrupted(write_tiny, train_tiny):
    data, chosen = write_tiny(), "components.latents=[context]"
    whole = train_tiny(chosen, "train.epochs=4", data=data, name="whole").run
    half = train_tiny(chosen, "train.epochs=2", data=data, name="half").run
    resume_run(half.path, ["train.epochs=4"], load_registry(), Display())
    one, other = (load_checkpoint(run.checkpoints, "last").tensors["model"] for run in (whole, half))
    assert "latents.context.read.weight" in one
    assert all(torch.equal(one[name], other[name]) for name in one)


class Drift(AbstractLatent):
    """One number of each bin, read off the mean of the channels; of bins that are not encoded nothing is known."""

    size, per = 1, "bin"

    def __init__(self, info, enters):
        super().__init__()
        self.bins, self.enters = info.bins, enters
        self.weight = torch.nn.Parameter(torch.ones(2) * 0.1)
        self.prior = NormalPrior(NormalConfig(train_mean=False), 1)

    def forward(self, x):
        seen = x.mean(-1, keepdim=True) * self.weight
        return torch.nn.functional.pad(seen, (0, 0, 0, self.bins - x.shape[-2]))


class Stranger:
    def __init__(self, enters="generator"):
        self.enters = enters

    @hookimpl
    def lfads_latents(self):
        yield LatentSpec(name="drift", summary="Drift", config=LatentConfig, build=lambda _, info: Drift(info, self.enters))


def registry_of(enters="generator"):
    return Registry.from_plugins({"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "mine": Stranger(enters)})


def test_a_latent_of_each_bin_trains_and_is_inferred(write_tiny, train_tiny):
    import lfads_plugins_tune.plugin as tune

    registry = Registry.from_plugins({"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "tune": tune, "mine": Stranger()})
    run = train_tiny("components.latents=[drift, context]", data=write_tiny(), registry=registry).run
    outputs = load(run.path, registry=registry).outputs()
    assert outputs["valid_latent_drift_mean"].shape == (6, 8, 1)
    assert outputs["valid_gen_inputs"].shape == (6, 8, 2 + 1 + 2)
    loaded = load(run.path, registry=registry)
    sizes = {name: outputs[f"valid_latent_{name}_std"].shape for name in ("drift", "context")}
    assert sizes == {"drift": (6, 8, 1), "context": (6, 2)}
    with h5py.File(run.output("tiny")) as file:
        encod = torch.from_numpy(file["valid_encod_data"][()])
    read = loaded.model.read_in("tiny", Batch(encod=encod, recon=encod, external=encod[..., :0], trials=torch.arange(len(encod))))
    mean = loaded.model.latents["context"](read).chunk(2, dim=-1)[0].detach().numpy()
    np.testing.assert_allclose(outputs["valid_latent_context_mean"], mean, atol=1e-5)
    made = loaded.model.generate(torch.zeros(4, 8, 0), stream(0))
    assert made.gen_inputs.shape == (4, 8, 5)
    assert made.further["drift"].mean.shape == (4, 8, 1)


def test_a_latent_of_each_bin_cannot_stand_beside_the_initial_condition():
    from lfads_core.components import SessionInfo
    from lfads_core.model.build import build_model
    from lfads_core.model.description import ModelDescription

    registry = registry_of("initial")
    config = resolve([], [], ["components.latents=[drift]"], registry)
    info = SessionInfo(name="a", encod_channels=3, recon_channels=3, factors=0)
    text = "mine 0 (entry point 'mine'): the latent 'drift' must enter 'generator' if there is one of each bin, got 'initial'."
    with pytest.raises(PluginError, match=f"^{re.escape(text)}$"):
        build_model(config, ModelDescription(sessions=[info], encoded_bins=4, bins=4, external=0), registry)


def test_what_needs_one_bin_at_a_time_or_a_density_of_everything_refuses_further_latents(write_tiny, train_tiny):
    from lfads_plugins_lab.evaluate.bound import log_weights
    from lfads_plugins_lab.stream.model import StreamingModel

    causal = ("model.controller.causal=true", "model.encoder.read_bins=3")
    loaded = load(train_tiny("components.latents=[context]", *causal, "train.epochs=1", data=write_tiny()).run.path)
    text = "components.latents: must be empty for a model that streams, got context, inferred from whole trials. Train without."
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        StreamingModel.of(loaded)
    text = "components.latents: must be empty for bounds on the likelihood, got context. Train without."
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        next(log_weights(loaded.model, {}, []))


def test_one_word_adds_it():
    assert [part.name for part in resolve([], ["context"], [], load_registry()).components.latents] == ["context"]
