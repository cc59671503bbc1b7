"""A captured step computes what the step it is made of computes, bit for bit. The graph is a stand-in: see ``replaying``."""

from __future__ import annotations

import logging
from functools import partial

import attrs
import numpy as np
import pytest
import torch

from lfads_core.config.optional import PruneConfig
from lfads_core.config.schema import RunConfig
from lfads_core.recurrence.choose import BACKENDS
from lfads_core.train import captured, graphs
from lfads_core.train.captured import StepGraphs, graphs_for
from lfads_core.train.captured_passes import PassGraphs
from lfads_core.train.checkpoint import load_checkpoint
from lfads_core.train.evaluate import validate_each
from lfads_core.train.loop import end_epoch, fit, train_epoch, train_members
from replaying import StandIn

SETTINGS = {
    "std default": (),
    "no controller": ("model.controller=null",),
    "decay and clip": ("optim.weight_decay=0.3", "optim.clip_norm=0.5", "optim.schedule=exponential", "optim.warmup_epochs=2"),
    "student-t": ("components.ic_prior=student-t", "components.input_prior=student-t"),
}
SLOW = {"no controller", "student-t"}
CASES = [pytest.param(value, id=name, marks=pytest.mark.slow if name in SLOW else ()) for name, value in SETTINGS.items()]


pytestmark = [pytest.mark.usefixtures("as_on_a_gpu"), pytest.mark.long]


@pytest.fixture
def make_trainer(make_trainer, short):
    """Trainers on few bins."""
    return partial(make_trainer, data=short)


class Graphs(StepGraphs):
    """Captures with stand-ins, which it remembers."""

    def __init__(self, kind=StandIn):
        self.made, self.of_passes = [], []
        super().__init__(partial(self._make, self.made, kind))
        self.passes = PassGraphs(partial(self._make, self.of_passes, kind))

    def _make(self, made, kind):
        made.append(kind())
        return made[-1]

    @property
    def replayed(self):
        return sum(one.replayed for one in self.made)


def everything(trainer):
    """Weights, moments and averages so far."""
    sums = {name: value.clone() for name, value in trainer.sums.sums.items()}
    moments = {(i, name): value.clone() for i, of in trainer.optimizer.moments.items() for name, value in vars(of).items()}
    return {**{name: value.clone() for name, value in trainer.model.state_dict().items()}, **moments, **sums}


def same(one, other):
    assert one.keys() == other.keys()
    assert [name for name, value in one.items() if not torch.equal(value, other[name])] == []


def epochs(trainer, count):
    """Train so many epochs; what there is after each."""
    seen = []
    for _ in range(count):
        failed = {}
        assert not train_epoch({0: trainer}, lambda: False, trainer.graphs, failed)
        seen.append(everything(trainer))
        end_epoch({0: trainer}, failed)
        assert failed == {}
    return seen


@pytest.mark.parametrize(
    "settings", [pytest.param(value, id=name, marks=pytest.mark.slow if name in SLOW else ()) for name, value in SETTINGS.items()]
)
def test_replayed_steps_are_the_steps_bit_for_bit(settings, make_trainer):
    """Over epochs in which the ramps, and the learning rate where there is a schedule, change."""
    plain, other = (make_trainer(name, "train.recurrence=fused", *settings) for name in ("plain", "other"))
    other.graphs = Graphs()
    for one, two in zip(epochs(plain, 5), epochs(other, 5), strict=True):
        same(one, two)
    assert other.graphs.replayed >= 5


def test_numbers_that_stay_as_they_were_captured_would_be_noticed(make_trainer, monkeypatch):
    """The graph knows nothing of Python's numbers: a rate that is not written to the device is that of the first epoch."""
    plain, other = (make_trainer(name, "train.recurrence=fused", "optim.schedule=exponential") for name in ("plain", "other"))
    other.graphs, write = Graphs(), captured.Live.set
    monkeypatch.setattr(captured.Live, "set", lambda live, member, epoch: write(live, member, 0) if epoch == 0 else None)
    first, second = epochs(plain, 2), epochs(other, 2)
    same(first[0], second[0])
    with pytest.raises(AssertionError):
        same(first[1], second[1])


def test_a_step_that_is_not_finite_is_skipped_on_the_device_and_gone_back_from(make_trainer, spoiled, caplog):
    """The return to the last checkpoint puts moments elsewhere, so that the step is captured anew."""
    plain, other = (make_trainer(name, "train.recurrence=fused", "train.epochs=4", "optim.weight_decay=0.1") for name in ("plain", "other"))
    other.graphs = Graphs()
    rows = {}
    for trainer in (plain, other):
        spoiled(trainer, 1)
        caplog.clear()
        rows[trainer] = []
        with caplog.at_level(logging.WARNING):
            assert fit(trainer, lambda ended, mine=rows[trainer]: mine.append(ended.row), lambda: False) == "epochs"
        assert "epoch 1: the loss term 'recon' must be finite, got nan. Back to epoch 2 with learning rate 0.002." in caplog.text
    same(everything(plain), everything(other))
    assert [{**row, "seconds": 0} for row in rows[plain]] == [{**row, "seconds": 0} for row in rows[other]]
    assert len([one for one in other.graphs.made if one.replayed]) == 2


def test_a_skipped_step_leaves_weights_and_moments_as_they_were(make_trainer):
    trainer = make_trainer("one", "train.recurrence=fused", "optim.weight_decay=0.1")
    trainer.graphs = Graphs()
    epochs(trainer, 1)
    steps = trainer.remaining()
    for number, raw in steps:
        ready = trainer.prepare(number, raw)
        if number == 1:
            ready.noise.ic["normal"].fill_(torch.nan)
        before = everything(trainer)
        (result,) = trainer.graphs.step([trainer], [ready])
        after = everything(trainer)
        changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
        assert bool(changed) == (number != 1)
        assert bool(result.check.skip()) == (number == 1)
    assert trainer.graphs.made[-1].replayed >= 2


OWN = (
    ("optim.weight_decay=0.2", "optim.schedule=exponential"),
    ("train.seed=1", "optim.lr=0.01", "optim.clip_norm=1.0", "model.dropout=0.1", "regularisation.kl_ic=0.1", "train.epochs=3"),
    ("train.seed=2", "model.dropout=0", "model.variational=false", "optim.betas=[0.8, 0.99]", "regularisation.l2_ramp.increase_epochs=7"),
)


def test_a_population_of_different_settings_is_captured_as_one(make_trainer):
    """The second ends before the others, which are captured anew then."""
    plain, other = ([make_trainer(f"{name}{i}", "train.recurrence=fused", *own) for i, own in enumerate(OWN)] for name in ("plain", "other"))
    shared = Graphs()
    for trainer in other:
        trainer.graphs = shared
    for trainers in (plain, other):
        assert {end.member: end.status for end in train_members(trainers, lambda *_: None, lambda: False)} == dict.fromkeys(range(3), "done")
    for one, two in zip(plain, other, strict=True):
        same(everything(one), everything(two))
    assert [one.replayed > 2 for one in shared.made if one.replayed] == [True, True]
    assert torch.isfinite(other[1].model.encoder.gru.h0).all()


def test_a_member_whose_numbers_are_not_finite_stops_nobody_else(make_trainer, spoiled):
    trainers = [make_trainer(str(i), "train.recurrence=fused", *own) for i, own in enumerate(OWN)]
    for trainer in trainers:
        trainer.graphs = trainers[0].graphs or Graphs()
    spoiled(trainers[0], 1)
    ends = {end.member: (end.status, end.error) for end in train_members(trainers, lambda *_: None, lambda: False)}
    assert ends == {0: ("diverged", "epoch 1: the loss term 'recon' must be finite, got nan."), 1: ("done", None), 2: ("done", None)}
    assert trainers[0].graphs.replayed > 5


def test_a_resumed_training_ends_as_one_that_was_never_stopped(make_trainer):
    settings = "train.recurrence=fused", "train.epochs=4", "optim.schedule=cosine"
    whole, parts = make_trainer("whole", *settings), make_trainer("parts", *settings)
    asked = iter(range(100))
    assert fit(whole, lambda *_: None, lambda: False) == "epochs"
    parts.graphs = Graphs()
    assert fit(parts, lambda *_: None, lambda: next(asked) >= 8) == "interrupted"
    again = make_trainer("parts", *settings)
    again.graphs = Graphs()
    again.restore()
    assert (again.progress.epoch, again.progress.step) == (2, 2)
    assert fit(again, lambda *_: None, lambda: False) == "epochs"
    same(everything(whole), everything(again))
    assert min(parts.graphs.replayed, again.graphs.replayed) >= 2


@pytest.mark.parametrize("change", ["pruned", "moments", *(pytest.param(name, marks=pytest.mark.slow) for name in ("frozen", "loops", "clip"))])
def test_a_step_is_captured_anew_when_what_it_took_for_granted_changes(change, make_trainer):
    def changed(trainer):
        epochs(trainer, 2)
        if change == "frozen":
            trainer.model.encoder.gru.h0.requires_grad_(requires_grad=False)
        elif change == "pruned":
            trainer.config = attrs.evolve(trainer.config, train=attrs.evolve(trainer.config.train, prune=PruneConfig(fraction=0.5)))
        elif change == "loops":
            trainer.model.loops = BACKENDS["reference"]
        elif change == "moments":
            trainer.optimizer.load_state_dict(trainer.optimizer.state_dict())
        else:
            trainer.config = attrs.evolve(trainer.config, optim=attrs.evolve(trainer.config.optim, clip_norm=0.1))
        epochs(trainer, 2)
        return everything(trainer)

    plain, other = (make_trainer(name, "train.recurrence=fused") for name in ("plain", "other"))
    other.graphs = Graphs()
    same(changed(plain), changed(other))
    assert len([one for one in other.graphs.made if one.replayed]) == 2


def test_what_cannot_be_captured_is_said_once_and_taken_as_it_is(make_trainer, caplog, monkeypatch):
    plain, other = (make_trainer(name, "train.recurrence=fused") for name in ("plain", "other"))
    other.graphs = Graphs()
    asking = next(iter(other.model.reconstructions.values()))
    nll = type(asking).nll
    monkeypatch.setattr(type(asking), "nll", lambda self, params, data: (params.sum().item(), nll(self, params, data))[1])
    with caplog.at_level(logging.WARNING):
        for one, two in zip(epochs(plain, 2), epochs(other, 2), strict=True):
            same(one, two)
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "train.cuda_graph: a training step could not be captured (PluginError: lfads-plugins-std 0.1.0 (entry point 'std'): "
        "the reconstruction 'poisson' failed in <lambda> (RefusedError: _local_scalar_dense makes the host wait, asked"
    )
    assert record.getMessage().endswith("). Each is taken operation by operation.")


def test_noise_that_carries_gradients_is_not_captured(make_trainer, caplog):
    trainer = make_trainer("one", "train.recurrence=fused")
    trainer.graphs = Graphs()
    number, raw = next(trainer.remaining())
    ready = trainer.prepare(number, raw)
    ready.noise.ic["normal"].requires_grad_()
    assert trainer.graphs.step([trainer], [ready]) is None
    assert "(ValueError: augmentations and draws of noise must not carry gradients, which would be lost)" in caplog.text


ODD = {"train": (13, 3, 5), "valid": (7, 3, 5)}
"""13 trials in batches of at most 5 are steps of 5, 4 and 4; 7 are passes of 4 and 3."""


@pytest.fixture
def odd(write_tiny):
    """``odd()``: a recording whose batches differ in size; ``odd("b", 6)``: another, of 6 channels."""

    def write(name="odd", channels=5, trials=None):
        rng = np.random.default_rng(channels)
        sizes = {split: (shape[0] if trials is None else trials[split], shape[1], channels) for split, shape in ODD.items()}
        arrays = {f"{split}_encod_data": rng.poisson(1.0, shape).astype(np.float32) for split, shape in sizes.items()}
        return write_tiny(f"{name}.h5", **arrays)

    return write


def near(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=2e-3, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_batches_of_different_sizes_are_filled_up_so_that_one_graph_serves_all(make_trainer, odd):
    plain, other = (make_trainer(name, "train.recurrence=fused", "data.batch_size=5", data=odd()) for name in ("plain", "other"))
    other.graphs = Graphs()
    for one, two in zip(epochs(plain, 4), epochs(other, 4), strict=True):
        near(one, two)
    assert len([one for one in other.graphs.made if one.replayed]) == 1
    assert other.graphs.replayed >= 6


def test_stitched_sessions_of_different_channels_and_numbers_of_trials_need_one_graph(make_trainer, odd):
    """13, 11 and 10 trials in batches of at most 6: six steps that take 2 or 3, 1 or 2, and 1 or 2 trials of them."""
    sizes = [("a", 5, {"train": 13, "valid": 7}), ("b", 6, {"train": 11, "valid": 5}), ("c", 4, {"train": 10, "valid": 4})]
    settings = ("train.recurrence=fused", "data.batch_size=6", "components.readin=linear")
    data = [odd(*size) for size in sizes]
    plain, other = (make_trainer(name, *settings, data=data) for name in ("plain", "other"))
    seen = {tuple(batch.trials.shape[0] for batch in raw.values()) for _, raw in plain.remaining()}
    assert len(seen) > 2
    other.graphs = Graphs()
    for one, two in zip(epochs(plain, 3), epochs(other, 3), strict=True):
        near(one, two)
    assert other.graphs.proved == 1
    assert other.graphs.made[-1].replayed >= 8  # one that was made before the largest step was seen is given up


@pytest.mark.parametrize(("most", "captured_forms"), [(8, 2), pytest.param(1, 1, marks=pytest.mark.slow)])
def test_where_trials_cannot_be_left_out_each_number_of_them_has_its_own_graph_up_to_a_few(most, captured_forms, make_trainer, odd, monkeypatch):
    """A loss of a plugin takes its own means."""
    monkeypatch.setattr(graphs, "MOST_FORMS", most)
    settings = ("train.recurrence=fused", "data.batch_size=5", "components.losses=[{name: input-correlation, scale: 0.1}]")
    plain, other = (make_trainer(name, *settings, data=odd()) for name in ("plain", "other"))
    other.graphs = Graphs()
    for one, two in zip(epochs(plain, 5), epochs(other, 5), strict=True):
        same(one, two)
    assert len([one for one in other.graphs.made if one.replayed]) == captured_forms


class Lying(StandIn):
    """A graph that computes something else once it replays."""

    def replay(self):
        super().replay()
        for function, args, _, _ in self.recorder.calls:
            if "_fused_adamw_" in str(function):
                args[0][0].detach().add_(1.0)


def test_a_replay_that_is_not_the_step_is_found_out_and_nothing_is_lost(make_trainer, caplog):
    plain, other = (make_trainer(name, "train.recurrence=fused") for name in ("plain", "other"))
    other.graphs = Graphs(Lying)
    with caplog.at_level(logging.WARNING):
        for one, two in zip(epochs(plain, 3), epochs(other, 3), strict=True):
            same(one, two)
    (record,) = caplog.records
    text = record.getMessage()
    assert text.startswith("train.cuda_graph: a captured training step did not agree with the same one as it is taken otherwise (numbers differ by ")
    assert text.endswith("; at most 0.001 and 0.1 are allowed). Each is taken operation by operation.")
    assert other.graphs.replayed == 1
    assert other.graphs.proved == 0


def test_a_step_that_is_not_finite_proves_nothing_and_the_next_one_is_asked(make_trainer):
    trainer = make_trainer("one", "train.recurrence=fused")
    trainer.graphs = Graphs()
    epochs(trainer, 1)
    proved = []
    for number, raw in trainer.remaining():
        ready = trainer.prepare(number, raw)
        if number == 0:
            ready.noise.ic["normal"].fill_(torch.nan)
        trainer.graphs.step([trainer], [ready])
        proved.append(trainer.graphs.proved)
    assert proved[:2] == [0, 1]


NO_METRICS = "train.metrics_every=100"
COSTS = ("validation.masked.fraction=0.3", "data.hold_out.fraction=0.4", "train.metrics_every=1")


@pytest.mark.parametrize("settings", [(NO_METRICS,), COSTS], ids=["default", "masked, held out, metrics"])
def test_validations_are_captured_and_cost_what_they_cost(settings, make_trainer, odd):
    trainer = make_trainer("one", "train.recurrence=fused", "data.batch_size=4", "train.average=10", *settings, data=odd())
    found = Graphs()
    epochs(trainer, 1)
    for epoch in range(4):
        trainer.progress.epoch = epoch
        plain = validate_each({0: trainer.tally()})[0]
        replayed = validate_each({0: trainer.tally()}, None, found.passes)[0]
        assert replayed.costs == pytest.approx(plain.costs, rel=1e-5)
        assert replayed.means.keys() == plain.means.keys()
        for name, means in plain.means.items():
            np.testing.assert_allclose(replayed.means[name], means, rtol=1e-5)
    assert found.passes.proved == len([one for one in found.of_passes if one.replayed]) == (2 if settings == COSTS else 1)
    assert sum(one.replayed for one in found.of_passes) >= 4


@pytest.mark.slow
def test_validations_of_a_population_are_captured_as_one(make_trainer, short):
    plain, other = (
        [make_trainer(f"{name}{i}", "train.recurrence=fused", *own, data=short) for i, own in enumerate(OWN)] for name in ("plain", "other")
    )
    found = Graphs()
    for _ in range(4):
        expected = validate_each({i: trainer.tally() for i, trainer in enumerate(plain)})
        replayed = validate_each({i: trainer.tally() for i, trainer in enumerate(other)}, None, found.passes)
        assert {i: of.costs for i, of in replayed.items()} == {i: of.costs for i, of in expected.items()}
    assert found.passes.proved == 1


def test_a_training_captures_its_steps_and_its_validations(make_trainer):
    plain, other = (make_trainer(name, "train.recurrence=fused", "train.epochs=5", NO_METRICS) for name in ("plain", "other"))
    other.graphs = Graphs()
    rows = {}
    for trainer in (plain, other):
        rows[trainer] = []
        assert fit(trainer, lambda ended, mine=rows[trainer]: mine.append(ended.row), lambda: False) == "epochs"
    assert [{**row, "seconds": 0} for row in rows[plain]] == [{**row, "seconds": 0} for row in rows[other]]
    assert other.graphs.proved == other.graphs.passes.proved == 1


@pytest.mark.slow
def test_a_validation_that_cannot_be_captured_is_said_once_and_steps_still_are(make_trainer, caplog, monkeypatch):
    plain, other = (make_trainer(name, "train.recurrence=fused", "train.epochs=5", "train.metrics_every=1") for name in ("plain", "other"))
    other.graphs = Graphs()
    asking = type(next(iter(other.model.reconstructions.values())))
    mean = asking.mean
    monkeypatch.setattr(asking, "mean", lambda self, params: (params.sum().item(), mean(self, params))[1])
    with caplog.at_level(logging.WARNING):
        for trainer in (plain, other):
            assert fit(trainer, lambda _: None, lambda: False) == "epochs"
    (record,) = caplog.records
    assert record.getMessage().startswith("train.cuda_graph: a pass of a validation could not be captured (")
    same(everything(plain), everything(other))
    assert other.graphs.proved == 1


def test_by_default_nothing_is_said_where_there_is_no_cuda_device(caplog):
    with caplog.at_level(logging.WARNING):
        assert graphs_for(RunConfig(), torch.device("cpu")) is None
    assert caplog.records == []


def test_without_a_cuda_device_steps_are_taken_as_ever_and_the_log_says_so_once(train_tiny, short, caplog):
    captured._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        on, off = (train_tiny("train.epochs=2", f"train.cuda_graph={value}", name=value, data=short) for value in ("true", "false"))
    said = [record.getMessage() for record in caplog.records if "cuda_graph" in record.getMessage()]
    assert said == ["train.cuda_graph: true cannot be used: steps are captured on CUDA devices alone, not on cpu. They are taken as without it."]
    one, other = (load_checkpoint(done.run.checkpoints, "last").tensors["model"] for done in (on, off))
    same(one, other)
