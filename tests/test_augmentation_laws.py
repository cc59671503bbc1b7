"""What holds for every augmentation of the packages and for stacks of them: pure, reproducible, ordered."""

from __future__ import annotations

import copy
import pickle

import attrs
import pytest
import torch

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components import AbstractAugmentation
from lfads_core.components.batch import Batch
from lfads_core.rng import stream
from lfads_plugins_calcium import plugin as calcium
from lfads_plugins_emg import plugin as emg
from lfads_plugins_std import plugin as std

SPECS = {spec.name: spec for module in (std, calcium, emg) for spec in module.lfads_augmentations()}


@pytest.fixture(params=SPECS)
def part(request):
    spec = SPECS[request.param]
    return spec.build(spec.config())


def make_batch(trials=4, *, missing=False, seed=0):
    recon = torch.poisson(torch.full((trials, 9, 5), 1.5), generator=stream(seed, "recon"))
    if missing:
        recon[0, 3] = torch.nan
    extras = {"speed": torch.arange(trials, dtype=torch.float32)}
    return Batch(
        encod=recon[:, :7, :3].clone(), recon=recon, external=recon.new_ones(trials, 9, 2), trials=torch.arange(trials), ic_bins=2, extras=extras
    )


def tensors(batch):
    return {"encod": batch.encod, "recon": batch.recon, "external": batch.external, "trials": batch.trials, **batch.masks, **batch.extras}


def alike(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k].nan_to_num(-1), other[k].nan_to_num(-1)) for k in one)


def a_loss(batch, seed=0):
    return torch.empty(batch.recon.shape).normal_(generator=stream(seed, "loss"))


def test_names_of_parts_are_those_they_are_registered_under():
    assert {name: spec.build(spec.config()).name for name, spec in SPECS.items()} == {name: name for name in SPECS}


def test_the_same_noise_gives_the_same_batch_and_the_batch_that_came_in_stays(part):
    before = make_batch()
    kept = copy.deepcopy(tensors(before))
    noise = part.draw(before, stream(1))
    first, second = part.augment(before, noise), part.augment(before, noise)
    assert alike(tensors(first), tensors(second))
    assert alike(tensors(before), kept)


def test_noise_comes_again_with_the_seed(part):
    before = make_batch()
    first, again = part.draw(before, stream(1)), part.draw(before, stream(1))
    assert alike(dict(first), dict(again))


def test_shapes_and_types_stay_and_what_is_not_data_is_left_alone(part):
    before = make_batch()
    after = part.augment(before, part.draw(before, stream(1)))
    for name in ("encod", "recon", "external", "trials"):
        was, now = getattr(before, name), getattr(after, name)
        assert (was.shape, was.dtype) == (now.shape, now.dtype)
    assert torch.equal(after.external, before.external)
    assert torch.equal(after.trials, before.trials)
    assert after.extras is before.extras
    assert after.ic_bins == before.ic_bins


def test_nothing_is_remembered_even_after_a_step_that_failed(part):
    before = make_batch()
    noise = part.draw(before, stream(1))
    state = copy.deepcopy(vars(part))
    wanted = part.augment(before, noise)
    loss = part.weigh(a_loss(before), wanted)
    # A step whose loss is never weighed, another batch size, a second augmentation before the first loss.
    for trials in (2, 7):
        other = make_batch(trials, seed=3)
        part.augment(other, part.draw(other, stream(2)))
    assert torch.equal(part.weigh(a_loss(before), wanted), loss)
    assert alike(tensors(part.augment(before, noise)), tensors(wanted))
    assert vars(part) == state
    assert vars(pickle.loads(pickle.dumps(part))) == state


def test_a_mask_follows_its_trials_when_the_batch_is_rearranged(part):
    """What the loss needs is in the batch: weighing a batch and then choosing trials is the same both ways round."""
    if part.name == "sbtt":  # its share is that of the whole batch
        return
    before = make_batch(6)
    after = part.augment(before, part.draw(before, stream(1)))
    pick = torch.tensor([4, 0, 3])
    fewer = Batch(
        encod=after.encod[pick],
        recon=after.recon[pick],
        external=after.external[pick],
        trials=after.trials[pick],
        ic_bins=after.ic_bins,
        masks={name: mask[pick] for name, mask in after.masks.items()},
    )
    loss = a_loss(after)
    assert torch.equal(part.weigh(loss, after)[pick], part.weigh(loss[pick], fewer))


class Times(AbstractAugmentation):
    """Multiplies data and loss, then adds one: two of them tell their order."""

    def __init__(self, name, factor):
        self.name, self.factor = name, float(factor)

    def augment(self, batch, noise):
        return with_recon(batch, batch.recon * self.factor + 1)

    def weigh(self, loss, batch):
        return loss * self.factor + 1

    def measure(self, loss, batch):
        return {self.name: loss.mean() * self.factor}


def with_recon(batch, recon):
    return Batch(encod=batch.encod, recon=recon, external=batch.external, trials=batch.trials)


def test_batches_are_changed_in_one_order_and_losses_in_another():
    two, five = Times("two", 2), Times("five", 5)
    stack = AugmentationStack.ordered([two, five], ["five", "two"])
    before = make_batch()
    after = stack.draw_and_augment(before, stream(0))
    assert torch.equal(after.recon, (before.recon * 2 + 1) * 5 + 1)
    loss = a_loss(before)
    assert torch.equal(stack.weigh(loss, after), (loss * 5 + 1) * 2 + 1)
    assert stack.measure(loss, after) == {"five": loss.mean() * 5, "two": loss.mean() * 2}


@pytest.mark.parametrize(("names", "factor"), [(None, [2, 5]), (["five"], [5]), (["five", "absent"], [5]), ([], [])])
def test_the_loss_order_may_be_the_batch_order_or_leave_some_out(names, factor):
    stack = AugmentationStack.ordered([Times("two", 2), Times("five", 5)], names)
    assert [part.factor for part in stack.loss_order] == factor
    assert [part.factor for part in stack.batch_order] == [2, 5]


def test_given_noise_replays_what_was_drawn():
    parts = [SPECS[name].build(SPECS[name].config()) for name in ("sbtt", "coordinated-dropout")]
    stack = AugmentationStack.ordered(parts, None)
    before = make_batch(missing=True)
    rng = stream(4)
    noise, batch = {}, before
    for part in parts:
        noise[part.name] = part.draw(batch, rng)
        batch = part.augment(batch, noise[part.name])
    assert alike(tensors(stack.augment(before, noise)), tensors(batch))
    assert alike(tensors(stack.draw_and_augment(before, stream(4))), tensors(batch))


def test_missing_values_and_dropout_work_in_either_order_of_the_loss():
    before = make_batch(missing=True)
    results = []
    for order in (["sbtt", "coordinated-dropout"], ["coordinated-dropout", "sbtt"]):
        parts = [SPECS[name].build(SPECS[name].config()) for name in ("sbtt", "coordinated-dropout")]
        stack = AugmentationStack.ordered(parts, order)
        after = stack.draw_and_augment(before, stream(0))
        loss = a_loss(after).requires_grad_()
        weighed = stack.weigh(loss, after)
        (gradient,) = torch.autograd.grad(weighed.sum(), loss)
        results += [(weighed.detach(), gradient)]
    torch.testing.assert_close(results[0], results[1])
    observed = ~before.recon.isnan()
    assert (results[0][0][~observed] == 0).all()
    assert (results[0][1][~observed] == 0).all()


def test_settings_are_kept_as_given():
    for spec in SPECS.values():
        if attrs.fields(spec.config):
            settings = spec.config()
            assert spec.build(settings).config is settings
