"""Encoders and generators that are chosen by name: runs from end to end, resumed, inferred, streamed, searched."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from lfads_core.components import AbstractEncoder, SessionInfo
from lfads_core.config.load import resolve
from lfads_core.errors import ConfigError
from lfads_core.infer.loading import load
from lfads_core.infer.run import infer_sessions
from lfads_core.model.build import build_model
from lfads_core.model.description import ModelDescription
from lfads_core.pipeline.run import resume_run
from lfads_core.plugins import EncoderSpec, NoSettings, Registry, hookimpl, load_registry
from lfads_core.train.checkpoint import load_checkpoint
from lfads_core.train.progress import Display

ENCODERS = ("gru", "lstm", "transformer")
GENERATORS = ("gru", "linear-dynamics", "low-rank", "mlp")
CHOSEN = [*(f"components.encoder={name}" for name in ENCODERS[1:]), *(f"components.generator={name}" for name in GENERATORS[1:])]


def weights(run, which="last"):
    return load_checkpoint(run.checkpoints, which).tensors["model"]


@pytest.mark.long
@pytest.mark.parametrize("chosen", CHOSEN)
def test_a_resumed_run_is_the_run_that_was_never_interrupted(chosen, train_tiny, write_tiny):
    data = write_tiny()
    whole = train_tiny(chosen, "train.epochs=4", data=data, name="whole").run
    half = train_tiny(chosen, "train.epochs=2", data=data, name="half").run
    went_on = resume_run(half.path, ["train.epochs=4"], load_registry(), Display()).run
    one, other = weights(whole), weights(went_on)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (whole.fitlog.read_text().splitlines()[1].split(",")[:5]) == (went_on.fitlog.read_text().splitlines()[1].split(",")[:5])


@pytest.mark.parametrize("name", ["transformer", "lstm", "mlp", "low-rank", "linear-dynamics"])
def test_one_word_chooses_it(name):
    config = resolve([], [name], [], load_registry())
    chosen = config.components.encoder if name in ENCODERS else config.components.generator
    assert chosen.name == name


def test_a_word_that_is_an_encoder_and_a_generator_is_asked_about():
    text = (
        "--plugin gru: must have one place, got an encoder and a generator. Say which: --set components.encoder=gru or --set components.generator=gru"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}"):
        resolve([], ["gru"], [], load_registry())


@pytest.mark.parametrize("chosen", CHOSEN)
def test_a_causal_model_streams_what_it_infers(chosen, train_tiny, write_tiny):
    from lfads_plugins_lab.stream.model import StreamingModel
    from lfads_plugins_lab.stream.run import stream_trial

    data = write_tiny()
    run = train_tiny(chosen, "model.controller.causal=true", "model.encoder.read_bins=3", "train.epochs=2", data=data).run
    loaded = load(run.path)
    from lfads_core.train.data import read_for

    sessions = read_for(loaded.config, run.data, loaded.registry)
    wanted = infer_sessions(loaded, sessions, samples=None, seed=0)["tiny"]["valid"]
    split = sessions[0].splits["valid"]
    got, _ = stream_trial(StreamingModel.of(loaded), split.encod[0], split.external[0])
    for field in ("output_params", "factors", "gen_states", "co_means"):
        np.testing.assert_allclose(got[field], getattr(wanted, field)[0], rtol=2e-4, atol=2e-5)


class BothWays(AbstractEncoder):
    """Knows of each bin what it read there; only ever in both directions."""

    def __init__(self, info):
        super().__init__()
        self.size, self.directions = info.width, 2

    def forward(self, x):
        return torch.stack([x, x.flip(-2)])


def build_both_ways(_settings, info):
    return BothWays(info)


class Stranger:
    @hookimpl
    def lfads_encoders(self):
        yield EncoderSpec(name="both-ways", summary="Both ways", config=NoSettings, build=build_both_ways)


@pytest.fixture(scope="module")
def with_stranger():
    import lfads_core.builtin
    import lfads_plugins_std.plugin

    return Registry.from_plugins({"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "mine": Stranger()})


def test_an_encoder_that_needs_later_bins_is_refused_where_a_model_must_be_causal(with_stranger):
    config = resolve([], ["both-ways"], ["model.controller.causal=true"], with_stranger)
    info = SessionInfo(name="a", encod_channels=3, recon_channels=3, factors=0)
    text = (
        "model.controller.causal: must be false with components.encoder: both-ways, which cannot read forwards alone, got true. "
        "Encoders that can: gru, lstm, transformer."
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        build_model(config, ModelDescription(sessions=[info], encoded_bins=4, bins=4, external=0), with_stranger)
