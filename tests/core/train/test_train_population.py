"""Trainings in step with one another end as each would have ended alone."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import lfads_core.builtin
import lfads_plugins_std.plugin
from lfads_core.plugins import NoSettings, ReconstructionSpec, Registry, hookimpl
from lfads_core.train.checkpoint import has_checkpoint, load_checkpoint
from lfads_core.train.loop import fit, train_members
from lfads_plugins_std.poisson import Poisson

OWN = {
    "first": (),
    "second": (
        "train.seed=1",
        "optim.lr=0.01",
        "optim.betas=[0.8, 0.99]",
        "optim.weight_decay=0.1",
        "optim.clip_norm=1.0",
        "model.dropout=0.1",
        "components.train_augmentations=[{name: coordinated-dropout, rate: 0.6}]",
    ),
    "third": (
        "train.seed=2",
        "model.dropout=0",
        "model.variational=false",
        "regularisation.kl_ic=0.01",
        "regularisation.kl_inputs=0.003",
        "regularisation.l2_generator=1",
        "regularisation.kl_ramp.increase_epochs=1",
        "regularisation.kl_ramp.start_epoch=1",
        "optim.clip_norm=null",
    ),
}
SINGLE = 1e-5
"""What weights in float32 may differ by, relative to the largest, after some 9 steps with batched instead of separate products: AdamW makes the
rounding of a small gradient as large as the step."""


def never():
    return False


def train(trainers, should_stop=never):
    """Train together; how each ended, and each one's rows."""
    rows = [{} for _ in trainers]
    ends = list(train_members(trainers, lambda i, ended: rows[i].__setitem__(ended.epoch, ended.row), should_stop))
    return {end.member: (end.status, end.error) for end in ends}, rows


def weights(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def assert_close(one, other, tolerance):
    for name, value in one.items():
        scale = value.abs().amax().clamp(min=1.0) if value.numel() else 1.0
        torch.testing.assert_close(value / scale, other[name] / scale, rtol=0, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.long
@pytest.mark.parametrize(
    "shared",
    [
        (),
        ("model.controller=null", "model.encoder.ic_bins=3", "components.ic_prior=null"),
        ("components.ic_prior=student-t", "components.input_prior=student-t", "validation.judge=masked"),
    ],
    ids=["default", "autonomous", "student-t and masked"],
)
def test_members_of_different_settings_end_as_each_would_alone(shared, make_trainer):
    alone = []
    for name, own in OWN.items():
        trainer = make_trainer(f"alone {name}", *own, *shared, "train.epochs=3")
        rows = {}
        assert fit(trainer, lambda ended, rows=rows: rows.__setitem__(ended.epoch, ended.row), never) == "epochs"
        alone.append((weights(trainer), rows))
    together = [make_trainer(f"together {name}", *own, *shared, "train.epochs=3") for name, own in OWN.items()]
    ends, rows = train(together)
    assert ends == dict.fromkeys(range(3), ("done", None))
    for trainer, mine, (expected, theirs) in zip(together, rows, alone, strict=True):
        assert_close(weights(trainer), expected, SINGLE)
        assert mine.keys() == theirs.keys()
        for epoch, row in mine.items():
            numbers = {key: value for key, value in row.items() if key != "seconds"}
            assert numbers == pytest.approx({key: theirs[epoch][key] for key in numbers}, rel=1e-5, abs=1e-6)
        best, last = (load_checkpoint(trainer.run.checkpoints, which).state["progress"] for which in ("best", "last"))
        assert (last["epoch"], best["epoch"]) == (3, trainer.progress.best.epoch + 1)


@pytest.fixture
def double():
    """Models and optimisers in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def doubled(trainer):
    """The same trainer on data in double precision."""
    for split in trainer.data.splits.values():
        for name, source in split.items():
            split[name] = replace(source, encod=source.encod.double(), recon=source.recon.double(), external=source.external.double())
    return trainer


@pytest.mark.usefixtures("double")
def test_in_double_precision_nothing_but_rounding_parts_them(make_trainer):
    alone, together = ([doubled(make_trainer(f"{how} {name}", *own, "train.epochs=2")) for name, own in OWN.items()] for how in ("alone", "together"))
    for trainer in alone:
        fit(trainer, lambda *_: None, never)
    train(together)
    for one, other in zip(alone, together, strict=True):
        assert_close(weights(one), weights(other), 1e-11)


def test_several_sessions_whose_steps_differ_in_size_are_trained_together(make_trainer, write_tiny):
    files = [write_tiny("days/one.h5"), write_tiny("days/two.h5", channels=4, seed=1)]
    settings = ("data.batch_size=7", "train.epochs=2")  # 24 trials in 4 steps, 11 valid ones in 2
    alone = [make_trainer(f"alone {name}", *own, *settings, data=files) for name, own in OWN.items()]
    together = [make_trainer(f"together {name}", *own, *settings, data=files) for name, own in OWN.items()]
    for trainer in alone:
        fit(trainer, lambda *_: None, never)
    ends, _ = train(together)
    assert ends == dict.fromkeys(range(3), ("done", None))
    for one, other in zip(alone, together, strict=True):
        assert_close(weights(one), weights(other), SINGLE)


def test_a_population_of_one_is_the_plain_training_to_the_bit(make_trainer):
    plain, lone = (make_trainer(name, "train.epochs=3") for name in ("plain", "lone"))
    fit(plain, lambda *_: None, never)
    train([lone])
    assert all(torch.equal(value, weights(lone)[name]) for name, value in weights(plain).items())
    assert lone.progress.state() | {"seconds": 0} == plain.progress.state() | {"seconds": 0}


def test_the_order_of_members_changes_nothing(make_trainer):
    straight = [make_trainer(f"straight {name}", *own, "train.epochs=2") for name, own in OWN.items()]
    turned = [make_trainer(f"turned {name}", *own, "train.epochs=2") for name, own in OWN.items()]
    train(straight)
    train(turned[::-1])
    for one, other in zip(straight, turned, strict=True):
        assert_close(weights(one), weights(other), SINGLE)


@pytest.mark.long
def test_interrupted_members_go_on_bit_by_bit(make_trainer):
    whole = [make_trainer(f"whole {name}", *own, "train.epochs=3") for name, own in OWN.items()]
    train(whole)
    asked = itertools.count()
    broken = [make_trainer(f"broken {name}", *own, "train.epochs=3") for name, own in OWN.items()]
    ends, rows = train(broken, lambda: next(asked) == 4)  # before the second step of the second epoch
    assert ends == dict.fromkeys(range(3), ("interrupted", None))
    assert [sorted(of) for of in rows] == [[0]] * 3
    again = [make_trainer(f"broken {name}", *own, "train.epochs=3") for name, own in OWN.items()]
    for trainer in again:
        trainer.restore()
        assert (trainer.progress.epoch, trainer.progress.step) == (1, 1)
    ends, rows = train(again)
    assert ends == dict.fromkeys(range(3), ("done", None))
    assert [sorted(of) for of in rows] == [[1, 2]] * 3
    for one, other in zip(whole, again, strict=True):
        assert all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())
        assert one.progress.state() | {"seconds": 0} == other.progress.state() | {"seconds": 0}


def test_members_that_stand_at_different_epochs_are_trained_together(make_trainer):
    ahead = make_trainer("ahead", "train.epochs=1")
    train([ahead])
    ahead.allow(3)
    behind, alone = make_trainer("behind", "train.epochs=1", "train.seed=1"), make_trainer("alone", "train.epochs=3")
    ends, rows = train([ahead, behind])
    assert ends == {0: ("done", None), 1: ("done", None)}
    assert [sorted(of) for of in rows] == [[1, 2], [0]]
    train([alone])
    assert_close(weights(alone), weights(ahead), SINGLE)


@pytest.fixture
def faulty(monkeypatch):
    """A registry whose reconstruction 'faulty' spoils calls of trainings: ``spoil(call_number, nll)`` returns what comes out.

    Calls are counted: those of the trial on the first batch and of the second pass that looks for the culprit do not come in between.
    """
    monkeypatch.setattr("lfads_core.train.trainer.try_components", lambda *_, **_more: None)
    monkeypatch.setattr("lfads_core.train.step.who_spoilt", lambda *_: None)

    def make(spoil):
        calls = iter(range(10**6))

        class Faulty(Poisson):
            def nll(self, params, data):
                float(params.detach().sum())  # a question that torch.vmap refuses: each member is priced by a call of its own
                return spoil(next(calls), super().nll(params, data))

        @hookimpl
        def lfads_reconstructions():
            return [ReconstructionSpec(name="faulty", summary="Fails", config=NoSettings, build=lambda *_: Faulty())]

        return Registry.from_plugins(
            {"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "bad": SimpleNamespace(lfads_reconstructions=lfads_reconstructions)}
        )

    return make


class Slope(torch.autograd.Function):
    """The identity, with a gradient of NaN."""

    @staticmethod
    def forward(_, x):
        return x.clone()

    @staticmethod
    def backward(_, grad):
        return grad * torch.nan


def raising(call, nll):
    if call == 4:
        raise ZeroDivisionError("no such number")
    return nll


RAISES_AT = raising.__code__.co_firstlineno + 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("spoil", "end"),
    [
        (lambda call, nll: nll * torch.nan if call == 6 else nll, ("diverged", "epoch 1: the loss term 'recon' must be finite, got nan.")),
        (lambda call, nll: nll.clamp(min=torch.inf) if call == 1 else nll, ("diverged", "epoch 0: the loss term 'recon' must be finite, got inf.")),
        (
            lambda call, nll: Slope.apply(nll) if call == 6 else nll,
            ("diverged", "epoch 1: the gradient must be finite, got nan from 'encoder.gru.h0'."),
        ),
        (lambda call, nll: nll * torch.nan if call == 3 else nll, ("diverged", "epoch 0: the validation term 'recon' must be finite, got nan.")),
        (
            raising,
            (
                "failed",
                (
                    "bad 0 (entry point 'bad'): the reconstruction 'faulty' failed in nll (ZeroDivisionError: no such number, "
                    f"at test_train_population.py:{RAISES_AT}). --debug shows how; tell its authors."
                ),
            ),
        ),
    ],
    ids=["loss", "infinite loss", "gradient", "validation", "raises"],
)
def test_a_member_that_cannot_go_on_ends_alone(spoil, end, faulty, make_trainer):
    sound = [make_trainer(f"sound {i}", f"train.seed={i}", "train.epochs=2") for i in (0, 2)]
    train(sound)
    members = [make_trainer(f"member {i}", f"train.seed={i}", "train.epochs=2") for i in range(3)]
    members[1] = make_trainer("member 1", "train.seed=1", "train.epochs=2", "components.reconstruction=faulty", registry=faulty(spoil))
    ends, rows = train(members)
    assert ends == {0: ("done", None), 1: end, 2: ("done", None)}
    assert all(torch.isfinite(value).all() for value in weights(members[1]).values())
    assert len(rows[0]) == len(rows[2]) == 2
    assert len(rows[1]) < 2
    for one, other in zip(sound, (members[0], members[2]), strict=True):
        assert_close(weights(one), weights(other), SINGLE)


def test_a_read_in_that_fails_costs_its_member_alone(make_trainer, monkeypatch):
    members = [make_trainer(f"member {i}", f"train.seed={i}", "train.epochs=2") for i in range(3)]
    monkeypatch.setattr(members[1].model, "read_in", lambda *_: 1 / 0)
    ends, _ = train(members)
    assert ends == {0: ("done", None), 1: ("failed", "ZeroDivisionError: division by zero"), 2: ("done", None)}


@pytest.mark.long
@pytest.mark.parametrize("times", [1, 2])
def test_a_member_that_may_go_back_to_its_checkpoint_ends_as_it_would_alone(times, make_trainer, spoiled, caplog):
    alone, *members = (make_trainer(name, f"train.seed={i}", "train.epochs=3") for name, i in (("alone", 0), ("first", 0), ("second", 1)))
    for trainer in (alone, members[0]):
        spoiled(trainer, times)
    fit(alone, lambda _: None, never)
    ends = list(train_members(members, lambda *_: None, never, rollbacks=times))
    assert {end.member: end.why for end in ends} == {0: "epochs", 1: "epochs"}
    assert caplog.text.count("Back to epoch 2 with learning rate") == 2 * times
    assert_close(weights(alone), weights(members[0]), SINGLE)
    assert members[0].progress.rollbacks == alone.progress.rollbacks == times
    again = make_trainer("third", "train.epochs=3")
    spoiled(again, times + 1)
    (end,) = train_members([again], lambda *_: None, never, rollbacks=times)
    assert (end.status, end.error) == ("diverged", str(end.why))
    assert end.error.startswith(f"epoch 1: the loss term 'recon' must be finite, got nan. Gave up after {times} returns to the last checkpoint")
    assert load_checkpoint(again.run.checkpoints, "last").state["epoch"] == 1


def test_a_single_run_raises_what_its_component_raised(make_trainer, monkeypatch):
    trainer = make_trainer("run", "train.epochs=2")
    monkeypatch.setattr(trainer.model, "read_in", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        fit(trainer, lambda _: None, never)
    assert caught.traceback[-1].name == "<lambda>"


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_bad_step_that_nobody_has_looked_at_yet_is_heard_of_when_interrupted(make_trainer, spoiled):
    single, *members = (make_trainer(name, f"train.seed={i}", "train.epochs=3") for i, name in enumerate(("single", "first", "second")))
    for trainer in (single, members[0]):
        spoiled(trainer, 1)
    asked, again = itertools.count(), itertools.count()
    assert fit(single, lambda _: None, lambda: next(asked) == 5) == "interrupted"  # after the second step of the second epoch
    assert (single.progress.epoch, single.progress.step, single.progress.rollbacks) == (1, 0, 1)
    ends, _ = train(members, lambda: next(again) == 5)
    assert ends == {0: ("diverged", "epoch 1: the loss term 'recon' must be finite, got nan."), 1: ("interrupted", None)}
    assert (members[1].progress.epoch, members[1].progress.step) == (1, 2)


def test_a_run_that_has_nothing_left_to_train_writes_nothing(make_trainer):
    trainer = make_trainer("run", "train.epochs=2")
    fit(trainer, lambda _: None, never)
    before = {path: path.stat().st_mtime_ns for path in trainer.run.checkpoints.iterdir()}
    assert fit(trainer, lambda _: None, never) == "epochs"
    assert {path: path.stat().st_mtime_ns for path in trainer.run.checkpoints.iterdir()} == before


def test_checkpoints_are_written_when_a_member_ends_not_every_epoch(make_trainer):
    ramps = ("regularisation.kl_ramp.increase_epochs=0", "regularisation.l2_ramp.increase_epochs=0")
    members = [make_trainer("short", "train.epochs=2", *ramps), make_trainer("long", "train.epochs=3", *ramps)]
    kept = []

    def on_epoch(i, ended):
        folders = [trainer.run.checkpoints for trainer in members]
        kept.append([load_checkpoint(folder, "last").state["epoch"] for folder in folders] + [has_checkpoint(folder, "best") for folder in folders])

    for end in train_members(members, on_epoch, never):
        kept.append(end.member)
    assert kept[:4] == [[0, 0, False, False]] * 4
    assert kept[4:] == [0, [2, 0, True, False], 1]
