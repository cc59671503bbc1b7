"""Bin-by-bin inference: equal to the pass over whole trials, whatever the causal model is; and the command."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import lfads_core
from lfads_core.cli.main import cli
from lfads_core.errors import ConfigError, DataError
from lfads_core.infer.run import infer_sessions
from lfads_core.model.noise import StandardNoise
from lfads_core.model.outputs import Encoded, Posterior
from lfads_core.train.data import read_for
from lfads_plugins_lab.stream.model import StreamingModel, require_causal, typical_start
from lfads_plugins_lab.stream.run import Latency, stream_trial

CASES = {
    "a segment": ["model.controller.causal=true", "model.encoder.ic_bins=3"],
    "a few bins": ["model.controller.causal=true", "model.encoder.read_bins=3"],
    "no lag": ["model.controller.causal=true", "model.controller.lag_bins=0", "model.encoder.read_bins=2"],
    "long lag": ["model.controller.causal=true", "model.controller.lag_bins=4", "model.encoder.read_bins=3"],
    "no feedback": ["model.controller.causal=true", "model.controller.feedback=none", "model.encoder.read_bins=3"],
    "rates fed back": ["model.controller.causal=true", "model.controller.feedback=rates", "model.encoder.ic_bins=2"],
    "external inputs through the encoders": ["model.controller.causal=true", "model.external_inputs=encoders", "model.encoder.read_bins=3"],
    "autonomous": ["model.controller=null", "model.encoder.read_bins=3"],
    "read in": ["model.controller.causal=true", "components.readin=linear", "model.encoder.read_bins=3"],
}


def external(rng):
    return {f"{split}_ext_input": rng.normal(size=(trials, 8, 2)).astype(np.float32) for split, trials in (("train", 12), ("valid", 6))}


@pytest.fixture
def causal(train_tiny, write_tiny):
    """``causal(*overrides)``: a trained run with external inputs, and its only session."""

    def make(*overrides):
        run = train_tiny(*overrides, "train.epochs=2", data=write_tiny(**external(np.random.default_rng(5)))).run
        loaded = lfads_core.load(run.path)
        (session,) = read_for(loaded.config, loaded.run.data, loaded.registry)
        return loaded, session

    return make


def autonomous(tmp_path, write_tiny, tiny_settings):
    from lfads_core.config.load import resolve
    from lfads_core.model.build import prepare_model
    from lfads_core.model.description import describe
    from lfads_core.plugins import load_registry

    registry = load_registry()
    overrides = [*(text for text in tiny_settings if "controller" not in text), *CASES["autonomous"]]
    config = resolve([], (), overrides, registry)
    sessions = read_for(config, [write_tiny(**external(np.random.default_rng(5)))], registry)
    return config, prepare_model(config, sessions, registry, "cpu"), describe(sessions), sessions[0]


@pytest.mark.long
@pytest.mark.parametrize("overrides", [case for name, case in CASES.items() if name != "autonomous"], ids=[n for n in CASES if n != "autonomous"])
def test_bin_by_bin_is_the_pass_over_whole_trials(overrides, causal):
    loaded, session = causal(*overrides)
    whole = infer_sessions(loaded, [session], samples=None, seed=0)["tiny"]["valid"]
    streaming = StreamingModel.of(loaded)
    data = session.splits["valid"]
    for trial, (encod, given) in enumerate(zip(data.encod, data.external, strict=True)):
        found, times = stream_trial(streaming, encod, given)
        assert len(times) == 8
        for field, value in found.items():
            np.testing.assert_allclose(value, getattr(whole, field)[trial], rtol=0, atol=1e-6, err_msg=field)


def test_an_autonomous_model_streams_too(tmp_path, write_tiny, tiny_settings):
    config, model, description, session = autonomous(tmp_path, write_tiny, tiny_settings)
    streaming = StreamingModel(config, model.double(), description)
    data = session.splits["valid"]
    x, given = torch.as_tensor(data.encod[:1]).double(), torch.as_tensor(data.external[:1]).double()
    with torch.no_grad():
        latents = model.unroll(model.encode(x, None), given, StandardNoise())
    found, _ = stream_trial(streaming, data.encod[0], data.external[0])
    np.testing.assert_allclose(found["factors"], latents.factors[0].numpy(), rtol=0, atol=1e-12)
    assert found["co_means"].shape == (8, 0)


@pytest.mark.parametrize("segment", ["model.encoder.ic_bins=3", "model.encoder.read_bins=3"])
def test_bins_become_known_when_the_segment_is_there_and_then_at_once(segment, causal):
    loaded, session = causal("model.controller.causal=true", segment)
    streaming = StreamingModel.of(loaded)
    assert streaming.waits == 3
    encod = session.splits["valid"].encod[0]
    known = [(part.first_bin, part.bins) for part in (streaming.push(counts) for counts in encod)]
    assert known == [(0, 0), (0, 0), (0, 3), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1)]
    assert streaming.push(encod[0]).first_bin == 8  # a trial may be longer than those of the training


def test_a_given_start_answers_every_bin_at_once_as_the_same_decoding_does(causal):
    loaded, session = causal("model.controller.causal=true")
    start = typical_start(loaded, "tiny")
    np.testing.assert_allclose(start, loaded.outputs()["train_ic_mean"].mean(0))
    streaming = StreamingModel.of(loaded, start=start)
    assert streaming.waits == 0
    data, model = session.splits["valid"], loaded.model
    x, given = torch.as_tensor(data.encod[:1]), torch.as_tensor(data.external[:1])
    with torch.no_grad():
        mean = torch.as_tensor(start)[None]
        latents = model.unroll(Encoded(ic=Posterior(mean=mean, std=mean), ci=model.encode(x, None).ci), given, StandardNoise())
    found, _ = stream_trial(streaming, data.encod[0], data.external[0])
    np.testing.assert_allclose(found["factors"], latents.factors[0].numpy(), rtol=0, atol=1e-6)
    assert [streaming.push(data.encod[0, 0]).bins for _ in range(2)] == [1, 1]


def test_what_cannot_stream_says_what_to_train(causal):
    loaded, _ = causal()
    with pytest.raises(ConfigError) as caught:
        require_causal(loaded.config, given=False)
    assert str(caught.value) == (
        "model.controller.causal: must be true for a model that streams, which may infer inputs from the past alone, got false. "
        "Train with --set model.controller.causal=true."
    )


def test_a_causal_model_without_a_segment_needs_a_start_and_shapes_are_checked(causal):
    loaded, _ = causal("model.controller.causal=true")
    with pytest.raises(ConfigError) as caught:
        StreamingModel.of(loaded)
    assert str(caught.value) == (
        "model.encoder.read_bins: must say from which first bins a model that streams reads its initial condition, got null. "
        "Train with --set model.encoder.read_bins=K, or start from a given one (`--start typical`)."
    )
    with pytest.raises(DataError, match=r"^start: must be one initial condition of shape \(4,\), got \(3,\)\.$"):
        StreamingModel.of(loaded, start=np.zeros(3))
    streaming = StreamingModel.of(loaded, start=np.zeros(4))
    with pytest.raises(DataError, match=r"^counts: must have shape \(5,\), one value for each of the model's, got \(4,\)\.$"):
        streaming.push(np.zeros(4))
    with pytest.raises(DataError, match=r"^session: must be one the model knows \(tiny\), got 'other'\.$"):
        StreamingModel.of(loaded, session="other", start=np.zeros(4))


def test_latency_is_the_median_and_99th_percentile():
    found = Latency.of([i / 1000 for i in range(1, 101)])
    assert (found.bins, found.median_ms, found.max_ms) == (100, pytest.approx(50.5), pytest.approx(100))
    assert found.p99_ms == pytest.approx(99.01)


@pytest.mark.parametrize("start", ["segment", "typical"])
def test_the_command_streams_the_runs_own_data_and_writes_what_it_found(start, causal):
    loaded, session = causal("model.controller.causal=true", "model.encoder.read_bins=3")
    done = CliRunner().invoke(cli, ["stream", str(loaded.run.path), "--start", start], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.startswith("tiny: 48 bins, median ")
    with h5py.File(loaded.run.path / "lfads_stream_tiny.h5") as file:
        assert file["valid_output_params"].shape == (6, 8, 5)
        assert file["valid_latency_ms"].shape == (6, 8)
        assert file.attrs["waits_bins"] == {"segment": 3, "typical": 0}[start]
        assert file.attrs["p99_ms"] == pytest.approx(np.percentile(file["valid_latency_ms"][()], 99))
        if start == "segment":
            whole = infer_sessions(loaded, [session], samples=None, seed=0)["tiny"]["valid"]
            np.testing.assert_allclose(file["valid_output_params"][()], whole.output_params, rtol=0, atol=1e-6)


def test_the_bench_reports_bins_of_its_shape(monkeypatch):
    from lfads_plugins_lab.bench.shapes import SHAPES, StepShape

    tiny = StepShape(
        trials=2, encoded_bins=25, bins=25, encoded_channels=4, channels=4, generator=6, controller=4, input_encoder=3, encoder=5, factors=2, inputs=2
    )
    monkeypatch.setitem(SHAPES, "tiny", tiny)
    done = CliRunner().invoke(cli, ["bench", "stream", "--config", "tiny", "--rounds", "2", "--json"], catch_exceptions=False)
    (result,) = json.loads(done.output)["results"]
    row = result["paths"]["stream"]
    assert (row["bins"], result["waits_bins"], result["channels"]) == (2 * 2 * 25, 20, 4)
    assert 0 < row["median_ms"] <= row["p99_ms"] <= row["max_ms"]
