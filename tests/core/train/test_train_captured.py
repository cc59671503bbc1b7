"""A captured step computes what the step it is made of computes, bit for bit. The graph is a stand-in: see ``replaying``."""

from __future__ import annotations

import logging
from functools import partial

import pytest
import torch
from replaying import RefusedError, StandIn

from lfads_core.recurrence import fused_controlled, fused_gru
from lfads_core.train import captured, health, step
from lfads_core.train.captured import REHEARSALS, StepGraphs
from lfads_core.train.population import step_together

SETTINGS = {
    "std default": (),
    "no controller": ("model.controller=null",),
    "decay and clip": ("optim.weight_decay=0.3", "optim.clip_norm=0.5", "optim.schedule=exponential", "optim.warmup_epochs=2"),
    "student-t": ("components.ic_prior=student-t", "components.input_prior=student-t"),
    "two sizes of batches": ("data.batch_size=5",),
}


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch):
    """Leave all looking to the end of the epoch, and do not ask whether a state was clipped, as on a GPU."""
    monkeypatch.setattr(health, "ASKED_AT_ONCE", ())
    monkeypatch.setattr(step, "ASKED_AT_ONCE", ())
    for module in (fused_gru, fused_controlled):
        monkeypatch.setattr(module, "clip_masks", lambda after, clip: (after.abs() < clip).to(after.dtype).unbind(0))


class Graphs(StepGraphs):
    """Captures with stand-ins, which it remembers."""

    def __init__(self):
        self.made = []
        super().__init__(self._make)

    def _make(self):
        self.made.append(StandIn())
        return self.made[-1]

    @property
    def replayed(self):
        return sum(one.replayed for one in self.made)


def everything(trainer):
    """Weights, moments and averages so far."""
    sums = {name: value.clone() for name, value in trainer.sums.sums.items()}
    moments = {(i, name): value.clone() for i, of in trainer.optimizer.moments.items() for name, value in vars(of).items()}
    return {**{name: value.clone() for name, value in trainer.model.state_dict().items()}, **moments, **sums}


def same(one, other):
    assert one.keys() == other.keys()
    assert [name for name, value in one.items() if not torch.equal(value, other[name])] == []


def epochs(trainer, count):
    """Train so many epochs; what there is after each."""
    seen = []
    for _ in range(count):
        assert trainer._train_epoch(lambda: False)
        seen.append(everything(trainer))
        trainer.end_epoch(trainer.validate())
    return seen


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_replayed_steps_are_the_steps_bit_for_bit(settings, make_trainer):
    """Over epochs in which the ramps, and the learning rate where there is a schedule, change."""
    plain, other = (make_trainer(name, "train.recurrence=fused", *settings) for name in ("plain", "other"))
    other.graphs = Graphs()
    for one, two in zip(epochs(plain, 5), epochs(other, 5), strict=True):
        same(one, two)
    assert other.graphs.replayed >= 5


