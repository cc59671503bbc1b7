"""Each recipe, from its name to a gradient step on data of its kind."""

from __future__ import annotations

from dataclasses import replace

import attrs
import numpy as np
import pytest
import torch

from lfads_core.augment.stack import augmented
from lfads_core.config.load import resolve
from lfads_core.data.session import Session, Split
from lfads_core.model.build import build_stacks, prepare_model
from lfads_core.objective.total import Objective
from lfads_core.plugins import load_registry
from lfads_core.plugins.specs import (
    AlignmentSpec,
    AugmentationSpec,
    EncoderSpec,
    GeneratorSpec,
    LatentSpec,
    LossSpec,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    ReconstructionSpec,
)
from lfads_core.rng import stream
from lfads_core.train.auto import resolve_auto
from lfads_core.train.data import check_for, put_on
from lfads_core.train.optim import build_optimizer
from lfads_core.train.step import LoneMember, StepInputs, take_step

SMALL = [
    "model.encoder.hidden=5",
    "model.controller.encoder_hidden=4",
    "model.controller.hidden=6",
    "model.controller.inputs=2",
    "model.generator.hidden=7",
    "model.generator.ic_size=3",
    "model.generator.factors=4",
    "data.batch_size=8",
]


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def values(kind, rng, shape):
    if kind == "counts":
        return rng.poisson(1.0, shape)
    if kind == "of both signs":
        return rng.normal(0.0, 1.0, shape)
    events = rng.gamma(1.0, 1.0, shape) + 0.1
    if kind == "events with gaps":
        events = np.where(rng.random(shape) < 0.6, 0.0, events)
        events[rng.random(shape) < 0.3] = np.nan
    return events


def make_session(kind, trials=8):
    rng = np.random.default_rng(0)
    splits = {}
    for name in ("train", "valid"):
        recon = values(kind, rng, (trials, 9, 5)).astype(np.float32)
        splits[name] = Split(encod=recon[:, :7, :4].copy(), recon=recon, external=np.zeros((trials, 9, 0), np.float32))
    return Session(name="a", path=None, splits=splits)


RECIPES = {"spikes": "counts", "gaussian": "of both signs", "zig": "events with gaps", "radical": "events with gaps", "emg": "positive"}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(("recipe", "kind"), RECIPES.items(), ids=RECIPES)
def test_a_recipe_by_name_takes_gradient_steps_on_its_kind_of_data(registry, recipe, kind, precision):
    config, session = resolve([], [recipe], [*SMALL, f"train.precision={precision}"], registry), make_session(kind)
    config = resolve_auto(config, [session])
    check_for(config, [session], registry)
    model = prepare_model(config, [session], registry, "cpu")
    stack, _ = build_stacks(config, registry)
    source = put_on("cpu", [session]).splits["train"]["a"]
    optimizer, objective = build_optimizer(model, config.optim), Objective(config.regularisation)
    one = LoneMember(model=model, objective=objective, optimizer=optimizer, train_stack=stack, clip_norm=200.0)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    losses = []
    for step in range(30):
        batches = augmented({"a": source.take(torch.arange(8))}, stack, None, stream(0, "masks", step))
        assert all(batch.encod.isfinite().all() and batch.recon.isfinite().all() for batch in batches.values())
        noise = model.draw_noise(8, stream(0, "noise", step), sample=True, dropout=True)
        (result,) = take_step([one], [StepInputs(epoch=100, step=step, batches=batches, noise=noise)])
        losses.append(result.losses.recon.item())
        if step == 0:
            missing = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
            assert missing == []
            assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert all(not torch.equal(value, before[name]) for name, value in model.named_parameters() if value.requires_grad)


def test_what_was_not_observed_costs_nothing_and_moves_nothing(registry):
    """The value that stands in for a missing one reaches no gradient."""
    config, session = resolve([], ["zig"], [*SMALL, "model.dropout=0"], registry), make_session("events with gaps")
    config = resolve_auto(config, [session])
    model = prepare_model(config, [session], registry, "cpu")
    stack, _ = build_stacks(config, registry)
    batch = augmented({"a": put_on("cpu", [session]).splits["train"]["a"].take(torch.arange(8))}, stack, None, stream(0))["a"]
    gone = batch.masks["sbtt/observed"] == 0
    noise = model.draw_noise(8, stream(1), sample=True, dropout=False)

    def gradient(batch):
        model.zero_grad()
        losses = Objective(config.regularisation)(model, {"a": batch}, model({"a": batch}, noise), noise, stack, 100)
        losses.total.backward()
        return losses.total.detach(), [value.grad.clone() for value in model.parameters() if value.grad is not None]

    total, first = gradient(batch)
    other, second = gradient(replace(batch, recon=torch.where(gone, 3.0, batch.recon)))
    assert torch.equal(total, other)
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


def test_recipes_say_what_they_choose(registry):
    chosen = {}
    for name in RECIPES:
        components = resolve([], [name], [], registry).components
        chosen[name] = (
            components.reconstruction.name,
            [part.name for part in components.train_augmentations],
            [part.name for part in components.infer_augmentations],
            components.loss_order,
        )
    assert chosen == {
        "spikes": ("poisson", ["coordinated-dropout"], [], None),
        "gaussian": ("gaussian", ["coordinated-dropout"], [], None),
        "zig": ("zero-inflated-gamma", ["sbtt", "coordinated-dropout"], ["sbtt"], ("coordinated-dropout", "sbtt")),
        "radical": ("zero-inflated-gamma", ["sbtt", "coordinated-dropout"], ["sbtt"], ("coordinated-dropout", "sbtt")),
        "emg": ("gamma", ["temporal-shift", "coordinated-dropout", "random-gain"], [], None),
    }


def test_the_recipe_gaussian_weighs_gradients_and_the_reconstruction_by_itself_is_the_published_one(registry):
    recipe, component = resolve([], ["gaussian"], [], registry), resolve([], [], ["components.reconstruction=gaussian"], registry)
    assert [made.components.reconstruction.settings.beta for made in (recipe, component)] == [0.5, 0.0]


def test_every_component_is_built_from_its_default_settings(registry):
    context = {PriorSpec: (3,), ReconstructionSpec: (3,), AugmentationSpec: ()}
    for record, given in context.items():
        assert registry.all(record)
        for spec in registry.all(record):
            part = spec.build(spec.config(), *given)
            assert type(part).__module__.startswith("lfads_plugins_"), spec.name


def test_every_setting_has_a_meaning_and_a_rule_where_numbers_can_be_wrong(registry):
    """A number without a rule must be one that may take any value."""
    free = {"mean", "location", "forget_bias", "key"}
    layers, priced = (EncoderSpec, GeneratorSpec, ReadinSpec, ReadoutSpec), (PriorSpec, LatentSpec, LossSpec, AlignmentSpec)
    for record in (ReconstructionSpec, AugmentationSpec, *layers, *priced):
        assert registry.all(record)
        for spec in registry.all(record):
            for field in attrs.fields(spec.config):
                assert field.metadata["meaning"], (spec.name, field.name)
                if field.type not in ("bool", bool) and field.name not in free:
                    assert field.metadata["rule"] is not None, (spec.name, field.name)
