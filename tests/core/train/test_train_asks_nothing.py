"""A whole training step on a device that cannot be asked: tensors without values (FakeTensorMode) on the device ``meta``, for lack of a GPU.

Every read of a value by the host fails by the name of the operation and the line that asked for it.
"""

from __future__ import annotations

from functools import partial
from itertools import islice

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves

from lfads_core.data.loader import SplitTensors
from lfads_core.rng import stream
from lfads_core.train import graphs
from lfads_core.train import trainer as training
from lfads_core.train.captured import CapturedStep
from lfads_core.train.data import TrainingData
from lfads_core.train.loop import step_together
from lfads_core.train.optim import build_optimizer
from lfads_core.train.step import take_step
from replaying import AsksNothing, Recorder, RefusedError, StandIn, name_of

RECIPES = {
    "std default": {},
    "no controller": {"overrides": ("model.controller=null",)},
    "zig": {"plugins": ("zig",), "overrides": ("components.train_augmentations=[{name: sbtt}, {name: coordinated-dropout}]",)},
    "emg": {
        "plugins": ("emg",),
        "overrides": ("components.train_augmentations=[{name: temporal-shift}, {name: coordinated-dropout}, {name: random-gain}]",),
    },
    "student-t": {"overrides": ("components.ic_prior=student-t", "components.input_prior=student-t")},
    "decay, masks that last, a further loss": {
        "overrides": ("optim.weight_decay=0.1", "train.prune.fraction=0.4", "components.losses=[{name: input-correlation, scale: 0.1}]")
    },
}


QUICK = {"std default"}
FEW = [pytest.param(recipe, id=name, marks=() if name in QUICK else pytest.mark.slow) for name, recipe in RECIPES.items()]


class OnDevice(AsksNothing):
    """Refuses numbers that travel to the device inside a tensor of the host, as well."""

    def look(self, function, args, kwargs):
        super().look(function, args, kwargs)
        found = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        moved = name_of(function) in {"_to_copy", "copy_"}
        if not moved and {x.device.type for x in found} == {"cpu", "meta"}:
            raise RefusedError(f"{name_of(function)} mixes tensors of the host and of the device")

    def run(self, function, args, kwargs):
        if name_of(function) == "_fused_adamw_":  # which torch has not taught to tensors without values
            return None
        return super().run(function, args, kwargs)


def on_device(trainer):
    """Put a trainer's weights and data on a device where nothing has a value; to be called in FakeTensorMode."""

    def there(value):
        return torch.empty(value.shape, dtype=value.dtype, device="meta")

    for module in trainer.model.modules():
        for name, value in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(there(value), requires_grad=value.requires_grad))
        for name, value in module.named_buffers(recurse=False):
            setattr(module, name, there(value))
    pruned = {i: there(mask) for i, mask in trainer.optimizer.pruned.items()}
    trainer.optimizer = build_optimizer(trainer.model, trainer.config.optim)
    trainer.optimizer.pruned = pruned
    splits = {
        split: {name: SplitTensors(encod=there(s.encod), recon=there(s.recon), external=there(s.external)) for name, s in sources.items()}
        for split, sources in trainer.data.splits.items()
    }
    trainer.data = TrainingData(sessions=trainer.data.sessions, splits=splits)
    trainer.untried = False  # the trial of components on the first batch may look at values
    return trainer


@pytest.fixture
def host_draws(monkeypatch):
    """A generator of the device cannot be had without one."""
    monkeypatch.setattr(training, "stream", lambda *name, **_: stream(*name))


@pytest.mark.long
@pytest.mark.usefixtures("host_draws")
@pytest.mark.parametrize("recipe", FEW)
def test_a_step_of_one_makes_the_host_wait_for_nothing(recipe, make_trainer, short):
    """Batches, augmentations, noise, passes, loss, clip, update, guard and averages, as they are and as they are captured."""
    trainer = make_trainer("one", *recipe.get("overrides", ()), "train.recurrence=fused", data=short, plugins=recipe.get("plugins", ()))
    trainer.begin()  # which prunes
    taken = []
    with FakeTensorMode():
        on_device(trainer)
        for number, raw in islice(trainer.remaining(), 2):
            with OnDevice():
                ready = trainer.prepare(number, raw)
                (result,) = take_step([trainer], [ready]) if number == 0 else CapturedStep([trainer], [ready], StandIn())([trainer], [ready])
                trainer.absorb(ready, result)
            taken.append(result.check.values.device.type)
    assert taken == ["meta"] * 2


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # where weights lie tells whether they were moved; here nowhere
@pytest.mark.usefixtures("host_draws")
@pytest.mark.parametrize("recipe", FEW)
def test_a_step_of_a_population_makes_the_host_wait_for_nothing(recipe, make_trainer, short):
    own = ((), ("train.seed=1", "optim.lr=0.01", "optim.clip_norm=null", "model.dropout=0", "regularisation.kl_ic=0.1"))
    plugins, shared = recipe.get("plugins", ()), (*recipe.get("overrides", ()), "train.recurrence=fused")
    trainers = [make_trainer(str(i), *shared, *more, data=short, plugins=plugins) for i, more in enumerate(own)]
    for trainer in trainers:
        trainer.begin()
    with FakeTensorMode():
        going = {i: on_device(trainer) for i, trainer in enumerate(trainers)}
        left = [trainer.remaining() for trainer in trainers]
        for number in range(2):
            raws = {i: next(steps) for i, steps in enumerate(left)}
            with OnDevice():
                if number == 0:
                    assert step_together(going, raws) == {}
                    continue
                ready = [trainer.prepare(*raws[i]) for i, trainer in going.items()]
                results = CapturedStep(trainers, ready, StandIn())(trainers, ready)
                for trainer, one, result in zip(trainers, ready, results, strict=True):
                    trainer.absorb(one, result)
    assert [trainer.progress.step for trainer in trainers] == [2, 2]


@pytest.mark.usefixtures("host_draws")
def test_what_waits_is_named_with_the_line_that_asked(make_trainer):
    """Spike jitter draws as many numbers as there are spikes, so the host must count them."""
    trainer = make_trainer("one", "components.train_augmentations=[spike-jitter]")
    with FakeTensorMode():
        on_device(trainer)
        number, raw = next(trainer.remaining())
        with pytest.raises(RefusedError) as caught, OnDevice():
            trainer.prepare(number, raw)
    asked = "if not torch.equal(spikes.clamp(min=0).to(counts.dtype), seen):"
    assert str(caught.value) == f"equal makes the host wait, asked for in lfads_plugins_std/jitter.py: {asked}"


class Watched(StandIn):
    """A graph that only rehearses, and keeps what each rehearsal did."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def rehearse(self, step):
        with Recorder() as recorder:
            step()
        self.seen.append(recorder.numbers())


def in_steps(monkeypatch, trainers, live):
    """Operations of four steps, each in an epoch of its own, whose ramps and learning rates differ."""
    monkeypatch.setattr(graphs, "REHEARSALS", 4)
    graph, kept = Watched(), None
    for epoch in range(4):  # the first makes moments
        ready = []
        for trainer in trainers:
            trainer.progress.epoch = epoch
            ready.append(trainer.prepare(*next(trainer.remaining())))
        if live:
            kept = kept or CapturedStep(trainers, ready, graph)
            kept(trainers, ready)
        else:
            graph.rehearse(partial(take_step, trainers, ready))
    return graph.seen


SCHEDULED = ("optim.schedule=exponential", "optim.warmup_epochs=2", "optim.weight_decay=0.1", "train.recurrence=fused")


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("recipe", FEW)
def test_all_steps_are_the_same_operations_on_the_same_shapes_with_the_same_numbers(recipe, make_trainer, short, monkeypatch):
    """Learning rate, decay and ramps change from epoch to epoch, and must not reach an operation as a number of Python's."""
    overrides, plugins = recipe.get("overrides", ()), recipe.get("plugins", ())
    trainers = [make_trainer(str(seed), *overrides, *SCHEDULED, f"train.seed={seed}", data=short, plugins=plugins) for seed in range(2)]
    for members in (trainers[:1], trainers):
        _, *seen = in_steps(monkeypatch, members, live=True)
        assert len(seen[0]) > 200
        assert seen[1] == seen[0]
        assert seen[2] == seen[0]


@pytest.mark.usefixtures("as_on_a_gpu")
def test_numbers_that_change_from_step_to_step_would_be_noticed(make_trainer, monkeypatch):
    trainer = make_trainer("one", *SCHEDULED)
    _, *seen = in_steps(monkeypatch, [trainer], live=False)
    differing = {name for one, other in zip(seen[0], seen[1], strict=True) for name in (one[0],) if one != other}
    assert differing == {"aten._fused_adamw_.default"}  # rate and decay; ramps are in a tensor that is made anew in every step
