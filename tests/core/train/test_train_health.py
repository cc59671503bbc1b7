"""A step that asks the device nothing: bad ones are skipped there, kept, and named once somebody looks."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lfads_core.errors import NumericsError
from lfads_core.train import health, step
from lfads_core.train.health import Health, Watch
from lfads_core.train.trainer import Trainer

ASKS = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2", "item"}
"""Operations whose result the host must wait for, or whose shape depends on data."""


def health_with(*values, epoch=3):
    return Health(epoch=epoch, terms=("recon", "total"), parameters=("a", "b"), values=torch.tensor(values))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((1.0, 2.0, 3.0, 4.0, 5.0), None),
        ((torch.nan, torch.nan, 3.0, 4.0, 5.0), "epoch 3: the loss term 'recon' must be finite, got nan."),
        ((1.0, torch.inf, torch.nan, 4.0, torch.nan), "epoch 3: the loss term 'total' must be finite, got inf."),
        ((1.0, 2.0, torch.nan, 4.0, torch.nan), "epoch 3: the gradient must be finite, got nan from 'b'."),
        ((1.0, 2.0, torch.inf, 4.0, 5.0), "epoch 3: the gradient must be finite, got inf from the sum over all parameters."),
    ],
)
def test_the_first_number_that_is_not_finite_is_named(values, text):
    found = health_with(*values)
    assert float(found.skip()) == (text is not None)
    if text is None:
        found.require()
        return
    with pytest.raises(NumericsError) as caught:
        found.require()
    assert str(caught.value) == text


def test_a_watch_keeps_the_first_bad_step_and_forgets_it_once_asked():
    watch = Watch()
    for values in ((1.0,) * 5, (1.0, torch.inf, 1.0, 1.0, 1.0), (torch.nan,) * 5, (2.0,) * 5):
        watch.add(health_with(*values))
    with pytest.raises(NumericsError, match=r"^epoch 3: the loss term 'total' must be finite, got inf\.$"):
        watch.require()
    watch.require()
    watch.add(health_with(*(1.0,) * 5))
    watch.require()


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Leave all looking to the end of the epoch, as on a GPU."""
    monkeypatch.setattr(health, "ASKED_AT_ONCE", ())
    monkeypatch.setattr(step, "ASKED_AT_ONCE", ())


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_bad_step_is_skipped_and_the_epoch_gone_back_from_at_its_end(train_tiny, caplog, monkeypatch):
    absorbed, update = [], step.update

    def spoiled(model, optimizer, losses, progress):
        if len(absorbed) == 4:  # the second step of the second epoch
            next(p for p in model.parameters() if p.grad is not None).grad.fill_(torch.nan)
        before = [p.detach().clone() for p in model.parameters()]
        result = update(model, optimizer, losses, progress)
        absorbed.append(all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)))
        return result

    monkeypatch.setattr(step, "update", spoiled)
    with caplog.at_level(logging.WARNING):
        assert train_tiny("train.epochs=3").outcome == "epochs"
    assert [i for i, unchanged in enumerate(absorbed) if unchanged] == [4]
    assert len(absorbed) == 4 * 3  # the second epoch was trained twice, each time to its end
    assert "epoch 1: the gradient must be finite, got nan from 'encoder.gru.h0'. Back to epoch 2 with learning rate 0.002." in caplog.text


@pytest.mark.usefixtures("as_on_a_gpu")
def test_numbers_do_not_depend_on_who_looks(train_tiny, monkeypatch):
    late = train_tiny("train.epochs=2", name="late").run
    monkeypatch.undo()
    soon = train_tiny("train.epochs=2", name="soon").run
    assert late.fitlog.read_text().splitlines()[0] == soon.fitlog.read_text().splitlines()[0]
    from lfads_core.train.checkpoint import load_checkpoint

    one, other = (load_checkpoint(run.checkpoints, "last").tensors["model"] for run in (late, soon))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


class _AsksNothing(TorchDispatchMode):
    """Fails at every operation that the host would have to wait for."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in ASKS or (name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])):
            raise AssertionError(f"{name} makes the host wait")
        return function(*args, **(kwargs or {}))


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("settings", [(), ("model.controller=null",), ("components.ic_prior=student-t", "components.input_prior=student-t")])
def test_a_step_makes_the_host_wait_for_nothing(settings, train_tiny, monkeypatch):
    """Augmentation, noise, passes, loss, clip, update and averages: what a captured step would hold. The loops are those in plain PyTorch."""
    taken = []

    def silent(trainer, _should_stop):
        for number, raw in trainer.remaining():
            with _AsksNothing():
                ready = trainer.prepare(number, raw)
                progress = (ready.epoch, 200.0)
                trainer.absorb(
                    ready,
                    step.train_step(trainer.model, trainer.objective, trainer.train_stack, trainer.optimizer, ready.batches, ready.noise, progress),
                )
            taken.append(number)
        trainer.watch.require()
        return True

    monkeypatch.setattr(Trainer, "_train_epoch", silent)
    train_tiny("train.epochs=1", "train.recurrence=reference", *settings)
    assert taken == [0, 1, 2]
