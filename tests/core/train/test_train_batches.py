"""What a training makes of its trials before a step, and what it says afterwards of ramps and smoothed costs."""

from __future__ import annotations

import pytest
import torch

from lfads_core.track.fitlog import read_fitlog


def test_the_segment_of_the_initial_condition_is_never_hidden(make_trainer):
    hidden = "components.train_augmentations=[{name: coordinated-dropout, rate: 0.5}]"
    trainer = make_trainer("segment", "model.encoder.ic_bins=3", hidden)
    step, raw = next(trainer.remaining())
    given, seen = raw["tiny"].encod, trainer.prepare(step, raw).batches["tiny"].encod
    assert torch.equal(seen[:, :3], given[:, :3])
    assert set((seen[:, 3:] / given[:, 3:])[given[:, 3:] > 0].tolist()) == {0.0, 2.0}


def test_the_log_has_both_ramps_each_its_own(train_tiny):
    run = train_tiny("regularisation.kl_ramp.increase_epochs=2", "regularisation.l2_ramp={start_epoch: 1, increase_epochs: 3}").run
    log = read_fitlog(run.fitlog)
    assert (log["kl_ramp"], log["l2_ramp"]) == ([1 / 3, 2 / 3, 1, 1, 1], [0, 0.25, 0.5, 0.75, 1])


def test_the_smoothed_cost_forgets_as_fast_as_the_settings_say(train_tiny):
    log = read_fitlog(train_tiny("train.smoothing=0.4", "optim.lr=0.05").run.fitlog)
    first, *costs = log["valid/recon"]
    wanted = [first]
    for cost in costs:
        wanted.append(0.4 * wanted[-1] + 0.6 * cost)
    assert log["valid/recon_smooth"] == pytest.approx(wanted, rel=1e-12)
    assert max(costs) > 1.001 * min(costs)
