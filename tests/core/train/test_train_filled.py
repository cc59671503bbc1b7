"""A batch that is filled up to another size costs what it cost, and teaches what it taught."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lfads_core.components import AbstractAugmentation
from lfads_core.components.batch import mean_over_trials
from lfads_core.model.rows import tensors_in
from lfads_core.objective.terms import reduce_reconstruction
from lfads_core.train.filled import Sizes, counts_of, filled, may_be_filled

STITCHED = ("components.readin=linear", "data.batch_size=6", "train.recurrence=fused", "train.average=0")
RECIPES = {
    "std default": {},
    "sum": {"overrides": ("regularisation.reduce=sum",)},
    "student-t, a further latent": {
        "overrides": ("components.ic_prior=student-t", "components.input_prior=student-t", "components.latents=[{name: context, size: 2}]")
    },
    "sample validation": {"overrides": ("components.train_augmentations=[{name: sample-validation}]",)},
    "zig with gaps": {"plugins": ("zig",), "overrides": ("components.train_augmentations=[{name: sbtt}, {name: coordinated-dropout}]",)},
}


@pytest.fixture
def data(write_tiny):
    """Two sessions of other channels and trials; of positive numbers, with a gap."""

    def write(gaps):
        rng = np.random.default_rng(0)
        paths = []
        for name, channels, trials in (("a", 5, 9), ("b", 4, 8)):
            found = {split: rng.poisson(1.0, (trials, 3, channels)).astype(np.float32) for split in ("train", "valid")}
            if gaps:
                found["train"][:3, 1, 2] = np.nan
            paths.append(write_tiny(f"{name}.h5", **{f"{split}_encod_data": values for split, values in found.items()}))
        return paths

    return write


@pytest.fixture
def prepared(make_trainer, data):
    """``prepared(recipe)``: a trainer, a step of it, and the same filled up by 2 trials of one session and 3 of the other."""

    def make(overrides=(), plugins=()):
        trainer = make_trainer("one", *STITCHED, *overrides, data=data(gaps=bool(plugins)), plugins=plugins)
        ready = trainer.prepare(*next(trainer.remaining()))
        sizes, (one, other) = Sizes(), counts_of(ready.batches).values()
        sizes.most = dict(zip(ready.batches, (one + 2, other + 3), strict=True))
        return trainer, ready, filled(ready.batches, ready.noise, sizes)

    return make


def losses_of(trainer, batches, noise, epoch=5):
    trainer.optimizer.zero_grad()
    output = trainer.model(batches, noise)
    output.latents.factors.retain_grad()
    losses = trainer.objective(trainer.model, batches, output, noise, trainer.train_stack, epoch)
    losses.total.backward()
    gradients = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
    return output, losses, gradients


@pytest.mark.parametrize("recipe", [pytest.param(value, id=name) for name, value in RECIPES.items()])
def test_outputs_terms_and_gradients_are_the_same_to_rounding_and_trials_that_fill_up_have_no_gradient(recipe, prepared):
    trainer, ready, (batches, noise) = prepared(**recipe)
    assert may_be_filled(trainer.model, trainer.train_stack)
    plain, own, gradients = losses_of(trainer, ready.batches, ready.noise)
    more, theirs, filled_gradients = losses_of(trainer, batches, noise)
    for name, rows in plain.rows.items():
        first, count = more.rows[name].start, rows.stop - rows.start
        kept = slice(first, first + count)
        torch.testing.assert_close(more.params[name][:count], plain.params[name], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(more.latents.factors[kept], plain.latents.factors[rows], rtol=1e-5, atol=1e-6)
        left = more.latents.factors.grad[kept.stop : more.rows[name].stop]
        assert left.shape[0] in {2, 3}
        assert not left.any()
    pairs = [(theirs.terms(), own.terms()), (theirs.per_session, own.per_session), (theirs.measures, own.measures)]
    for found, expected in pairs:
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=2e-6, atol=1e-7, msg=name)
    assert filled_gradients.keys() == gradients.keys()
    size = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(value) for value in gradients.values()]))
    for name, value in gradients.items():
        torch.testing.assert_close(filled_gradients[name], value, rtol=1e-4, atol=float(1e-6 * size), msg=name)


def test_what_fills_a_batch_up_is_its_first_trial_with_weight_0_and_draws_stay_with_their_trials(prepared):
    _, ready, (batches, noise) = prepared()
    first, places = 0, []
    for name, batch in ready.batches.items():
        places += range(first, first + batch.trials.shape[0])
        first += batches[name].trials.shape[0]
    for drawn, own in zip(tensors_in(noise), tensors_in(ready.noise), strict=True):
        assert drawn.shape[0] == first
        assert torch.equal(drawn[places], own)
    for name, batch in ready.batches.items():
        more, count = batches[name], batch.trials.shape[0]
        assert more.weights.tolist() == [1.0] * count + [0.0] * (more.trials.shape[0] - count)
        assert torch.equal(more.recon[:count], batch.recon)
        assert all(torch.equal(row, batch.recon[0]) for row in more.recon[count:])


def test_a_mean_over_trials_leaves_out_those_of_weight_0_whatever_they_are():
    values = torch.tensor([[1.0, 2.0], [3.0, 6.0], [torch.nan, torch.inf]], requires_grad=True)
    weights = torch.tensor([1.0, 1.0, 0.0])
    found = mean_over_trials(values, weights)
    found.backward()
    assert found.item() == 3.0
    assert values.grad.tolist() == [[0.25, 0.25], [0.25, 0.25], [0.0, 0.0]]
    loss = torch.arange(12.0).reshape(3, 2, 2)
    assert reduce_reconstruction(loss, "mean", weights).item() == 3.5
    assert reduce_reconstruction(loss, "sum", weights).item() == (6 + 22) / 2


class Own(AbstractAugmentation):
    """Weighs by something that mixes trials, and does not say otherwise."""

    name = "own"

    def augment(self, batch, noise):
        return batch

    def weigh(self, loss, batch):
        return loss / loss.detach().mean()


def test_a_batch_is_not_filled_up_where_trials_cannot_be_left_out(make_trainer):
    trainer = make_trainer("one")
    of_plugins = make_trainer("two", "components.losses=[{name: input-correlation, scale: 0.1}]")
    stack = type(trainer.train_stack)([], [Own()])
    assert may_be_filled(trainer.model, trainer.train_stack)
    assert not may_be_filled(trainer.model, stack)
    assert not may_be_filled(of_plugins.model, of_plugins.train_stack)


def test_masks_that_have_no_row_for_each_trial_are_left_as_they_are(prepared):
    _, ready, _ = prepared()
    sizes = Sizes()
    sizes.most = {name: count + 1 for name, count in counts_of(ready.batches).items()}
    first = next(iter(ready.batches))
    ready.batches[first].masks["own/scalar"] = torch.ones(())
    assert filled(ready.batches, ready.noise, sizes) is None


def test_sizes_say_when_batches_differ_and_when_a_larger_one_was_seen(prepared):
    _, ready, (larger, _) = prepared()
    sizes = Sizes()
    see = sizes.see
    assert [see(ready.batches), sizes.differ] == [False, False]
    assert [see(ready.batches), sizes.differ] == [False, False]
    assert [see(larger), sizes.differ] == [True, True]
    assert [see(ready.batches), see(larger), sizes.differ] == [False, False, True]
