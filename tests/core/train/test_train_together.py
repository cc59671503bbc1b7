"""Members that are alike take a step as one: the same chance to the bit, the same numbers to rounding, and hardly more operations than for one."""

from __future__ import annotations

import importlib.util
import inspect
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import lfads_core.builtin
import lfads_plugins_std.plugin
from lfads_core.components import AbstractLoss
from lfads_core.config.losses import LossConfig
from lfads_core.data.loader import epoch_batches
from lfads_core.model.rows import joined, tensors_in
from lfads_core.plugins import LossSpec, Registry, hookimpl
from lfads_core.train import loop, together
from lfads_core.train.alike import stack_of
from lfads_core.train.loop import step_together
from lfads_core.train.step import take_step
from lfads_plugins_std.poisson import Poisson


@pytest.fixture
def double():
    """Models and optimisers in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def doubled(trainer):
    for split in trainer.data.splits.values():
        for name, source in split.items():
            split[name] = replace(source, encod=source.encod.double(), recon=source.recon.double(), external=source.external.double())
    return trainer


def pairs_of(make_trainer, *shared, own=((), ("optim.lr=0.01", "optim.clip_norm=1", "model.dropout=0.1", "regularisation.kl_ic=0.1")), **more):
    """Twice the same members, to be trained together and one by one."""
    made = [[doubled(make_trainer(f"{how} {i}", f"train.seed={i}", *shared, *of, **more)) for i, of in enumerate(own)] for how in ("one", "other")]
    for trainers in made:
        for trainer in trainers:
            trainer.begin()
            trainer.untried = False
    return made


CASES = {
    "default": {"shared": ()},
    "no controller, no dropout": {"shared": ("model.controller=null", "model.dropout=0"), "own": ((), ("optim.lr=0.01",))},
    "read-ins": {"shared": ("components.readin=linear",)},
    "L2, student-t": {
        "shared": (
            "regularisation.l2_generator=3",
            "regularisation.l2_controller=1",
            "regularisation.input_correlation=0.1",
            "components.ic_prior=student-t",
        ),
        "own": ((), ("regularisation.kl_ic=0.1",)),
    },
    "zig": {"shared": (), "plugins": ("zig",)},
    "coordinated dropout and L2 of each": {
        "shared": (),
        "own": (
            ("regularisation.l2_controller=0",),
            ("regularisation.l2_generator=3", "components.train_augmentations=[{name: coordinated-dropout, rate: 0.6}]"),
            ("regularisation.l2_generator=0.1", "components.train_augmentations=[{name: coordinated-dropout, rate: 0.1}]", "model.dropout=0.1"),
        ),
    },
    "augmentations beside coordinated dropout": {
        "shared": (),
        "own": tuple(
            (f"components.train_augmentations=[{{name: spike-jitter, width: {width}}}, {{name: coordinated-dropout}}]",) for width in (1, 2)
        ),
    },
}


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("case", CASES)
def test_a_step_together_is_the_steps_of_each(case, make_trainer):
    """Scales of terms, learning rates, clips and rates of dropout are each member's own."""
    given = dict(CASES[case])
    ours, theirs = pairs_of(make_trainer, *given.pop("shared"), **given)
    left, others = [of.remaining() for of in ours], [of.remaining() for of in theirs]
    for _ in range(3):
        raws, same = {i: next(of) for i, of in enumerate(left)}, [next(of) for of in others]
        ready = loop._prepared(dict(enumerate(ours)), raws, {})
        alone = [trainer.prepare(*raw) for trainer, raw in zip(theirs, same, strict=True)]
        for one, other in zip(ready.values(), alone, strict=True):
            pairs = list(zip(tensors_in((one.batches, one.noise)), tensors_in((other.batches, other.noise)), strict=True))
            assert all(torch.equal(a, b) for a, b in pairs)
        results = together.take_together(ours, list(ready.values()))
        assert results is not None
        for i, (trainer, one) in enumerate(zip(theirs, alone, strict=True)):
            (wanted,) = take_step([trainer], [one])
            for name, value in wanted.losses.terms().items():
                torch.testing.assert_close(results[i].losses.terms()[name].detach(), value.detach(), rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(results[i].grad_norm, wanted.grad_norm, rtol=1e-9, atol=1e-12)
            trainer.absorb(one, wanted)
        loop._absorb(ours, list(ready.values()), results)
        for one, other in zip(ours, theirs, strict=True):
            for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=1e-11)
    for one, other in zip(ours, theirs, strict=True):
        assert one.sums.averages() == pytest.approx(other.sums.averages(), rel=1e-10)
        assert one.progress.step == 3


@pytest.mark.parametrize(
    "own",
    [
        tuple((f"components.train_augmentations=[{{name: sample-validation, rate: {rate}}}]",) for rate in (0.1, 0.2)),
        ((), ("components.input_prior={name: autoregressive, over_time: mean}",)),
        ((), ("train.frozen=[decoder.factors.*]",)),
    ],
    ids=["augmentation", "prior", "frozen"],
)
def test_members_that_differ_in_what_components_compute_take_steps_of_their_own(own, make_trainer):
    try:
        members = [make_trainer(str(i), *of) for i, of in enumerate(own)]
    except Exception as err:  # noqa: BLE001 - a setting that this version has not
        pytest.skip(str(err))
    assert stack_of(members) is None
    assert stack_of([make_trainer(f"again {i}", f"train.seed={i}") for i in range(2)]) is not None


def test_what_losses_draw_is_each_members_own(make_trainer):
    class Noisy(AbstractLoss):
        def draw(self, batch, rng):
            return {"by": torch.rand((), generator=rng)}

        def forward(self, seen):
            return {"by": 0 * seen.latents.factors.sum() + seen.draw["by"]}

    spec = LossSpec(name="noisy", summary="Weighed by chance", config=LossConfig, build=lambda *_: Noisy())
    plugin = SimpleNamespace(lfads_losses=hookimpl(lambda: [spec]))
    registry = Registry.from_plugins({"lfads-core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "noisy": plugin})
    members = [make_trainer(str(i), f"train.seed={i}", "components.losses=[noisy]", registry=registry) for i in range(2)]
    for trainer in members:
        trainer.begin()
        trainer.untried = False
    raws = {i: next(trainer.remaining()) for i, trainer in enumerate(members)}
    ready = loop._prepared(dict(enumerate(members)), raws, {})
    alone = [trainer.prepare(*raws[i]).noise.losses["tiny"]["noisy"]["by"].item() for i, trainer in enumerate(members)]
    results = together.take_together(members, list(ready.values()))
    assert results is not None
    assert [one.losses.terms()["loss/noisy/by"].item() for one in results] == alone
    assert len(set(alone)) == 2


def test_a_component_that_does_not_work_for_all_members_at_once_is_asked_for_each(make_trainer, monkeypatch):
    def choosy(self, params, data):
        if float(params.detach().sum()) == 0:  # a question that torch.vmap refuses
            raise AssertionError
        return real(self, params, data)

    real = Poisson.nll
    monkeypatch.setattr(Poisson, "nll", choosy)
    members = [make_trainer(str(i), f"train.seed={i}") for i in range(2)]
    for trainer in members:
        trainer.begin()
        trainer.untried = False
    going, left = dict(enumerate(members)), [of.remaining() for of in members]
    for _ in range(2):
        assert loop.step_together(going, {i: next(of) for i, of in enumerate(left)}) == {}
    assert [of.progress.step for of in members] == [2, 2]
    assert stack_of(members) is None


def test_rows_of_one_tensor_are_joined_without_a_copy_and_others_are_stacked():
    whole = torch.arange(24.0).view(4, 2, 3)
    rows = whole.unbind()
    assert joined(rows).data_ptr() == whole.data_ptr()
    assert torch.equal(joined(rows), whole)
    assert torch.equal(joined(rows[1:3]), whole[1:3])
    assert torch.equal(joined(rows[::-1]), whole.flip(0))
    assert torch.equal(joined([rows[0], rows[2], rows[1]]), whole[[0, 2, 1]])
    assert torch.equal(joined([rows[0], torch.zeros(2, 3)]), torch.stack([rows[0], torch.zeros(2, 3)]))
    assert torch.equal(joined([of[:, :2] for of in rows]), whole[:, :, :2])
    learnt = whole.clone().requires_grad_()
    assert joined((learnt * 2).unbind()).requires_grad


MOST = {("S1", 1): 250, ("S4", 1): 160, ("S1", 32): 400, ("S4", 32): 300}
"""Operations that a step may launch. Those of S1 were 520 and 9636, those of S4 with one member 268."""


@pytest.fixture
def counted(root):
    """The function of that name in ``bench/step_operations.py``."""
    pytest.importorskip("triton")
    spec = importlib.util.spec_from_file_location("step_operations", root / "bench" / "step_operations.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.counted


@pytest.mark.parametrize(("config", "members"), [("S1", 1), ("S4", 1), ("S1", 32), pytest.param("S4", 32, marks=pytest.mark.slow)])
def test_a_step_launches_little(config, members, counted):
    assert counted(config, members).total() <= MOST[config, members]


def test_a_step_of_a_searchs_members_launches_hardly_more_than_twelve_for_each(counted):
    """Each is augmented by itself, at its own rate; all are priced at once."""
    assert counted("S1", 16, searched=True).total() <= MOST["S1", 32] + 16 * 12


@pytest.mark.parametrize(("validation", "most"), [(False, 25), (True, 11)], ids=["step", "validation"])
def test_a_captured_step_or_batch_of_a_validation_launches_next_to_nothing_beside_its_replay(validation, most, counted):
    found = counted("S1", 1, captured=True, validation=validation)
    assert found["replay"] == 1
    assert found.total() <= most


def test_a_step_looks_at_no_signature_and_lists_the_parameters_once(make_trainer, monkeypatch):
    """Both take as long as a tenth of a small network's step."""
    trainer = make_trainer("lean", "train.average=10")
    trainer.begin()
    batch = next(epoch_batches(trainer.data.splits["train"], 4))
    step_together({0: trainer}, {0: (0, batch)}, None)
    signature, members, found = inspect.signature, torch.nn.Module.named_parameters, []
    monkeypatch.setattr(inspect, "signature", lambda *args, **more: (found.append("signature"), signature(*args, **more))[1])
    monkeypatch.setattr(torch.nn.Module, "named_parameters", lambda *args, **more: (found.append("parameters"), members(*args, **more))[1])
    step_together({0: trainer}, {0: (0, batch)}, None)
    assert found == ["parameters"]
