"""Checkpoints are copied between two steps and written by a thread: what is told when, and what waits for it."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import Counter

import pytest
import torch

from lfads_core.errors import RunError
from lfads_core.train import keeping, state
from lfads_core.train.checkpoint import Checkpoint, has_checkpoint, load_checkpoint, save_checkpoint
from lfads_core.train.loop import fit, train_members

NO_RAMPS = ("regularisation.kl_ramp.increase_epochs=0", "regularisation.l2_ramp.increase_epochs=0")


def never():
    return False


def writers():
    return [thread for thread in threading.enumerate() if thread.name == "lfads-write"]


@pytest.fixture
def held_up(monkeypatch):
    """``held_up(which)``: that checkpoint waits until the event given back is set."""

    def hold(which):
        go_on, save = threading.Event(), save_checkpoint

        def slow(folder, name, checkpoint):
            if name == which:
                assert go_on.wait(60)
            save(folder, name, checkpoint)

        monkeypatch.setattr(keeping, "save_checkpoint", slow)
        return go_on

    return hold


def test_training_goes_on_while_a_checkpoint_is_written(make_trainer, held_up):
    """Steps of the second epoch are taken before anything of the first is on disk; what comes to be there is the first epoch's all the same."""
    trainer, plain = make_trainer("one", "train.epochs=2"), make_trainer("plain", "train.epochs=1")
    go_on, there = held_up("last"), []

    def stop():
        if (trainer.progress.epoch, trainer.progress.step) == (0, 1):
            go_on.set()  # the one that training begins with
            trainer.keeper.wait()
            go_on.clear()
        if (trainer.progress.epoch, trainer.progress.step) == (1, 2):
            there.append(load_checkpoint(trainer.run.checkpoints, "last").state["epoch"])
            go_on.set()
            trainer.keeper.wait()
            there.append(load_checkpoint(trainer.run.checkpoints, "last"))
        return False

    assert fit(trainer, lambda _: None, stop) == "epochs"
    assert fit(plain, lambda _: None, never) == "epochs"
    assert there[0] == 0
    assert there[1].state["epoch"] == 1
    expected = load_checkpoint(plain.run.checkpoints, "last").tensors["model"]
    assert all(torch.equal(value, expected[name]) for name, value in there[1].tensors["model"].items())


def test_a_training_that_ends_has_all_on_disk_and_no_thread_left(make_trainer):
    trainer = make_trainer("one", "train.epochs=3", *NO_RAMPS)
    assert fit(trainer, lambda _: None, never) == "epochs"
    assert writers() == []
    assert [load_checkpoint(trainer.run.checkpoints, which).state["epoch"] for which in ("last", "best")] == [3, trainer.progress.best.epoch + 1]


def test_members_that_end_together_are_written_side_by_side(make_trainer, monkeypatch):
    """Each waits for the other in its thread; written one after the other, both would wait in vain."""
    both, save = threading.Barrier(2, timeout=60), save_checkpoint

    def meeting(folder, name, checkpoint):
        if checkpoint.state["epoch"] == 1 and name == "last":
            both.wait()
        save(folder, name, checkpoint)

    monkeypatch.setattr(keeping, "save_checkpoint", meeting)
    members = [make_trainer(name, "train.epochs=1") for name in ("one", "two")]
    assert [end.status for end in train_members(members, lambda *_: None, never)] == ["done", "done"]
    assert [load_checkpoint(member.run.checkpoints, "last").state["epoch"] for member in members] == [1, 1]


def test_a_member_that_fails_at_once_has_its_checkpoint_on_disk_by_the_time_it_is_said(make_trainer, held_up, monkeypatch):
    trainer, go_on = make_trainer("one"), held_up("last")

    def failing(*_):
        threading.Timer(0.3, go_on.set).start()
        raise RuntimeError("mine")

    monkeypatch.setattr(trainer, "prepare", failing)
    end = next(train_members([trainer], lambda *_: None, never))
    assert (end.status, end.error) == ("failed", "RuntimeError: mine")
    assert has_checkpoint(trainer.run.checkpoints, "last")


FULL = "must be written in full, got: No space left on device. Make room or mend the folder; what was there before is untouched."


@pytest.fixture
def full_from(monkeypatch):
    """``full_from(n)``: the disk is full from the checkpoint ``last`` of epoch n on."""

    def fill(epoch):
        save = save_checkpoint

        def failing(folder, name, checkpoint):
            if checkpoint.state["epoch"] >= epoch:
                monkeypatch.setattr("pathlib.Path.write_bytes", _no_room)
            save(folder, name, checkpoint)

        monkeypatch.setattr(keeping, "save_checkpoint", failing)

    return fill


def _no_room(path, content):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("epochs", "reported"), [(4, [0, 1]), (2, [0, 1])])
def test_what_could_not_be_written_is_told_by_the_next_epoch_or_at_the_end(epochs, reported, make_trainer, full_from):
    trainer = make_trainer("one", f"train.epochs={epochs}")
    full_from(2)
    said = []
    with pytest.raises(RunError) as caught:
        fit(trainer, lambda ended: said.append(ended.epoch), never)
    assert str(caught.value).startswith(f"{trainer.run.checkpoints}/")
    assert str(caught.value).endswith(FULL)
    assert said == reported
    assert writers() == []


def test_an_error_of_the_training_is_not_hidden_by_one_of_the_disk(make_trainer, full_from, caplog):
    trainer = make_trainer("one", "train.epochs=4")
    full_from(1)

    def stop():
        if trainer.progress.epoch == 1:
            raise KeyboardInterrupt
        return False

    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        fit(trainer, lambda _: None, stop)
    (record,) = caplog.records
    assert record.getMessage().endswith(FULL)
    assert writers() == []


def test_a_return_to_the_last_checkpoint_waits_for_it(make_trainer, spoiled, held_up):
    trainer = make_trainer("one", "train.epochs=3")
    spoiled(trainer, 1)
    go_on = held_up("last")
    trainer.begin()
    timer = threading.Timer(0.5, go_on.set)
    timer.start()
    rows = []
    assert fit(trainer, rows.append, never) == "epochs"
    assert [ended.epoch for ended in rows] == [0, 1, 2]
    assert trainer.progress.rollbacks == 1


@pytest.mark.parametrize("average", [0, 10])
def test_weights_are_copied_once_for_best_and_last(average, make_trainer, monkeypatch):
    trainer = make_trainer("one", "train.epochs=1", f"train.average={average}", *NO_RAMPS)
    trainer.begin()
    trainer.keeper.wait()
    copy, seen = state.to_cpu, Counter()
    weights = {name: value.data_ptr() for name, value in trainer.judged.state_dict().items()}
    monkeypatch.setattr(state, "to_cpu", lambda tree: (seen.update(_places(tree)), copy(tree))[1])
    assert fit(trainer, lambda _: None, never) == "epochs"
    assert {seen[place] for place in weights.values()} == {1}  # as its only epoch ends
    best, last = (load_checkpoint(trainer.run.checkpoints, which).tensors for which in ("best", "last"))
    judged = last["average"]["weights"] if average else last["model"]
    assert all(torch.equal(value, judged[name]) for name, value in best["model"].items())


def _places(tree):
    if isinstance(tree, torch.Tensor):
        return [tree.data_ptr()]
    return [place for part in (tree.values() if isinstance(tree, dict) else ()) for place in _places(part)]


def test_what_a_gpu_has_not_copied_yet_is_waited_for_before_it_is_written(tmp_path):
    weight = torch.zeros(3)

    class Event:
        def synchronize(self):
            weight.fill_(1.0)

    save_checkpoint(tmp_path, "last", Checkpoint(tensors={"model": {"w": weight}, "arrays": {}}, state={"epoch": 0, "step": 0}, copied=Event()))
    assert torch.equal(load_checkpoint(tmp_path, "last").tensors["model"]["w"], torch.ones(3))
