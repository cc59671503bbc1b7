"""Pruning: which weights become 0, that they stay so, and that nothing else is touched."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

import lfads_core
from lfads_core.errors import ConfigError
from lfads_core.train import loop
from lfads_core.train.loop import train_members

HALF = ("train.prune.fraction=0.5",)
MATRICES = ("weight", "input", "recurrent")


def weights(trainer):
    return {name: p.detach().numpy().copy() for name, p in trainer.model.named_parameters()}


def fit(trainer, stop=lambda: False):
    return loop.fit(trainer, lambda *_: None, stop)


def matrices(values):
    return [name for name in values if name.rpartition(".")[2] in MATRICES]


def test_the_smallest_values_of_each_matrix_and_no_others_become_0(make_trainer):
    full, pruned = make_trainer("full", "train.epochs=2"), make_trainer("pruned", "train.epochs=2", "train.prune={fraction: 0.3, start_epoch: 2}")
    fit(full)
    fit(pruned)
    before = weights(full)
    for name, value in weights(pruned).items():  # an epoch that was not trained prunes nothing
        np.testing.assert_array_equal(value, before[name])
    pruned.allow(3)
    next(pruned.remaining())  # the third epoch begins, and has not changed anything yet
    after = weights(pruned)
    assert len(matrices(after)) >= 12
    for name, value in after.items():
        if name in matrices(after):
            count = round(0.3 * value.size)
            cut = np.sort(np.abs(before[name]), axis=None)[count - 1] if count else -1.0
            np.testing.assert_array_equal(value, np.where(np.abs(before[name]) <= cut, 0, before[name]))
            assert (value == 0).sum() == count
        else:
            np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("more", [(), ("optim.weight_decay=0.1", "train.prune.names=[decoder.generator, '*.recurrent']")])
def test_what_is_0_stays_0_while_everything_else_is_trained(more, make_trainer):
    trainer = make_trainer("a", *HALF, "train.prune.start_epoch=1", *more, "train.epochs=4")
    trainer.allow(1)
    fit(trainer)
    full = weights(trainer)
    trainer.allow(2)
    next(trainer.remaining())
    zeros = {name: value == 0 for name, value in weights(trainer).items()}
    trainer.allow(4)
    fit(trainer)
    for name, value in weights(trainer).items():
        np.testing.assert_array_equal(value[zeros[name]], 0, err_msg=name)
        if more and name != "ic_prior.log_var" and not zeros[name].any() and value.size:
            assert not np.array_equal(value, full[name]), name
    named = [n for n in full if n.startswith("decoder.generator.") or n.endswith(".recurrent")] if more else matrices(full)
    assert {name for name in zeros if zeros[name].sum() == round(0.5 * zeros[name].size) and zeros[name].size} >= {n for n in named if full[n].size}


@pytest.mark.long
def test_an_interrupted_pruned_run_goes_on_bit_by_bit(make_trainer):
    settings = (*HALF, "train.prune.start_epoch=1", "train.epochs=4")
    whole = make_trainer("whole", *settings)
    fit(whole)
    for steps in (2, 3, 4, 8):  # before, at, within and after the epoch that begins with pruning; three steps an epoch
        asked = itertools.count()
        assert fit(make_trainer(f"broken {steps}", *settings), lambda n=steps, c=asked: next(c) == n) == "interrupted"
        again = make_trainer(f"broken {steps}", *settings)
        again.restore()
        fit(again)
        for name, value in weights(whole).items():
            np.testing.assert_array_equal(weights(again)[name], value, err_msg=f"{name} after {steps} steps")
        assert again.progress.state() | {"seconds": 0} == whole.progress.state() | {"seconds": 0}
        assert all(torch.equal(mask, again.optimizer.pruned[i]) for i, mask in whole.optimizer.pruned.items())


def test_a_return_to_a_checkpoint_before_the_pruning_prunes_again(make_trainer):
    trainer = make_trainer("a", *HALF, "train.prune.start_epoch=1", "train.epochs=2")
    trainer.allow(1)
    fit(trainer)
    next(trainer.remaining())
    first = weights(trainer)
    trainer.restore()
    assert not trainer.optimizer.pruned
    assert (weights(trainer)["decoder.generator.recurrent"] != 0).all()
    next(trainer.remaining())
    assert all(np.array_equal(value, first[name]) for name, value in weights(trainer).items())


def test_members_of_a_population_are_pruned_each_by_its_own_settings(make_trainer):
    own = {
        "half": (*HALF, "train.prune.start_epoch=1"),
        "none": ("train.seed=1",),
        "some": ("train.prune={fraction: 0.25, names: ['readouts.*', decoder.generator.recurrent]}", "train.seed=2"),
    }
    together = [make_trainer(f"together {name}", *settings, "train.epochs=3") for name, settings in own.items()]
    assert [end.status for end in train_members(together, lambda *_: None, lambda: False)] == ["done"] * 3
    for trainer, (name, settings) in zip(together, own.items(), strict=True):
        alone = make_trainer(f"alone {name}", *settings, "train.epochs=3")
        fit(alone)
        for parameter, value in weights(trainer).items():
            np.testing.assert_array_equal(value == 0, weights(alone)[parameter] == 0, err_msg=f"{name} {parameter}")
    shares = [(weights(trainer)["decoder.generator.recurrent"] == 0).mean() for trainer in together]
    assert shares == [0.5, 0.0, 0.25]


@pytest.mark.long
def test_a_trained_run_is_pruned_when_it_goes_on_and_more_so_later(train_tiny, resume):
    run = train_tiny("train.epochs=4").run

    def recurrent(which):
        return lfads_core.load(run.path, which).parameters()["decoder.generator.recurrent"]

    assert (recurrent("best") != 0).all()
    resume(*HALF)  # no epoch is left: the weights are pruned, and inferred as they are
    half = recurrent("last") == 0
    assert half.mean() == 0.5
    assert not (run.checkpoints / "best.json").exists()
    resume("train.epochs=6")
    assert all((recurrent(which)[half] == 0).all() for which in ("best", "last"))
    assert (recurrent("last") == 0).mean() == 0.5
    resume("train.epochs=8", "train.prune.fraction=0.75", "train.prune.start_epoch=7")
    more = recurrent("best") == 0
    assert more.mean() == 0.75
    assert more[half].all()
    resume("train.epochs=10", "train.prune=null")
    assert (recurrent("last") != 0).all()
    assert "pruned" not in json.loads((run.checkpoints / "last.json").read_text())["state"]["progress"]


def test_epochs_before_the_pruning_are_neither_best_nor_reason_to_stop(make_trainer):
    trainer = make_trainer("a", *HALF, "train.prune.start_epoch=4", "train.epochs=6", "train.early_stopping=1", "optim.lr=1e-30", "optim.min_lr=0")
    for epochs in range(1, 5):
        trainer.allow(epochs)
        assert fit(trainer) == "epochs"
        assert not (trainer.run.checkpoints / "best.json").exists()
    trainer.allow(5)
    fit(trainer)
    assert trainer.progress.best.epoch == 4


def test_without_pruning_checkpoints_hold_nothing_of_it(make_trainer):
    trainer = make_trainer("a", "train.epochs=1")
    fit(trainer)
    manifest = json.loads((trainer.run.checkpoints / "last.json").read_text())
    tensors = torch.load(trainer.run.checkpoints / manifest["tensors"], weights_only=True)
    assert set(tensors) == {"model", "arrays", "optimizer"}
    assert set(manifest["state"]["progress"]) == {"epoch", "step", "rollbacks", "seconds", "plateau", "best", "smoothed"}


def test_names_that_fit_no_trained_parameter_are_refused_before_anything_is_written(train_tiny, tmp_path):
    with pytest.raises(ConfigError) as caught:
        train_tiny("train.prune.names=['readout.*']")
    assert str(caught.value) == (
        "train.prune.names: must name parameters of the model, got 'readout.*', which fits none. Did you mean readouts or readouts.tiny?"
    )
    assert not (tmp_path / "runs").exists()
    with pytest.raises(ConfigError) as caught:
        train_tiny("train.prune.names=[encoder]", "train.frozen=[encoder]")
    assert str(caught.value).startswith("train.prune.names: must name parameters of the model, got 'encoder', which fits none.")
