"""When a training ends, what its learning rate does, and which checkpoint is the best."""

from __future__ import annotations

import json
import math

import pytest

from lfads_core.config.schema import OptimConfig, RampConfig, RegularisationConfig
from lfads_core.track.fitlog import read_fitlog
from lfads_core.train.schedule import Plateau, ramps_end
from lfads_core.train.top_k import BestSoFar


def test_the_rate_falls_after_more_than_patience_epochs_without_a_better_cost():
    plateau = Plateau(OptimConfig(lr=1.0, decay=0.5, patience=2, min_lr=0.2), 1.0)
    costs = [5.0, 4.0, 4.0, 4.0, 4.0, 3.9, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0]
    assert [plateau.update(cost) for cost in costs] == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2]
    assert plateau.at_floor


def test_states_survive_json():
    plateau, best = Plateau(OptimConfig(patience=6), 0.1), BestSoFar(3)
    for state in (plateau.state(), best.state()):
        json.dumps(state, allow_nan=False)
    plateau.restore(json.loads(json.dumps(plateau.state())))
    best.restore(json.loads(json.dumps(best.state())))
    assert (plateau.best, best.cost, best.epoch) == (math.inf, math.inf, -1)
    plateau.update(0.1 + 0.2)
    best.update(4, 0.1 + 0.2)
    plateau.restore(json.loads(json.dumps(plateau.state())))
    assert (plateau.best, BestSoFar(3, **best.state()).cost) == (0.1 + 0.2, 0.1 + 0.2)


def test_epochs_before_the_ramps_end_are_never_the_best():
    config = RegularisationConfig(kl_ramp=RampConfig(start_epoch=1, increase_epochs=2), l2_ramp=RampConfig(increase_epochs=1))
    best = BestSoFar(ramps_end(config))
    assert [best.update(epoch, cost) for epoch, cost in enumerate([0.1, 0.1, 0.1, 3.0, 2.0, 2.5])] == [False, False, False, True, True, False]
    assert [best.epochs_without_better(epoch) for epoch in (4, 5, 9)] == [0, 1, 5]
    assert [BestSoFar(3).epochs_without_better(epoch) for epoch in (1, 2, 5)] == [-1, 0, 3]


def test_the_best_checkpoint_is_that_of_the_least_smoothed_cost_after_the_ramps(train_tiny):
    run = train_tiny("train.epochs=12", "optim.lr=0.03").run
    log = read_fitlog(run.fitlog)
    smooth = [cost if epoch >= 2 else math.inf for epoch, cost in zip(log["epoch"], log["valid/recon_smooth"], strict=True)]
    manifest = json.loads((run.checkpoints / "best.json").read_text())
    assert manifest["state"]["epoch"] - 1 == smooth.index(min(smooth))
    assert log["kl_ramp"][:4] == [1 / 3, 2 / 3, 1, 1]
    expected = log["valid/recon"][0]
    for value, shown in zip(log["valid/recon"][1:], log["valid/recon_smooth"][1:], strict=True):
        expected = 0.7 * expected + 0.3 * value
        assert shown == pytest.approx(expected, rel=1e-12)


def test_a_run_that_ends_within_the_ramps_has_no_best_and_is_inferred_with_the_last(train_tiny):
    done = train_tiny("train.epochs=2")
    assert not (done.run.checkpoints / "best.json").exists()
    assert done.run.output("tiny").exists()


@pytest.mark.long
def test_training_stops_at_the_floor_of_the_rate(train_tiny, resume, capsys):
    settings = ("optim.lr=0.5", "optim.decay=0.1", "optim.patience=0", "optim.min_lr=0.004", "train.epochs=300", "train.early_stopping=null")
    done = train_tiny(*settings)
    assert done.outcome == "learning rate"
    text = capsys.readouterr().out
    assert f"training ended after {done.run.read_state()['epochs']} epochs: the learning rate has fallen to optim.min_lr" in text
    assert resume().outcome == "learning rate"
    before = done.run.read_state()["epochs"]
    assert resume("optim.lr=0.4").outcome == "learning rate"
    assert done.run.read_state()["epochs"] > before


def test_early_stopping_counts_from_the_end_of_the_ramps(train_tiny, resume):
    settings = ("optim.lr=1e-12", "optim.min_lr=1e-13", "train.smoothing=0", "model.dropout=0", "train.early_stopping=2", "train.epochs=50")
    done = train_tiny(*settings, "regularisation.kl_ramp.increase_epochs=6")
    log = read_fitlog(done.run.fitlog)
    assert done.outcome == "early stopping"
    after = log["valid/recon"][6:]
    best = 6 + after.index(min(after))
    assert len(log["epoch"]) == best + 1 + 2
    assert resume().outcome == "early stopping"
    assert resume("train.early_stopping=null", "train.epochs=20").outcome == "epochs"


def test_minutes_count_over_all_resumes(train_tiny, resume, monkeypatch, capsys):
    from lfads_core.train import loop

    class Clock:
        now = 0.0

        def monotonic(self):
            self.now += 10.0
            return self.now

    monkeypatch.setattr(loop, "time", Clock())
    assert train_tiny("train.epochs=2").outcome == "epochs"
    done = resume("train.epochs=100", "train.minutes=2")
    assert done.outcome == "minutes"
    seconds = read_fitlog(done.run.fitlog)["seconds"]
    assert seconds == sorted(seconds)
    assert seconds[-1] <= 130
    assert len(seconds) < 10
    assert "train.minutes (2.0) used up" in capsys.readouterr().out
