"""Learning rates of epochs against torch's schedulers, and in a run."""

from __future__ import annotations

import pytest
import torch

import lfads_core
from lfads_core.config.schema import OptimConfig
from lfads_core.train.schedule import has_fallen, learning_rate


def of_torch(make, epochs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    scheduler = make(optimizer)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("config", "make"),
    [
        (OptimConfig(lr=0.01, schedule="cosine", min_lr=1e-4), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 30, eta_min=1e-4)),
        (OptimConfig(lr=0.01, schedule="step", step_epochs=7, decay=0.5, min_lr=0), lambda o: torch.optim.lr_scheduler.StepLR(o, 7, 0.5)),
        (OptimConfig(lr=0.01, schedule="exponential", decay=0.9, min_lr=0), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
    ],
)
def test_the_schedules_are_those_of_torch(config, make):
    assert [learning_rate(config, 0.01, epoch, 30) for epoch in range(30)] == pytest.approx(of_torch(make, 30), rel=1e-9)


def test_warm_up_grows_to_the_schedules_rate():
    config = OptimConfig(lr=0.01, warmup_epochs=3)
    assert [learning_rate(config, 0.01, epoch, 9) for epoch in range(5)] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])
    assert learning_rate(OptimConfig(lr=0.01), 0.007, 5, 9) == 0.007


def test_a_rate_that_has_fallen_to_its_floor_stays_there_and_ends_the_training():
    config = OptimConfig(lr=0.01, schedule="exponential", decay=0.1, min_lr=1e-4)
    assert learning_rate(config, 0.01, 8, 30) == 1e-4
    assert [has_fallen(config, 0.01, epoch) for epoch in (1, 2, 3)] == [False, True, True]
    assert not has_fallen(OptimConfig(lr=0.01, schedule="cosine"), 0.01, 1000)


def test_a_run_logs_the_rate_of_its_schedule_and_goes_on_along_it(train_tiny, resume, end_state):
    overrides = ("optim.schedule=cosine", "optim.warmup_epochs=1", "optim.min_lr=0.0001", "train.epochs=4")
    run = train_tiny(*overrides).run
    config = OptimConfig(lr=4e-3, schedule="cosine", warmup_epochs=1, min_lr=1e-4)
    assert lfads_core.load(run.path).columns()["lr"] == pytest.approx([learning_rate(config, 4e-3, epoch, 4) for epoch in range(4)], rel=1e-5)


def test_a_steep_schedule_stops_the_run(train_tiny):
    done = train_tiny("optim.schedule=exponential", "optim.decay=0.1", "optim.min_lr=0.0003", "train.epochs=9")
    assert done.outcome == "learning rate"
    assert len(lfads_core.load(done.run.path).columns()["lr"]) == 2
