"""Terms that stop being numbers: named, gone back from, and given up on in the end."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

import lfads_core.builtin
import lfads_plugins_std.plugin
from lfads_core.errors import NumericsError
from lfads_core.plugins import NoSettings, ReconstructionSpec, Registry, hookimpl
from lfads_core.track.fitlog import read_fitlog
from lfads_plugins_std.poisson import Poisson


@pytest.fixture
def faulty(monkeypatch):
    """A registry whose reconstruction 'faulty' spoils calls of trainings: ``spoil(call_number, nll)`` returns what comes out.

    Calls are counted: those that try laws and the first batch, and of the second pass that looks for the culprit, do not come in between.
    """
    monkeypatch.setattr("lfads_core.pipeline.run.tell_broken_laws", lambda *_: None)
    monkeypatch.setattr("lfads_core.train.trainer.try_components", lambda *_, **_more: None)
    monkeypatch.setattr("lfads_core.train.step.who_spoilt", lambda *_: None)

    def make(spoil):
        calls = iter(range(10**6))

        class Faulty(Poisson):
            def nll(self, params, data):
                return spoil(next(calls), super().nll(params, data))

        @hookimpl
        def lfads_reconstructions():
            return [ReconstructionSpec(name="faulty", summary="Fails", config=NoSettings, build=lambda *_: Faulty())]

        return Registry.from_plugins(
            {"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "bad": SimpleNamespace(lfads_reconstructions=lfads_reconstructions)}
        )

    return make


FAULTY = "components.reconstruction=faulty"


def test_a_loss_that_is_nan_once_is_gone_back_from_at_half_the_rate(faulty, train_tiny, caplog):
    # an epoch is 3 steps and 2 validation batches: call 6 is the second step of the second epoch
    done = train_tiny(FAULTY, registry=faulty(lambda call, nll: nll * torch.nan if call == 6 else nll))
    assert done.outcome == "epochs"
    assert "epoch 1: the loss term 'recon' must be finite, got nan. Back to epoch 2 with learning rate 0.002." in caplog.text
    assert read_fitlog(done.run.fitlog)["lr"] == [4e-3, 2e-3, 2e-3, 2e-3, 2e-3]


def test_two_failures_with_a_checkpoint_between_halve_the_rate_twice(faulty, train_tiny):
    done = train_tiny(FAULTY, registry=faulty(lambda call, nll: nll * torch.nan if call in {6, 13} else nll))
    assert read_fitlog(done.run.fitlog)["lr"] == [4e-3, 2e-3, 1e-3, 1e-3, 1e-3]


def test_two_failures_in_one_epoch_halve_the_rate_twice(faulty, train_tiny):
    done = train_tiny(FAULTY, registry=faulty(lambda call, nll: nll * torch.nan if call in {6, 7} else nll))
    assert read_fitlog(done.run.fitlog)["lr"] == [4e-3, 1e-3, 1e-3, 1e-3, 1e-3]


@pytest.mark.parametrize(("at", "what"), [(3, "loss"), (15, "validation")])  # 6 steps and 3 validation batches, each with both sessions
def test_the_session_is_named_when_there_are_several(at, what, faulty, train_tiny, write_tiny, caplog):
    data = [write_tiny("a.h5"), write_tiny("b.h5", channels=4)]
    registry = faulty(lambda call, nll: nll * torch.nan if call == at else nll)
    train_tiny(FAULTY, registry=registry, data=data)
    assert f"epoch 0: the {what} term 'recon/b' must be finite, got nan." in caplog.text


def test_a_validation_that_is_nan_is_gone_back_from(faulty, train_tiny, caplog):
    done = train_tiny(FAULTY, registry=faulty(lambda call, nll: nll * torch.nan if call == 4 else nll))
    assert "epoch 0: the validation term 'recon' must be finite, got nan. Back to epoch 1 with learning rate 0.002." in caplog.text
    assert len(read_fitlog(done.run.fitlog)["lr"]) == 5


def test_a_gradient_that_is_nan_is_named_by_its_parameter(faulty, train_tiny, caplog, monkeypatch):
    from lfads_core.train import finite_checks

    norms, count = finite_checks.gradient_norms, iter(range(10**6))

    def spoiling(model):
        if next(count) == 1:
            dict(model.named_parameters())["decoder.to_generator.bias"].grad[0] = torch.nan
        return norms(model)

    monkeypatch.setattr(finite_checks, "gradient_norms", spoiling)
    assert train_tiny().outcome == "epochs"
    assert "epoch 0: the gradient must be finite, got nan from 'decoder.to_generator.bias'. Back to epoch 1 with" in caplog.text


def test_too_many_failures_end_with_a_sentence_and_the_last_good_checkpoint(faulty, train_tiny, resume, tmp_path):
    registry = faulty(lambda call, nll: nll * torch.nan if call >= 10 else nll)  # from the third epoch on
    with pytest.raises(NumericsError) as caught:
        train_tiny(FAULTY, registry=registry)
    run = tmp_path / "runs/run"
    assert str(caught.value) == (
        "epoch 2: the loss term 'recon' must be finite, got nan. Gave up after 5 returns to the last checkpoint, which is kept; "
        f"go on from it at a lower rate with `lfads run --resume {run} --set optim.lr=...`, or lower optim.clip_norm."
    )
    assert json.loads((run / "run.json").read_text())["status"] == "failed"
    assert json.loads((run / "checkpoints/last.json").read_text())["state"]["epoch"] == 2
    done = resume("optim.lr=0.001", registry=faulty(lambda _, nll: nll))
    assert done.outcome == "epochs"
    assert read_fitlog(done.run.fitlog)["lr"] == [4e-3, 4e-3, 1e-3, 1e-3, 1e-3]
