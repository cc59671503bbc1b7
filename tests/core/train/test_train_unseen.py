"""Costs of what the encoders did not see, and trainings that are judged by them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import gammaln

from lfads_core.config.load import resolve
from lfads_core.config.optional import MaskedConfig
from lfads_core.data.loader import SplitTensors
from lfads_core.data.read import read_sessions
from lfads_core.errors import ConfigError
from lfads_core.model.build import build_model
from lfads_core.model.description import describe
from lfads_core.objective.total import Objective
from lfads_core.plugins import load_registry
from lfads_core.rng import bernoulli, stream
from lfads_core.track.fitlog import read_fitlog
from lfads_core.train.data import check_for
from lfads_core.train.evaluate import Validator


@pytest.fixture
def prepared(write_tiny, tiny_settings):
    """``prepared(*overrides, data=...)``: a model, its validation trials, and a validator of them."""

    def make(*overrides, data=None, plugins=(), masked=None, batch_size=4):
        from lfads_core.model.build import build_stacks

        registry = load_registry()
        config = resolve([], plugins, [*tiny_settings, *overrides], registry)
        sessions = read_sessions(data or [write_tiny()], registry)
        model = build_model(config, describe(sessions), registry)
        for readout in model.readouts.values():
            torch.nn.init.normal_(readout.weight, generator=torch.Generator().manual_seed(1))
        source = {s.name: SplitTensors.from_split(s.splits["valid"], extras=()) for s in sessions}
        validator = Validator(
            objective=Objective(config.regularisation), stack=build_stacks(config, registry)[1], batch_size=batch_size, seed=0, masked=masked
        )
        return model, source, validator

    return make


def poisson_loss(log_rate, counts):
    """Negative log density by scipy, plus what Stirling's formula differs from ln k!."""
    k = counts
    stirling = np.where(k > 1, k * np.log(np.maximum(k, 1)) - k + 0.5 * np.log(2 * np.pi * np.maximum(k, 1)), 0.0)
    return np.exp(log_rate) - k * log_rate + gammaln(k + 1) + (stirling - gammaln(k + 1))


def log_rates(model, source, encod):
    """Posterior means' log-rates of all trials of the only session in one pass, for a given input."""
    (name,) = source
    batch = replace(source[name].take(torch.arange(source[name].trials)), encod=encod)
    noise = model.draw_noise(encod.shape[0], torch.Generator().manual_seed(0), sample=False, dropout=False)
    with torch.no_grad():
        return model({name: batch}, noise).params[name][..., 0].double().numpy()


def test_the_heldout_cost_is_the_mean_over_channels_that_are_not_encoded(prepared, write_tiny):
    rng = np.random.default_rng(3)
    both = {f"{split}_recon_data": rng.poisson(1.0, (n, 8, 7)).astype(np.float32) for split, n in (("train", 12), ("valid", 6))}
    data = write_tiny(**both, **{key.replace("recon", "encod"): value[:, :, :5] for key, value in both.items()})
    model, source, validator = prepared(data=[data])
    encod = source["tiny"].encod
    loss = poisson_loss(log_rates(model, source, encod), both["valid_recon_data"])
    for batch_size in (1, 4, 6):
        costs = replace(validator, batch_size=batch_size)(model, source, 0, predict=False).costs
        assert costs["heldout"] == pytest.approx(loss[..., 5:].mean(), rel=1e-5)
        assert costs["recon"] == pytest.approx(loss.mean(), rel=1e-5)
        assert "masked" not in costs


def test_without_heldout_channels_nothing_is_said_of_them(prepared):
    model, source, validator = prepared()
    assert "heldout" not in validator(model, source, 0, predict=False).costs


@pytest.mark.parametrize("ic_bins", [None, 3])
def test_the_masked_cost_is_that_of_hidden_values_alone_averaged_over_passes(prepared, ic_bins):
    masked = MaskedConfig(fraction=0.3, passes=2, seed=5)
    overrides = () if ic_bins is None else (f"model.encoder.ic_bins={ic_bins}",)
    model, source, validator = prepared(*overrides, masked=masked, batch_size=6)
    counts, first = source["tiny"].encod, ic_bins or 0
    total, number = 0.0, 0.0
    for number_of_pass in range(2):
        keep = bernoulli(0.7, counts[:, first:], stream(5, "masked", number_of_pass, "tiny", 0)).numpy()
        laid = np.concatenate([np.ones((6, first, 5)), keep], axis=1)
        scale = np.concatenate([np.ones(first), np.full(8 - first, 1 / 0.7)])[:, None]
        loss = poisson_loss(log_rates(model, source, torch.tensor(counts.numpy() * laid * scale, dtype=torch.float32)), counts.numpy())
        total, number = total + (loss * (1 - laid)).sum(), number + (1 - laid).sum()
    costs = [validator(model, source, epoch, predict=False).costs for epoch in (0, 7)]
    assert costs[0]["masked"] == pytest.approx(total / number, rel=1e-5)
    assert costs[0]["masked"] == costs[1]["masked"]  # the same masks in every epoch
    assert 0.2 < number / (2 * 6 * (8 - first) * 5) < 0.4


def test_values_that_were_not_observed_do_not_count(prepared, write_tiny):
    data = write_tiny(channels=7)
    import h5py

    with h5py.File(data, "a") as file:
        values = file["valid_encod_data"][()]
        values[0, :, 2] = np.nan
        values[:, 3] = np.nan
        file["valid_encod_data"][...] = values
    stack = ("components.train_augmentations=[sbtt]", "components.infer_augmentations=[sbtt]")
    model, source, validator = prepared(*stack, data=[data], masked=MaskedConfig(fraction=0.5), batch_size=6)
    keep = bernoulli(0.5, source["tiny"].encod, stream(0, "masked", 0, "tiny", 0)).numpy()
    filled = np.nan_to_num(values)
    loss = poisson_loss(log_rates(model, source, torch.tensor(filled * keep * 2, dtype=torch.float32)), filled)
    counted = (1 - keep) * ~np.isnan(values)
    costs = validator(model, source, 0, predict=False).costs
    assert costs["masked"] == pytest.approx((loss * counted).sum() / counted.sum(), rel=1e-5)


def test_sessions_are_averaged_unweighted_and_each_has_its_own(prepared, write_tiny):
    data = [write_tiny("a.h5", seed=1), write_tiny("b.h5", channels=4, seed=2)]
    model, source, validator = prepared(data=data, masked=MaskedConfig())
    costs = validator(model, source, 0, predict=False).costs
    assert costs["masked"] == pytest.approx((costs["masked/a"] + costs["masked/b"]) / 2)


def test_a_model_that_copies_its_input_wins_by_the_plain_cost_and_loses_by_the_masked_one(prepared, write_tiny):
    """Identity overfitting in its purest form: log-rates that follow each count, against the true constant rate."""
    counts = np.random.default_rng(0).poisson(1.0, (60, 8, 5)).astype(np.float32)
    costs = {}
    for name, follow in (("copies", 0.9), ("knows", 0.0)):
        model, source, validator = prepared(data=[write_tiny(valid_encod_data=counts)], masked=MaskedConfig())
        forward = model.forward

        def copy(batches, noise, follow=follow, forward=forward):
            rates = follow * batches["tiny"].encod + (1 - follow) + 1e-3
            return replace(forward(batches, noise), params={"tiny": torch.log(rates)[..., None]})

        model.forward = copy
        costs[name] = validator(model, source, 0, predict=False).costs
    assert costs["copies"]["recon"] < costs["knows"]["recon"]
    assert costs["copies"]["masked"] > costs["knows"]["masked"] + 0.5


@pytest.mark.parametrize("judge", ["heldout", "masked"])
def test_the_judge_decides_on_best_checkpoint_and_rate(judge, train_tiny, write_tiny):
    data = write_tiny(channels=8)
    run = train_tiny(f"validation.judge={judge}", "data.hold_out.fraction=0.25", "train.epochs=12", "optim.lr=0.03", data=data).run
    log = read_fitlog(run.fitlog)
    assert "valid/recon_smooth" not in log
    expected = log[f"valid/{judge}"][0]
    for value, shown in zip(log[f"valid/{judge}"][1:], log[f"valid/{judge}_smooth"][1:], strict=True):
        expected = 0.7 * expected + 0.3 * value
        assert shown == pytest.approx(expected, rel=1e-12)
    smooth = [cost if epoch >= 2 else math.inf for epoch, cost in zip(log["epoch"], log[f"valid/{judge}_smooth"], strict=True)]
    best = json.loads((run.checkpoints / "best.json").read_text())["state"]
    assert best["epoch"] - 1 == smooth.index(min(smooth))
    assert best["progress"]["best"]["cost"] == min(smooth)


def test_a_run_that_asks_for_masked_values_logs_them_and_is_judged_as_before(train_tiny):
    log = read_fitlog(train_tiny("validation.masked.fraction=0.4", name="asked").run.fitlog)
    plain = read_fitlog(train_tiny(name="plain").run.fitlog)
    assert all(map(math.isfinite, log["valid/masked"]))
    assert [log[key] for key in plain if key != "seconds"] == [plain[key] for key in plain if key != "seconds"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["validation.judge=heldout"],
            (
                "validation.judge: 'heldout' must have channels that are reconstructed but not encoded, got none. "
                "Hold some out with data.hold_out (--hold-out 0.25), or judge by 'masked'."
            ),
        ),
        (["validation.judge=loss"], "--set: validation.judge: must be one of recon, heldout, masked, got 'loss'"),
        (["validation.masked.fraction=1"], "--set: validation.masked.fraction: must be from 0.01 to 0.99, got 1.0"),
    ],
)
def test_what_cannot_judge_is_refused_before_anything_starts(overrides, message, write_tiny, tiny_settings):
    registry = load_registry()
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        check_for(resolve([], (), [*tiny_settings, *overrides], registry), read_sessions([write_tiny()], registry), registry)


def test_another_modality_is_judged_by_what_is_reconstructed(write_tiny, tiny_settings):
    registry = load_registry()
    (session,) = read_sessions([write_tiny()], registry)
    other = replace(session, splits={name: replace(split, nested=False) for name, split in session.splits.items()})
    config = resolve([], (), [*tiny_settings, "validation.judge=masked"], registry)
    message = "validation.judge: 'masked' must have input that is reconstructed, got another modality. Judge by 'recon', which is unseen."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        check_for(config, [other], registry)
