"""A step that asks the device nothing: bad ones are skipped there, kept, and named once somebody looks."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lfads_core.errors import NumericsError
from lfads_core.train import finite_checks, loop, step
from lfads_core.train.finite_checks import EpochCheck, StepCheck

ASKS = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2", "item"}
"""Operations whose result the host must wait for, or whose shape depends on data."""


def check_with(*values, epoch=3):
    return StepCheck(epoch=epoch, terms=("recon", "total"), parameters=("a", "b"), values=torch.tensor(values))


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
    found = check_with(*values)
    assert float(found.skip()) == (text is not None)
    if text is None:
        found.require()
        return
    with pytest.raises(NumericsError) as caught:
        found.require()
    assert str(caught.value) == text


def test_a_watch_keeps_the_first_bad_step_and_forgets_it_once_asked():
    check = EpochCheck()
    for values in ((1.0,) * 5, (1.0, torch.inf, 1.0, 1.0, 1.0), (torch.nan,) * 5, (2.0,) * 5):
        check.add(check_with(*values))
    with pytest.raises(NumericsError, match=r"^epoch 3: the loss term 'total' must be finite, got inf\.$"):
        check.require()
    check.require()
    check.add(check_with(*(1.0,) * 5))
    check.require()


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Leave all looking to the end of the epoch, as on a GPU."""
    monkeypatch.setattr(finite_checks, "ASKED_AT_ONCE", ())
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

    def silent(going, *_):
        for trainer in going.values():
            for number, raw in trainer.remaining():
                with _AsksNothing():
                    ready = trainer.prepare(number, raw)
                    trainer.absorb(ready, *step.take_step([trainer], [ready]))
                taken.append(number)
            trainer.check.require()
        return False

    monkeypatch.setattr(loop, "train_epoch", silent)
    train_tiny("train.epochs=1", "train.recurrence=reference", *settings)
    assert taken == [0, 1, 2]
