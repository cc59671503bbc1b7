"""Losses: behaviour against NumPy, and in runs; the correlation of inputs stands with the options of the original model."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
import torch

from lfads_core.components import Latents, LossInfo, LossInputs, Posterior, SessionInfo
from lfads_core.components.batch import Batch
from lfads_core.config.load import resolve
from lfads_core.errors import ConfigError, DataError
from lfads_core.infer.loading import load
from lfads_core.pipeline.run import resume_run
from lfads_core.plugins import LossSpec, NoSettings, load_registry
from lfads_core.rng import stream
from lfads_core.train.checkpoint import load_checkpoint
from lfads_core.train.progress import Display
from lfads_plugins_std.loss_settings import BehaviourConfig
from lfads_plugins_std.losses.behaviour import BehaviourLoss

T, F, K = 8, 3, 2
THE_LOSS = "the loss 'behaviour'"


def info(**shapes):
    session = SessionInfo(name="a", encod_channels=4, recon_channels=4, factors=F, extras=shapes)
    return LossInfo(session=session, bins=T, states=5, inputs=0, rng=stream(0))


def seen(factors, behaviour):
    zero = torch.zeros(len(factors), 1)
    counts = torch.zeros(len(factors), T, 4)
    start = Posterior(mean=zero, std=zero)
    states = {"gen_init": zero.expand(-1, 4), "gen_states": counts, "gen_inputs": counts, "con_states": None}
    latents = Latents(ic=start, inputs=None, ci=None, factors=factors, **states)
    batch = Batch(encod=counts, recon=counts, external=counts, trials=torch.arange(len(factors)), extras={"behavior": behaviour})
    return LossInputs(batch=batch, latents=latents, params=counts[..., None], draw={})


@pytest.mark.parametrize("lag", [0, 3])
def test_the_error_of_behaviour_is_in_variances_of_the_training_trials(lag):
    rng = np.random.default_rng(0)
    train, behaviour = (rng.normal(3.0, 5.0, (n, T, K)) for n in (20, 4))
    train[0, :3] = behaviour[1, 2:5, 0] = np.nan
    factors = rng.normal(size=(4, T, F))
    part = BehaviourLoss(BehaviourConfig(lag_bins=lag), info(behavior=(T, K))).double()
    part.start_from({"behavior": torch.tensor(train)})
    found = part(seen(torch.tensor(factors), torch.tensor(behaviour)))
    z = (behaviour - np.nanmean(train, axis=(0, 1))) / np.nanstd(train, axis=(0, 1))
    guess = factors @ part.decoder.weight.detach().numpy().T
    errors = [(z[b, t + lag, k] - guess[b, t, k]) ** 2 for b in range(4) for t in range(T - lag) for k in range(K) if np.isfinite(z[b, t + lag, k])]
    assert found["error"].item() == pytest.approx(np.mean(errors), rel=1e-12)
    assert part.measure(seen(torch.tensor(factors), torch.tensor(behaviour)))["r2"].item() == pytest.approx(1 - np.mean(errors), rel=1e-12)


def test_guessing_the_mean_costs_one_and_a_constant_column_divides_by_nothing():
    behaviour = torch.randn(50, T, K, generator=stream(1), dtype=torch.float64)
    behaviour[..., 1] = 4.0
    part = BehaviourLoss(BehaviourConfig(), info(behavior=(T, K))).double()
    part.start_from({"behavior": behaviour})
    found = part(seen(torch.zeros(50, T, F, dtype=torch.float64), behaviour))
    assert found["error"].item() == pytest.approx(0.5, rel=1e-12)  # one column varies, one never does
    assert torch.equal(part.std[1], torch.ones((), dtype=torch.float64))


def test_trials_without_any_behaviour_cost_nothing():
    part = BehaviourLoss(BehaviourConfig(), info(behavior=(T, K))).double()
    factors = torch.ones(2, T, F, dtype=torch.float64, requires_grad=True)
    found = part(seen(factors, torch.full((2, T, K), torch.nan, dtype=torch.float64)))
    found["error"].backward()
    assert found["error"].item() == 0
    assert not factors.grad.any()


@pytest.mark.parametrize(
    ("settings", "shapes", "text"),
    [
        (
            BehaviourConfig(),
            {"cursor": (T, 2)},
            "a: {} needs 'train_behavior' (trials, bins, dimensions) in the file, got 'train_cursor'.",
        ),
        (BehaviourConfig(key="hand"), {}, "a: {} needs 'train_hand' (trials, bins, dimensions) in the file, got none."),
        (
            BehaviourConfig(),
            {"behavior": (5, 2)},
            "a: {} needs 'train_behavior' of shape (trials, 8, dimensions), got (trials, 5, 2).",
        ),
        (BehaviourConfig(lag_bins=8), {"behavior": (T,)}, "a: {} must have a lag_bins below the 8 bins of a trial, got 8."),
    ],
)
def test_files_without_behaviour_are_refused(settings, shapes, text):
    with pytest.raises(DataError, match=f"^{re.escape(text.format(THE_LOSS))}$"):
        BehaviourLoss(settings, info(**shapes))


def behaving(write_tiny, name="tiny.h5"):
    """A recording whose behaviour is a smoothed sum of its counts."""
    rng = np.random.default_rng(1)
    arrays = {}
    for split, trials in (("train", 12), ("valid", 6)):
        counts = rng.poisson(1.0, (trials, 8, 5)).astype(np.float32)
        arrays |= {f"{split}_encod_data": counts, f"{split}_behavior": counts[..., :2].cumsum(1)}
    return write_tiny(name, **arrays)


def rows(run):
    with run.fitlog.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.long
def test_behaviour_is_learnt_from_training_trials_and_scored_on_validation_trials(write_tiny, train_tiny):
    data = behaving(write_tiny)
    run = train_tiny("components.losses=[{name: behaviour, increase_epochs: 0}]", "train.epochs=30", "optim.lr=0.02", data=data).run
    first, *_, last = rows(run)
    assert float(last["train/loss/behaviour/error"]) < 0.7 * float(first["train/loss/behaviour/error"])
    assert float(last["valid/loss/behaviour/r2"]) == pytest.approx(1 - float(last["valid/loss/behaviour/error"]), abs=1e-6)
    assert float(last["loss_ramp/behaviour"]) == 1.0


def test_losses_add_up_as_their_scales_and_ramps_say(write_tiny, train_tiny):
    data = behaving(write_tiny)
    chosen = "components.losses=[{name: behaviour, scale: 0.3, increase_epochs: 3}, {name: input-correlation, scale: 0.2}]"
    for row in rows(train_tiny(chosen, "regularisation.loss_scale=10", data=data).run):
        n = {key: float(value) for key, value in row.items() if value}
        further = n["loss_ramp/behaviour"] * 0.3 * n["valid/loss/behaviour/error"]
        further += n["loss_ramp/input-correlation"] * 0.2 * n["valid/loss/input-correlation/lag_one"]
        kl = n["kl_ramp"] * 2e-5 * (n["valid/ic_kl"] + n["valid/input_kl"])
        assert n["valid/total"] == pytest.approx(10 * (n["valid/recon"] + n["l2_ramp"] * n["valid/l2"] + kl + further), rel=1e-5)
        assert n["loss_ramp/behaviour"] == pytest.approx(min((n["epoch"] + 1) / 4, 1))


@pytest.mark.long
def test_a_resumed_run_with_losses_is_the_run_that_was_never_interrupted(write_tiny, train_tiny):
    data, chosen = behaving(write_tiny), "components.losses=[behaviour, input-correlation]"
    whole = train_tiny(chosen, "train.epochs=4", data=data, name="whole").run
    half = train_tiny(chosen, "train.epochs=2", data=data, name="half").run
    resume_run(half.path, ["train.epochs=4"], load_registry(), Display())
    one, other = (load_checkpoint(run.checkpoints, "last").tensors["model"] for run in (whole, half))
    assert "losses.tiny.behaviour.decoder.weight" in one
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.long
def test_a_loss_without_a_price_changes_nothing_else(write_tiny, train_tiny):
    data = behaving(write_tiny)
    without = train_tiny(data=data, name="without").run
    free = train_tiny("components.losses=[{name: behaviour, scale: 0}]", data=data, name="free").run
    one, other = (load_checkpoint(run.checkpoints, "last").tensors["model"] for run in (without, free))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_file_that_lacks_the_behaviour_of_one_split_is_refused(write_tiny, train_tiny):
    data = write_tiny(train_behavior=np.zeros((12, 8, 2), np.float32))
    with pytest.raises(
        DataError, match=r"tiny.h5: 'valid_behavior' must be there for the loss 'behaviour' \(components.losses\), got nothing of that name\.$"
    ):
        train_tiny("components.losses=[behaviour]", data=data)


def test_what_used_to_be_a_setting_of_the_regularisation_is_this_loss():
    registry = load_registry()
    today = resolve([], [], ["regularisation.input_correlation=0.5", "regularisation.kl_ramp.increase_epochs=7"], registry)
    (loss,) = today.components.losses
    assert (loss.name, loss.settings.scale, loss.settings.increase_epochs) == ("input-correlation", 0.5, 7)
    assert resolve([], [], ["regularisation.input_correlation=0"], registry).components.losses == ()


def test_a_loss_is_named_once():
    with pytest.raises(ConfigError, match=r"^--set: components.losses: must name each loss once, got behaviour, behaviour$"):
        resolve([], [], ["components.losses=[behaviour, {name: behaviour, key: hand}]"], load_registry())


def test_a_record_whose_settings_have_no_scale_is_refused():
    text = "'config' must have the settings scale, start_epoch, increase_epochs, as subclasses of lfads_core.config.losses.LossConfig have"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        LossSpec(name="odd", summary="Odd", config=NoSettings, build=print)


def test_one_word_adds_it():
    assert [loss.name for loss in resolve([], ["behaviour"], [], load_registry()).components.losses] == ["behaviour"]


def test_a_finished_run_with_a_loss_is_loaded_and_inferred_without_behaviour(write_tiny, train_tiny):
    run = train_tiny("components.losses=[behaviour]", "train.epochs=1", data=behaving(write_tiny)).run
    from lfads_core.infer.run import infer_files

    (path,) = infer_files(load(run.path), [write_tiny("other.h5")], samples=2, output=None)
    assert path.is_file()
