"""The options of the original LFADS: each against the whole model written out as NumPy loops, and what it is for."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from backends import ON_CPU
from lfads_core.augment.stack import AugmentationStack
from lfads_core.config.losses import LossConfig
from lfads_core.config.schema import RampConfig, RegularisationConfig
from lfads_core.errors import ConfigError
from lfads_core.model.noise import Noise
from lfads_core.objective.total import Objective
from lfads_core.recurrence import choose
from lfads_core.recurrence.choose import BACKENDS, recurrence_for
from lfads_core.rng import stream
from lfads_plugins_std.losses.input_correlation import correlation_in_time

NOTHING = AugmentationStack((), ())
FULL = RampConfig(start_epoch=0, increase_epochs=0)
HALFWAY = RampConfig(start_epoch=0, increase_epochs=1)
CASES = {
    "as published": [],
    "causal": ["model.controller.causal=true"],
    "causal without lag": ["model.controller.causal=true", "model.controller.lag_bins=0"],
    "causal with a segment": ["model.controller.causal=true", "model.encoder.ic_bins=3"],
    "no feedback": ["model.controller.feedback=none"],
    "no feedback, causal": ["model.controller.feedback=none", "model.controller.causal=true"],
    "rates fed back": ["model.controller.feedback=rates"],
    "external inputs through the encoders": ["model.external_inputs=encoders"],
    "initial condition from a few bins": ["model.encoder.read_bins=3"],
    "all at once": ["model.controller.feedback=rates", "model.controller.causal=true", "model.external_inputs=encoders", "model.encoder.read_bins=2"],
}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(xs, h, weights, clip, *, backwards=False):
    """States of a GRU over bins (T, B, I), each by hand, in the order of the bins."""
    (w_z, w_r, w_n), (u_z, u_r, u_n), (b_z, b_r, b_n) = (np.split(weights[key], 3) for key in ("input", "recurrent", "bias"))
    found = {}
    for t in range(len(xs))[:: -1 if backwards else 1]:
        z, r = sigmoid(xs[t] @ w_z.T + h @ u_z.T + b_z), sigmoid(xs[t] @ w_r.T + h @ u_r.T + b_r)
        h = np.clip(z * h + (1 - z) * np.tanh(xs[t] @ w_n.T + (r * h) @ u_n.T + b_n), -clip, clip)
        found[t] = h
    return np.stack([found[t] for t in range(len(xs))])


def weights_of(model, prefix):
    start = f"{prefix}."
    return {name.removeprefix(start): value.numpy() for name, value in model.state_dict().items() if name.startswith(start)}


def written_out(model, batch, noise):
    """Latents and parameters of one session as plain loops over bins; masks of dropout are left out."""
    config, clip = model.config, model.config.cell_clip
    control, bins = config.controller, batch.recon.shape[1]
    x, given = batch.encod.numpy(), batch.external.numpy()
    given = np.pad(given, ((0, 0), (0, bins - given.shape[1]), (0, 0)))
    if config.external_inputs == "encoders":
        x, given = np.concatenate([x, given[:, : x.shape[1]]], -1), given[..., :0]
    x, given = x.swapaxes(0, 1), given.swapaxes(0, 1)
    segment = config.encoder.ic_bins or 0
    part = weights_of(model, "encoder")
    read = x[: segment or config.encoder.read_bins or len(x)]
    finals = []
    for i, way in enumerate(("forward", "backward")):
        h0 = np.tile(part["gru.h0"][i], (x.shape[1], 1))
        states = gru(read, h0, weights_of(model, f"encoder.gru.{way}_gru"), clip, backwards=i == 1)
        finals.append(states[0 if i else -1])
    mean, log_var = np.split(np.concatenate(finals, -1) @ part["posterior.weight"].T + part["posterior.bias"], 2, -1)
    ic = mean + np.sqrt(np.exp(log_var) + config.encoder.min_variance) * noise.ic["normal"].numpy()

    part = weights_of(model, "input_encoder")
    ci = np.zeros((bins, x.shape[1], control.encoder_hidden * (1 if control.causal else 2)))
    for i, way in enumerate(("forward",) if control.causal else ("forward", "backward")):
        h0 = np.tile(part["gru.h0"] if control.causal else part["gru.h0"][i], (x.shape[1], 1))
        states = gru(x[segment:], h0, weights_of(model, f"input_encoder.gru.{way}_gru"), clip, backwards=i == 1)
        for t in range(len(states)):
            source = t + control.lag_bins if i else t - control.lag_bins
            if 0 <= source < len(states):
                ci[segment + t, :, i * control.encoder_hidden : (i + 1) * control.encoder_hidden] = states[source]

    part = weights_of(model, "decoder")
    rows = part["factors.weight"] / np.linalg.norm(part["factors.weight"], axis=1, keepdims=True)
    out = weights_of(model, "readouts.a")
    g = ic @ part["to_generator.weight"].T + part["to_generator.bias"]
    f, c = g @ rows.T, np.tile(part["controller.h0"], (x.shape[1], 1))
    found = {name: [] for name in ("factors", "gen_states", "con_states", "input_mean", "params")}
    for t in range(bins):
        log_rates = f @ out["weight"].T + out["bias"]
        heard = {"factors": f, "rates": np.exp(log_rates), "none": f[:, :0]}[control.feedback]
        c = gru([np.concatenate([ci[t], heard], -1)], c, weights_of(model, "decoder.controller.gru"), clip)[0]
        mean, log_var = np.split(c @ part["controller.posterior.weight"].T + part["controller.posterior.bias"], 2, -1)
        u = mean + np.exp(log_var / 2) * noise.inputs["normal"].numpy()[:, t]
        g = gru([np.concatenate([u, given[t]], -1)], g, weights_of(model, "decoder.generator"), clip)[0]
        f = g @ rows.T
        params = f @ out["weight"].T + out["bias"]
        for name, value in {"factors": f, "gen_states": g, "con_states": c, "input_mean": mean, "params": params}.items():
            found[name].append(value)
    return {name: np.stack(values, 1) for name, values in found.items()}


def shaken(model):
    """The model with nothing hidden behind zeros."""
    with torch.no_grad():
        for number, p in enumerate(model.parameters()):
            p.add_(torch.randn(p.shape, generator=stream(number, "more"), dtype=p.dtype), alpha=0.2)
    return model


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)
def test_every_option_is_the_model_written_out_as_loops(overrides, backend, make_model, make_batch, usable):
    model, batch = shaken(make_model(*overrides)), make_batch(external_bins=8)
    model.loops = usable(backend)
    noise = model.draw_noise(3, stream(1), sample=True, dropout=False)
    output = model({"a": batch}, noise)
    found = output.latents
    wanted = written_out(model, batch, noise)
    got = {"factors": found.factors, "gen_states": found.gen_states, "con_states": found.con_states, "input_mean": found.inputs.mean}
    for name, value in {**got, "params": output.params["a"][..., 0]}.items():
        np.testing.assert_allclose(value.detach().numpy(), wanted[name], rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.long
@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)
def test_every_option_has_the_gradients_of_finite_differences(overrides, make_model, make_batch, usable):
    bins = (5, 6)  # a pass takes as long as it has bins, and here are two for each parameter
    model, batch = shaken(make_model(*overrides, "components.losses=[input-correlation]", bins=bins)), {"a": make_batch(bins=bins)}
    model.loops = usable("reference" if "model.controller.feedback=rates" in overrides else "fused")
    noise = model.draw_noise(3, stream(1), sample=True, dropout=True)
    scales = RegularisationConfig(kl_ramp=FULL, l2_ramp=FULL, loss_scale=1.0, kl_ic=2e-5, kl_inputs=0.1)
    objective = Objective(scales, {"input-correlation": LossConfig(scale=0.5, increase_epochs=0)})

    def loss():
        return objective(model, batch, model(batch, noise), noise, NOTHING, 0).total

    loss().backward()
    parts: dict[str, list[torch.nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad and p.numel():
            parts.setdefault(".".join(name.split(".")[:2]), []).append(p)
    step = 1e-6
    for part, several in parts.items():  # each part along a random way through all its entries
        ways = [torch.randn(p.shape, generator=stream(number, part), dtype=p.dtype) for number, p in enumerate(several)]
        ends = []
        for places in (1, -2):  # to one side, and back past the middle to the other
            with torch.no_grad():
                for p, way in zip(several, ways, strict=True):
                    p.add_(way, alpha=places * step)
                ends.append(loss().item())
        with torch.no_grad():
            for p, way in zip(several, ways, strict=True):
                p.add_(way, alpha=step)
        slope = sum((p.grad * way).sum().item() for p, way in zip(several, ways, strict=True) if p.grad is not None)
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-7), part


@pytest.mark.parametrize("start", ["model.encoder.read_bins=3", "model.encoder.ic_bins=3"])
@pytest.mark.parametrize("lag", [0, 1, 2])
def test_nothing_of_later_bins_reaches_an_earlier_inferred_input_of_a_causal_model(start, lag, make_model, make_batch):
    model = shaken(make_model("model.controller.causal=true", f"model.controller.lag_bins={lag}", start))
    batch = make_batch()
    before = model({"a": batch}, Noise()).latents
    for bin_ in range(3, 7):
        changed = batch.encod.clone()
        changed[:, bin_] += 1.0
        after = model({"a": replace(batch, encod=changed)}, Noise()).latents
        first = bin_ + lag
        for one, other in ((before.inputs.mean, after.inputs.mean), (before.inputs.std, after.inputs.std), (before.factors, after.factors)):
            assert torch.equal(one[:, :first], other[:, :first])
            assert first >= 7 or not torch.allclose(one[:, first], other[:, first])


def test_without_the_option_later_bins_do_reach_earlier_inputs(make_model, make_batch):
    model, batch = shaken(make_model("model.encoder.read_bins=3")), make_batch()
    changed = batch.encod.clone()
    changed[:, 6] += 1.0
    means = [model({"a": replace(batch, encod=encod)}, Noise()).latents.inputs.mean for encod in (batch.encod, changed)]
    assert not torch.allclose(means[0][:, 2], means[1][:, 2])


def test_a_controller_without_feedback_does_not_depend_on_the_generator(make_model, make_batch):
    model, batch = shaken(make_model("model.controller.feedback=none")), make_batch()
    before = model({"a": batch}, Noise()).latents
    with torch.no_grad():
        model.decoder.generator.recurrent.mul_(0.5)
        model.decoder.factors.weight.add_(0.3)
    after = model({"a": batch}, Noise()).latents
    assert torch.equal(before.inputs.mean, after.inputs.mean)
    assert not torch.allclose(before.factors, after.factors)


def test_external_inputs_through_the_encoders_reach_the_generator_only_so(make_model, make_batch):
    model, batch = make_model("model.external_inputs=encoders"), make_batch(external_bins=9)
    assert model.decoder.generator.input.shape[1] == 2  # the inferred ones
    assert model.sizes.encoder_width == 6 + 2
    latents = model({"a": batch}, Noise()).latents
    assert latents.gen_inputs.shape[-1] == 2
    beyond = batch.external.clone()
    beyond[:, 7:] += 1.0  # bins that the encoders do not see
    assert torch.equal(model({"a": replace(batch, external=beyond)}, Noise()).latents.factors, latents.factors)
    seen = batch.external.clone()
    seen[:, 2] += 1.0
    assert not torch.allclose(model({"a": replace(batch, external=seen)}, Noise()).latents.ic.mean, latents.ic.mean)
    assert model.generate(torch.zeros(4, 9, 0, dtype=torch.float64), stream(0)).factors.shape == (4, 9, 4)


def test_weight_scales_multiply_the_first_weights_and_nothing_else(make_model):
    plain = make_model().state_dict()
    scaled = make_model("model.weight_scale=2", "model.generator.input_scale=0.5", "model.generator.recurrent_scale=3").state_dict()
    cells = ("encoder.gru.", "input_encoder.gru.", "decoder.controller.gru.")
    for name, value in plain.items():
        factor = 1.0
        if name.startswith(cells) and name.endswith(("input", "recurrent")):
            factor = 2.0
        elif name.startswith("decoder.generator."):
            factor = {"input": 0.5, "recurrent": 3.0}.get(name.rpartition(".")[2], 1.0)
        torch.testing.assert_close(scaled[name], value * factor, rtol=1e-6, atol=0, msg=name)


def test_rates_fed_back_take_the_reference_loops_and_say_why(settings, caplog):
    choose._say_once.cache_clear()
    with caplog.at_level("INFO"):
        assert recurrence_for(settings("model.controller.feedback=rates"), "cpu") is BACKENDS["reference"]
    assert "recurrence: reference (model.controller.feedback is rates, which only this backend can feed back)" in caplog.text


def test_options_that_do_not_go_together_are_refused_in_a_sentence(settings, make_model):
    for overrides, text in (
        (
            ["model.controller.feedback=rates", "train.recurrence=fused"],
            "train.recurrence: must be auto or reference with model.controller.feedback: rates, which only the reference loops can do, got 'fused'",
        ),
        (
            ["model.encoder.read_bins=4", "model.encoder.ic_bins=3"],
            "model.encoder.read_bins: must be null with model.encoder.ic_bins, which parts the trial between the encoders, got 4",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            settings(*overrides)
        assert text in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        make_model("model.controller.feedback=rates", channels={"a": (6, 8), "b": (3, 5)})
    assert str(caught.value) == (
        "model.controller.feedback: rates needs a model of one session, whose rates they are, got 2 sessions. Use factors or none."
    )


def test_the_price_of_correlation_in_time_is_the_squared_autocorrelation_of_a_spreadsheet():
    rng = np.random.default_rng(3)
    means = rng.normal(size=(4, 9, 2))
    means[0, :, 1] = 1.5  # does not change
    wanted = []
    for trial in means:
        for k in range(2):
            d = [value - sum(trial[:, k]) / 9 for value in trial[:, k]]
            power = sum(value**2 for value in d)
            wanted.append((sum(a * b for a, b in zip(d[1:], d[:-1], strict=True)) / power) ** 2 if power > 1e-20 else 0.0)
    given = torch.tensor(means, requires_grad=True)
    price = correlation_in_time(given)
    assert price.item() == pytest.approx(sum(wanted) / len(wanted), rel=1e-12)
    price.backward()
    assert given.grad.isfinite().all()
    ramp = torch.arange(50.0, dtype=torch.float64)[None, :, None]
    noise = torch.tensor(rng.normal(size=(1, 50, 1)))
    assert correlation_in_time(ramp) > 0.8
    assert correlation_in_time(noise) < 0.2


def test_correlated_inputs_cost_what_the_scale_says_along_the_ramp(make_model, make_batch):
    chosen = "components.losses=[{name: input-correlation, scale: 0.4, increase_epochs: 1}]"
    model, batch = shaken(make_model(chosen)), {"a": make_batch()}
    noise = model.draw_noise(3, stream(1), sample=True, dropout=False)
    output = model(batch, noise)
    scales = RegularisationConfig(kl_ic=2e-5, kl_inputs=2e-5, kl_ramp=HALFWAY, l2_ramp=FULL, loss_scale=10.0)
    free = Objective(scales)(model, batch, output, noise, NOTHING, 0)
    priced = Objective(scales, {"input-correlation": LossConfig(scale=0.4, increase_epochs=1)})(model, batch, output, noise, NOTHING, 0)
    name = "loss/input-correlation/lag_one"
    assert name not in free.terms()
    assert priced.terms()[name].item() == pytest.approx(correlation_in_time(output.latents.inputs.mean).item(), rel=1e-12)
    extra = (priced.total - free.total).item()
    assert extra == pytest.approx(10.0 * 0.5 * 0.4 * priced.terms()[name].item(), rel=1e-9)
    assert math.isfinite(extra)
    assert extra > 0
    with pytest.raises(ConfigError, match=r"^components.losses: input-correlation is about inferred inputs, which"):
        make_model("model.controller=null", chosen)


WHOLE_RUNS = ("causal", "causal with a segment", "no feedback", "rates fed back", "all at once")  # every option, and each that another one rules out


@pytest.mark.long
@pytest.mark.parametrize("overrides", [CASES[name] for name in WHOLE_RUNS], ids=WHOLE_RUNS)
def test_a_run_with_the_option_trains_infers_and_loads_again(overrides, train_tiny, write_tiny):
    import lfads_core

    external = {f"{split}_ext_input": np.ones((trials, 8, 2), np.float32) for split, trials in (("train", 12), ("valid", 6))}
    run = train_tiny(*overrides, "train.epochs=1", data=write_tiny(**external)).run
    loaded = lfads_core.load(run.path)
    assert np.isfinite(loaded.outputs()["valid_output_params"]).all()
    kept = json.loads((run.path / "run.json").read_text())["status"]
    assert kept == "finished"
