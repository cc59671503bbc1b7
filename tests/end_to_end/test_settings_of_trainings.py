"""What each setting of a training does, read from what the training wrote."""

from __future__ import annotations

import csv

import h5py
import numpy as np
import pytest
import torch

import lfads_core
from lfads_core.config.load import resolve
from lfads_core.data.hold_out import pick_channels
from lfads_core.errors import LfadsError
from lfads_core.plugins import load_registry
from lfads_core.train import captured, optim
from lfads_core.train.data import read_for


class Log:
    """A run's fitlog, column by column."""

    def __init__(self, run):
        with (run.path / "fitlog.csv").open(encoding="utf-8") as file:
            self.rows = list(csv.DictReader(file))

    def __getitem__(self, name):
        return np.array([float(row[name]) for row in self.rows if row[name]])


def outputs(run):
    with h5py.File(run.output("tiny")) as file:
        return {key: value[()] for key, value in file.items() if isinstance(value, h5py.Dataset)}


@pytest.fixture
def steps(monkeypatch):
    """How the optimiser stood at each step: ``(lr, betas, eps, first moment's step)``, and which weights it moves."""
    seen = []
    original = optim.AdamW.step

    def watched(self, *arguments, **options):
        before = [parameter.detach().clone() for parameter in self.params]
        gradients = [None if parameter.grad is None else parameter.grad.detach().clone() for parameter in self.params]
        found = original(self, *arguments, **options)
        seen.append({"before": before, "gradients": gradients, "after": [parameter.detach().clone() for parameter in self.params]})
        return found

    monkeypatch.setattr(optim.AdamW, "step", watched)
    return seen


def test_an_epoch_has_the_steps_that_batches_and_passes_make(train_tiny, steps):
    for name, settings, wanted in (("a", ["data.batch_size=6", "data.passes=1"], 2), ("b", ["data.batch_size=4", "data.passes=2"], 6)):
        steps.clear()
        train_tiny("train.epochs=1", *settings, name=name)
        assert len(steps) == wanted


def test_the_first_steps_are_those_of_adam_with_the_rate_the_moments_and_the_term_that_are_asked_for(train_tiny, steps):
    """w - lr m/(1-b1^k) / (sqrt(v/(1-b2^k)) + eps), written out."""
    lr, betas, eps = 0.02, (0.5, 0.9), 0.3
    train_tiny("train.epochs=1", f"optim.lr={lr}", f"optim.betas=[{betas[0]},{betas[1]}]", f"optim.eps={eps}")
    first, second = steps[:2]
    for k, (g1, g2) in enumerate(zip(first["gradients"], second["gradients"], strict=True)):
        if g1 is None:
            continue
        np.testing.assert_allclose(first["after"][k], first["before"][k] - lr * g1 / (g1.abs() + eps), rtol=1e-4, atol=1e-6)
        m = (betas[0] * (1 - betas[0]) * g1 + (1 - betas[0]) * g2) / (1 - betas[0] ** 2)
        v = (betas[1] * (1 - betas[1]) * g1**2 + (1 - betas[1]) * g2**2) / (1 - betas[1] ** 2)
        np.testing.assert_allclose(second["after"][k], second["before"][k] - lr * m / (v.sqrt() + eps), rtol=1e-4, atol=1e-6)


def test_weights_decay_as_is_asked_for(train_tiny, steps):
    train_tiny("train.epochs=1", "optim.weight_decay=0.5", "optim.lr=0.1", "regularisation.l2_ramp.increase_epochs=0", "optim.eps=1e9")
    for before, after in zip(steps[0]["before"], steps[0]["after"], strict=True):
        np.testing.assert_allclose(after, before * (1 - 0.1 * 0.5), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm", ["0.01", "null"])
def test_gradients_are_no_longer_than_is_asked_for(train_tiny, steps, norm):
    train_tiny("train.epochs=1", f"optim.clip_norm={norm}")
    longest = max(float(torch.sqrt(sum((g**2).sum() for g in step["gradients"] if g is not None))) for step in steps)
    assert (longest == pytest.approx(0.01, rel=1e-3)) == (norm == "0.01")
    assert norm == "0.01" or longest > 200  # the default is a bound too


RATES = {
    "constant": (["optim.schedule=constant"], [1, 1, 1, 1, 1, 1]),
    "warm-up": (["optim.schedule=constant", "optim.warmup_epochs=3"], [1 / 4, 2 / 4, 3 / 4, 1, 1, 1]),
    "exponential": (["optim.schedule=exponential", "optim.decay=0.5"], [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32]),
    "step": (["optim.schedule=step", "optim.step_epochs=2", "optim.decay=0.1"], [1, 1, 0.1, 0.1, 0.01, 0.01]),
    "cosine": (["optim.schedule=cosine", "optim.min_lr=0.02"], [0.2 + 0.8 * (1 + np.cos(np.pi * e / 6)) / 2 for e in range(6)]),
    "plateau": (["train.smoothing=0", "optim.schedule=plateau", "optim.patience=0", "optim.decay=0.5", "optim.min_lr=1e-9"], None),
    "a long patience": (["optim.schedule=plateau", "optim.patience=50", "optim.decay=0.5"], [1, 1, 1, 1, 1, 1]),
    "floor": (["optim.schedule=exponential", "optim.decay=0.1", "optim.min_lr=0.001"], [1, 0.1]),
}


@pytest.mark.long
@pytest.mark.parametrize("name", RATES)
def test_the_rate_falls_as_is_asked_for(train_tiny, name):
    settings, wanted = RATES[name]
    log = Log(train_tiny("train.epochs=6", "optim.lr=0.1", *settings).run)
    if wanted is None:  # with no patience every epoch that is no better halves it
        smooth, wanted, best = log["valid/recon_smooth"], [1.0], np.inf
        for cost in smooth[:-1]:
            wanted.append(wanted[-1] * (1 if cost < best else 0.5))
            best = min(cost, best)
        assert wanted[-1] < 1
    np.testing.assert_allclose(log["lr"], 0.1 * np.array(wanted), rtol=1e-6)


def test_the_loss_is_the_sum_of_its_parts_with_the_scales_and_ramps_that_are_asked_for(train_tiny):
    scales = {"kl_ic": 0.7, "kl_inputs": 0.3, "loss_scale": 50}
    ramps = {"kl_ramp.start_epoch": 1, "kl_ramp.increase_epochs": 3, "l2_ramp.start_epoch": 2, "l2_ramp.increase_epochs": 1}
    log = Log(train_tiny("train.epochs=6", *(f"regularisation.{key}={value}" for key, value in (scales | ramps).items())).run)
    epochs = np.arange(6)
    kl, l2 = np.clip(epochs / 4, 0, 1), np.clip((epochs - 1) / 2, 0, 1)
    np.testing.assert_allclose(log["kl_ramp"], kl)
    np.testing.assert_allclose(log["l2_ramp"], l2)
    wanted = 50 * (log["valid/recon"] + kl * (0.7 * log["valid/ic_kl"] + 0.3 * log["valid/input_kl"]) + l2 * log["valid/l2"])
    np.testing.assert_allclose(log["valid/total"], wanted, rtol=1e-5)


KERNELS = {
    "l2_encoder": ("encoder.gru.forward_gru.recurrent", "encoder.gru.backward_gru.recurrent"),
    "l2_input_encoder": ("input_encoder.gru.forward_gru.recurrent", "input_encoder.gru.backward_gru.recurrent"),
    "l2_generator": ("decoder.generator.recurrent",),
    "l2_controller": ("decoder.controller.gru.recurrent",),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_recurrent_weights_cost_what_is_asked_for(train_tiny, name):
    none = [f"regularisation.{key}=0" for key in KERNELS]
    run = train_tiny("train.epochs=1", *none, f"regularisation.{name}=0.5").run
    weights = lfads_core.load(run.path, "last").parameters()
    squares = np.concatenate([weights[key].ravel() ** 2 for key in KERNELS[name]])
    assert Log(run)["valid/l2"][-1] == pytest.approx(0.5 * squares.mean() / 2, rel=1e-4)


def test_a_reconstruction_costs_a_mean_over_values_or_a_sum_over_those_of_a_trial(train_tiny):
    cost = {
        how: Log(train_tiny("train.epochs=1", f"regularisation.reduce={how}", "optim.lr=2e-9", "optim.min_lr=1e-9", name=how).run)
        for how in ("mean", "sum")
    }
    assert cost["sum"]["valid/recon"][0] == pytest.approx(8 * 5 * cost["mean"]["valid/recon"][0], rel=1e-4)


def test_it_trains_as_long_as_is_asked_for(train_tiny):
    assert len(Log(train_tiny("train.epochs=3", name="few").run).rows) == 3
    soon = ("regularisation.kl_ramp.increase_epochs=0", "regularisation.l2_ramp.increase_epochs=0", "train.smoothing=0")
    stopped = train_tiny("train.epochs=60", *soon, "train.early_stopping=2", "optim.lr=0.2", name="stopped")
    log = Log(stopped.run)
    assert len(log.rows) < 60
    best = int(np.argmin(log["valid/recon_smooth"]))
    assert len(log.rows) == best + 1 + 2
    assert train_tiny("train.epochs=3", "train.minutes=1e-7", name="short").outcome == "minutes"


def test_the_cost_that_decides_is_smoothed_as_is_asked_for(train_tiny):
    log = Log(train_tiny("train.epochs=5", "train.smoothing=0.6").run)
    cost = log["valid/recon"]
    wanted = [cost[0]]
    for one in cost[1:]:
        wanted.append(0.6 * wanted[-1] + 0.4 * one)
    np.testing.assert_allclose(log["valid/recon_smooth"], wanted, rtol=1e-6)


@pytest.mark.slow
def test_as_many_epochs_are_kept_as_is_asked_for(train_tiny):
    run = train_tiny("train.epochs=5", "train.keep_best=3").run
    assert len(list((run.path / "checkpoints").glob("epoch-*.json"))) == 3


@pytest.mark.slow
def test_another_seed_is_another_training_and_the_same_one_the_same(train_tiny):
    costs = [Log(train_tiny("train.epochs=2", f"train.seed={seed}", name=f"s{k}").run)["valid/recon"].tolist() for k, seed in enumerate((4, 4, 5))]
    assert costs[0] == costs[1] != costs[2]


@pytest.mark.slow
def test_weights_are_averaged_over_the_steps_that_are_asked_for(train_tiny):
    plain, averaged = (train_tiny("train.epochs=3", f"train.average={steps}", "optim.lr=0.1", name=f"a{steps}").run for steps in (0, 50))
    assert Log(plain)["train/recon"].tolist() == Log(averaged)["train/recon"].tolist()
    assert Log(plain)["valid/recon"].tolist() != Log(averaged)["valid/recon"].tolist()


@pytest.mark.slow
def test_metrics_are_computed_as_often_as_is_asked_for(train_tiny):
    log = Log(train_tiny("train.epochs=7", "train.metrics_every=3").run)
    with_metrics = [k for k, row in enumerate(log.rows) if row.get("valid/bps")]
    assert len(with_metrics) in {2, 3}
    assert set(np.diff(with_metrics)) <= {3, 1, 4}
    every = Log(train_tiny("train.epochs=3", "train.metrics_every=1", name="every").run)
    assert all(row["valid/bps"] for row in every.rows)


def test_it_runs_where_and_how_is_asked_for(train_tiny, built, monkeypatch, caplog):
    captured._warn_once.cache_clear()
    said = []
    original = torch.set_num_threads
    monkeypatch.setattr(torch, "set_num_threads", lambda count: said.append(count) or original(count))
    train_tiny("train.epochs=1", "train.threads=2")
    assert 2 in said
    for name in ("reference", "fused"):
        assert built(f"train.recurrence={name}").model.loops.name == name
    assert built("train.precision=bf16").model.precision == "bf16"
    for wanted in (True, False):  # on a CPU all that can be seen is what is said
        captured.graphs_for(built(f"train.cuda_graph={str(wanted).lower()}").config, torch.device("cpu"))
        assert any("train.cuda_graph" in text for text in caplog.messages) == wanted
        caplog.clear()
    if not torch.cuda.is_available():
        with pytest.raises(LfadsError, match="cuda"):
            train_tiny("train.epochs=1", "train.device=cuda", name="gpu")


def test_what_does_not_fit_the_memory_stays_on_disk(built, write_tiny, tiny_settings):
    data, registry = write_tiny(), load_registry()
    for gigabytes, there in ((1e-7, False), (1.0, True)):
        (session,) = read_for(resolve([], (), [*tiny_settings, f"data.memory_gb={gigabytes}"], registry), [data], registry)
        assert bool(session.stored) != there


@pytest.mark.slow
def test_only_what_is_asked_for_is_trained(train_tiny, built, write_tiny):
    data = write_tiny()
    first = {key: value.detach().numpy() for key, value in built(data=data).model.named_parameters()}
    for name, settings, moves in (
        ("only", ["train.only=['readouts.*']"], lambda key: key.startswith("readouts.")),
        ("frozen", ["train.frozen=['decoder.*']"], lambda key: not key.startswith("decoder.")),
    ):
        last = lfads_core.load(train_tiny("train.epochs=1", *settings, data=data, name=name).run.path, "last").parameters()
        moved = {key for key, value in last.items() if key in first and not np.array_equal(value, first[key])}
        assert moved
        assert all(moves(key) for key in moved)


@pytest.mark.slow
def test_the_smallest_weights_are_pruned_from_the_epoch_on_that_is_asked_for(train_tiny):
    prune = ("train.prune.fraction=0.75", "train.prune.names=['decoder.generator.recurrent']")
    for start, zeros in ((1, 0.75), (9, 0.0)):
        run = train_tiny("train.epochs=3", *prune, f"train.prune.start_epoch={start}", name=f"p{start}").run
        weights = lfads_core.load(run.path, "last").parameters()
        assert (weights["decoder.generator.recurrent"] == 0).mean() == pytest.approx(zeros, abs=0.01)
        assert (weights["decoder.generator.input"] == 0).mean() == 0


@pytest.mark.slow
def test_channels_are_held_out_by_the_share_and_the_seed(train_tiny):
    for seed in (0, 3):
        run = train_tiny("train.epochs=1", "data.hold_out.fraction=0.45", f"data.hold_out.seed={seed}", name=f"h{seed}").run
        found = outputs(run)
        held_in, held_out = pick_channels(5, 0.45, seed)
        assert found["channel_order"].tolist() == [*held_in, *held_out]
        assert found["valid_encod_data"].shape[2] == len(held_in) == 3


def test_what_is_judged_is_what_is_asked_for(train_tiny):
    held = Log(train_tiny("train.epochs=2", "validation.judge=heldout", "data.hold_out.fraction=0.45", name="held").run)
    assert "valid/heldout_smooth" in held.rows[0]
    np.testing.assert_allclose(held["valid/heldout_smooth"][0], held["valid/heldout"][0])
    masked = Log(train_tiny("train.epochs=2", "validation.judge=masked", name="masked").run)
    np.testing.assert_allclose(masked["valid/masked_smooth"][0], masked["valid/masked"][0])


@pytest.mark.long
def test_hidden_values_are_as_many_in_as_many_passes_of_the_seed_as_is_asked_for(train_tiny, monkeypatch):
    from lfads_core.train import evaluate

    seen = []
    original = evaluate.hide

    def watched(batches, *arguments):
        hidden, kept = original(batches, *arguments)
        seen.append(torch.cat([mask.flatten() for mask in kept.values()]))
        return hidden, kept

    monkeypatch.setattr(evaluate, "hide", watched)

    def masks(name, *settings):
        seen.clear()
        train_tiny("train.epochs=1", *(f"validation.masked.{setting}" for setting in settings), name=name)
        return [mask.clone() for mask in seen]

    half = masks("half", "fraction=0.5", "passes=3")
    assert len(half) == 3 * len(masks("one", "fraction=0.5"))
    assert float(torch.cat(half).float().mean()) == pytest.approx(0.5, abs=0.1)
    few = masks("few", "fraction=0.1")
    assert float(torch.cat(few).float().mean()) == pytest.approx(0.9, abs=0.1)
    other, same = masks("other", "fraction=0.5", "seed=1"), masks("same", "fraction=0.5", "seed=0")
    assert torch.equal(same[0], half[0])
    assert not torch.equal(other[0], half[0])


def test_rates_are_inferred_as_is_asked_for(train_tiny, monkeypatch):
    from lfads_core.infer import posterior

    sizes = []
    original = posterior.epoch_batches

    def watched(sources, size, *more):
        sizes.append(size)
        return original(sources, size, *more)

    monkeypatch.setattr(posterior, "epoch_batches", watched)
    run = train_tiny("train.epochs=3", "optim.lr=0.3", "infer.samples=7", "infer.batch_size=5", "infer.checkpoint=last").run
    with h5py.File(run.output("tiny")) as file:
        assert (file.attrs["lfads_posterior_samples"], file.attrs["lfads_checkpoint"]) == (7, "last")
    assert set(sizes) == {5}
    assert not list(run.path.glob("plots/*"))


@pytest.mark.slow
def test_figures_are_drawn_where_they_are_asked_for(train_tiny):
    pytest.importorskip("matplotlib")
    drawn = list(train_tiny("train.epochs=1", "infer.figures=true", "infer.figure_format=svg").run.path.glob("plots/*"))
    assert {path.suffix for path in drawn} == {".svg"}
    assert list(train_tiny("train.epochs=1", "infer.figures=false", name="without").run.path.glob("plots/*")) == []
