"""Captured steps on a CUDA device. None of this has run where there is none."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from lfads_core.plugins import load_registry
from lfads_core.recurrence.choose import choose_recurrence
from lfads_core.train.captured import StepGraphs
from lfads_core.train.loop import end_epoch, fit, train_epoch, train_members
from lfads_core.train.step import take_step
from lfads_plugins_lab.bench.population import lone_trainer
from lfads_plugins_lab.bench.problem import load_problem

if not torch.cuda.is_available():
    pytest.skip("there is no CUDA device: no step was captured and replayed, and none was watched for waits of the host", allow_module_level=True)
pytestmark = pytest.mark.gpu

CLOSE = 1e-3
"""What weights may differ by after 12 steps: a captured rate is a float32, and AdamW makes small gradients' rounding as large as a step."""


@pytest.fixture
def trainer_of(tmp_path: Path):
    """``trainer_of("name", "fused", "train.cuda_graph=true")``: a trainer of S1's shapes with 4 steps an epoch."""

    def make(name, loops, *settings, seed=0):
        problem = load_problem("S1", [], load_registry(), ["train.device=cuda", "train.epochs=3", "data.passes=1", *settings], batches=4)
        trainer = lone_trainer(problem, seed, tmp_path / name)
        trainer.model.loops = choose_recurrence(loops, "cuda")
        return trainer

    return make


def rows_of(trainer):
    rows = []
    assert fit(trainer, lambda ended: rows.append(ended.row), lambda: False) == "epochs"
    return rows


def assert_close(one, other):
    theirs = other.model.state_dict()
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=CLOSE, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("loops", ["fused", "triton"])
@pytest.mark.parametrize(
    "settings", [(), ("optim.weight_decay=0.1", "optim.schedule=exponential", "optim.warmup_epochs=2")], ids=["default", "decay"]
)
def test_a_captured_training_ends_as_one_that_is_not(loops, settings, trainer_of, caplog):
    plain, other = trainer_of("plain", loops, *settings, "train.cuda_graph=false"), trainer_of("other", loops, *settings)
    with caplog.at_level(logging.WARNING):
        for one, two in zip(rows_of(plain), rows_of(other), strict=True):
            for name in ("train/recon", "train/total", "train/grad_norm", "valid/recon"):
                assert two[name] == pytest.approx(one[name], rel=1e-3), name
    assert "cuda_graph" not in caplog.text
    assert other.graphs.proved == other.graphs.passes.proved == 1
    assert_close(plain, other)


@pytest.mark.parametrize("loops", ["fused", "triton"])
def test_a_captured_population_ends_as_one_that_is_not(loops, trainer_of, caplog):
    own = ((), ("optim.lr=0.001", "model.dropout=0.1", "optim.clip_norm=1"), ("regularisation.kl_ic=0.01", "train.epochs=2"))
    plain = [trainer_of("plain", loops, *more, "train.cuda_graph=false", seed=i) for i, more in enumerate(own)]
    other = [trainer_of("other", loops, *more, "train.cuda_graph=true", seed=i) for i, more in enumerate(own)]
    with caplog.at_level(logging.WARNING):
        for trainers in (plain, other):
            assert {end.status for end in train_members(trainers, lambda *_: None, lambda: False)} == {"done"}
    assert "cuda_graph" not in caplog.text
    for one, two in zip(plain, other, strict=True):
        assert_close(one, two)


@pytest.mark.parametrize("captured", ["true", "false"])
@pytest.mark.parametrize("loops", ["fused", "triton"])
def test_no_step_makes_the_host_wait(loops, captured, trainer_of):
    trainer = trainer_of("one", loops, f"train.cuda_graph={captured}")
    failed = {}
    assert not train_epoch({0: trainer}, lambda: False, trainer.graphs, failed)  # compiles, makes moments, captures
    end_epoch({0: trainer}, failed)
    steps = trainer.remaining()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number, raw in steps:
            ready = trainer.prepare(number, raw)
            results = take_step([trainer], [ready]) if trainer.graphs is None else trainer.graphs.step([trainer], [ready])
            trainer.absorb(ready, results[0])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    trainer.check.require()
    assert failed == {}
    assert trainer.progress.step == 4


def test_a_step_that_asks_the_host_is_not_captured_and_training_goes_on(trainer_of, monkeypatch, caplog):
    plain, other = trainer_of("plain", "fused", "train.cuda_graph=false"), trainer_of("other", "fused", "train.cuda_graph=true")
    kind = type(next(iter(other.model.reconstructions.values())))
    nll = kind.nll
    rows_of(plain)
    monkeypatch.setattr(kind, "nll", lambda self, params, data: nll(self, params, data) if params.sum().isfinite().item() else params)
    with caplog.at_level(logging.WARNING):
        rows_of(other)
    assert caplog.text.count("train.cuda_graph: a training step could not be captured") == 1
    assert_close(plain, other)


def test_a_skipped_step_changes_nothing_and_is_gone_back_from(trainer_of, spoiled, caplog):
    trainer = trainer_of("one", "fused", "train.cuda_graph=true")
    spoiled(trainer, 1)
    with caplog.at_level(logging.WARNING):
        assert len(rows_of(trainer)) == 3
    assert "Back to epoch 2 with learning rate" in caplog.text
    assert all(value.isfinite().all() for value in trainer.model.state_dict().values())


def test_replays_need_no_more_memory(trainer_of):
    trainer = trainer_of("one", "triton", "train.cuda_graph=true")
    assert isinstance(trainer.graphs, StepGraphs)
    used = []
    for _ in range(3):
        failed = {}
        assert not train_epoch({0: trainer}, lambda: False, trainer.graphs, failed)
        torch.cuda.synchronize()
        used.append(torch.cuda.memory_allocated())
        end_epoch({0: trainer}, failed)
        assert failed == {}
    assert used[2] - used[1] < 2**20


def test_the_captured_step_is_measured():
    from lfads_plugins_lab.cli.bench import command

    given = ["step", "--config", "S1", "--rounds", "2", "--recurrence", "triton", "--no-memory", "--set", "train.cuda_graph=true"]
    done = CliRunner().invoke(command, given, catch_exceptions=False)
    assert done.exit_code == 0
