"""Going on from another training's checkpoints under other settings, as a search does."""

from __future__ import annotations

import re

import pytest
import torch

from lfads_core.errors import RunError
from lfads_core.train import loop
from lfads_core.train.checkpoint import has_checkpoint, load_checkpoint


def fit(trainer):
    rows = {}
    loop.fit(trainer, lambda ended: rows.__setitem__(ended.epoch, ended.row), lambda: False)
    return rows


def state(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def test_the_learning_rate_really_changes_and_all_else_is_taken_over(make_trainer):
    parent = make_trainer("parent", "train.epochs=3", "optim.patience=0", "optim.decay=0.5")
    fit(parent)
    child = make_trainer("child", "train.epochs=5", "train.seed=1", "optim.lr=0.02", "optim.betas=[0.5, 0.6]", "optim.weight_decay=0.3")
    child.adopt(parent.run.checkpoints)
    assert all(torch.equal(value, state(child)[name]) for name, value in state(parent).items())
    assert (child.progress.epoch, child.progress.smoothed.value) == (3, parent.progress.smoothed.value)
    assert child.progress.plateau.lr == 0.02
    last, first = (load_checkpoint(trainer.run.checkpoints, "last").tensors["optimizer"]["state"] for trainer in (child, parent))
    assert all(torch.equal(first[key]["exp_avg"], last[key]["exp_avg"]) for key in first)
    used = []
    step = child.optimizer.step

    def watched(*arguments):
        group = child.optimizer.state_dict()["param_groups"][0]
        used.append((group["lr"], tuple(group["betas"]), group["weight_decay"]))
        return step(*arguments)

    child.optimizer.step = watched
    rows = fit(child)
    assert sorted(rows) == [3, 4]
    assert [row["lr"] for row in rows.values()] == [0.02, 0.02]
    assert used == [(0.02, (0.5, 0.6), pytest.approx(0.3))] * 6


def test_a_step_after_a_larger_rate_moves_the_weights_further(make_trainer):
    parent = make_trainer("parent", "train.epochs=2")
    fit(parent)

    def moved(lr):
        child = make_trainer(f"child {lr}", "train.epochs=3", f"optim.lr={lr}", "optim.min_lr=0")
        child.adopt(parent.run.checkpoints)
        fit(child)
        before, after = state(parent)["decoder.generator.recurrent"], state(child)["decoder.generator.recurrent"]
        return float((after - before).abs().mean())

    assert moved(4e-2) > 5 * moved(4e-3) > 20 * moved(4e-4)


def test_under_the_same_settings_it_is_a_plain_continuation(make_trainer):
    settings = ("optim.patience=0", "optim.decay=0.5")
    whole = make_trainer("whole", "train.epochs=5", *settings)
    fit(whole)
    half = make_trainer("half", "train.epochs=3", *settings)
    fit(half)
    rest = make_trainer("rest", "train.epochs=5", *settings)
    rest.adopt(half.run.checkpoints)
    fit(rest)
    assert all(torch.equal(value, state(rest)[name]) for name, value in state(whole).items())
    assert rest.progress.plateau.state() == whole.progress.plateau.state()
    assert rest.progress.best.state() == whole.progress.best.state()


def test_the_best_of_the_parent_comes_along_or_is_sought_anew(make_trainer):
    parent, child = make_trainer("parent", "train.epochs=3"), make_trainer("child", "train.epochs=4", "train.seed=1")
    fit(parent)
    child.allow(3)
    fit(child)
    own = load_checkpoint(child.run.checkpoints, "best").tensors["model"]["decoder.generator.recurrent"]
    child.adopt(parent.run.checkpoints)
    taken = load_checkpoint(child.run.checkpoints, "best").tensors["model"]["decoder.generator.recurrent"]
    assert not torch.equal(own, taken)
    assert torch.equal(taken, load_checkpoint(parent.run.checkpoints, "best").tensors["model"]["decoder.generator.recurrent"])
    for file in parent.run.checkpoints.glob("best*"):
        file.unlink()
    child.adopt(parent.run.checkpoints)
    assert not has_checkpoint(child.run.checkpoints, "best")
    child.allow(4)
    fit(child)
    assert child.progress.best.epoch == 3


def test_what_does_not_fit_is_refused(make_trainer):
    parent = make_trainer("parent", "train.epochs=1")
    fit(parent)
    other = make_trainer("other", "model.generator.factors=5")
    text = re.escape(f"{parent.run.checkpoints / 'last'}.json: must fit the run's config.yaml and data, got something else (RuntimeError: ")
    with pytest.raises(RunError, match=f"^{text}"):
        other.adopt(parent.run.checkpoints)
    text = re.escape(f"{other.run.path / 'start' / 'last.json'}: there is no such checkpoint. Train first, or ask for one that is there (none).")
    with pytest.raises(RunError, match=f"^{text}$"):
        other.adopt(other.run.path / "start")
