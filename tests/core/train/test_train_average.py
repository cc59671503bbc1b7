"""Weights averaged over the last steps: what they are, who sees them, and that a training which goes on has the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lfads_core.infer.loading import load
from lfads_core.train.average import AveragedModel
from lfads_core.train.checkpoint import load_checkpoint


class Toy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(3))
        self.fixed = torch.nn.Parameter(torch.full((2,), 0.1), requires_grad=False)


def test_the_average_is_the_recursion_written_out():
    toy, rng = Toy(), np.random.default_rng(0)
    average, expected = AveragedModel(toy, 5), np.zeros(3)
    for k in range(1, 60):
        w = rng.normal(size=3).astype("f4")
        with torch.no_grad():
            toy.w.copy_(torch.from_numpy(w))
        average.follow()
        d = min(1 - 1 / 5, k / (k + 9))
        expected = d * expected + (1 - d) * w
    np.testing.assert_allclose(average.model.w.detach().numpy(), expected, atol=1e-6)
    assert torch.equal(average.model.fixed, toy.fixed)
    assert not toy.w.grad_fn


def test_an_average_goes_on_from_what_a_checkpoint_keeps():
    toy = Toy()
    one = AveragedModel(toy, 5)
    with torch.no_grad():
        toy.w.add_(1.0)
    one.follow()
    two = AveragedModel(toy, 5)
    two.restore({"weights": {k: v.clone() for k, v in one.tensors()["weights"].items()}, "steps": one.tensors()["steps"].clone()})
    for average in (one, two):
        average.follow()
    assert torch.equal(one.model.w, two.model.w)
    two.restore(None)
    assert torch.equal(two.model.w, toy.w)
    assert two.taken == 0


def test_training_does_not_see_the_average(train_tiny):
    plain = train_tiny("train.average=0", name="plain").run
    averaged = train_tiny("train.average=4", name="averaged").run
    last = [load_checkpoint(run.checkpoints, "last").tensors for run in (plain, averaged)]
    assert all(torch.equal(last[0]["model"][key], value) for key, value in last[1]["model"].items())
    assert "average" not in last[0]
    assert not torch.equal(last[1]["average"]["weights"]["decoder.generator.recurrent"], last[1]["model"]["decoder.generator.recurrent"])


def test_the_average_is_what_is_judged_kept_and_used(train_tiny):
    run = train_tiny("train.average=4", "regularisation.kl_ramp.increase_epochs=0", "regularisation.l2_ramp.increase_epochs=0").run
    loaded = load(run.path, "last").model.state_dict()
    last = load_checkpoint(run.checkpoints, "last").tensors
    assert all(torch.equal(loaded[key], value) for key, value in last["average"]["weights"].items())
    best = load_checkpoint(run.checkpoints, "best")
    if best.state["epoch"] == 5:
        assert torch.equal(best.tensors["model"]["decoder.generator.recurrent"], loaded["decoder.generator.recurrent"])


@pytest.mark.long
@pytest.mark.parametrize("passes", [1, 3])
def test_a_training_that_goes_on_has_the_same_average_bit_by_bit(train_tiny, resume, end_state, passes, tmp_path):
    settings = ("train.average=4", f"data.passes={passes}")
    train_tiny(*settings, "train.epochs=4", name="whole")
    train_tiny(*settings, "train.epochs=2")
    resume("train.epochs=4")
    one, two = end_state(tmp_path / "runs/whole"), end_state(tmp_path / "runs/run")
    assert one == two


def test_an_epoch_of_several_passes_visits_every_trial_as_often(train_tiny, tmp_path):
    one = train_tiny("data.passes=1", "train.epochs=1", name="one").run
    three = train_tiny("data.passes=3", "train.epochs=1", name="three").run
    weights = [load_checkpoint(run.checkpoints, "last").tensors["optimizer"]["state"][0]["step"].item() for run in (one, three)]
    assert weights == [3, 9]  # 12 trials, 4 a step
