"""Trainings that are driven from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def make_trainer(tmp_path: Path, write_tiny: Callable[..., Path], tiny_settings: tuple[str, ...]) -> Callable[..., Any]:
    """``make_trainer("name", "optim.lr=0.1", data=[...], registry=..., plugins=("zig",))``: a trainer in a new folder, with nothing trained yet."""

    def make(name: str, *overrides: str, data: Any = None, registry: Any = None, plugins: tuple[str, ...] = ()) -> Any:
        from lfads_core.config.load import resolve
        from lfads_core.model.build import build_stacks, prepare_model
        from lfads_core.model.description import describe
        from lfads_core.plugins import load_registry
        from lfads_core.runs import Run
        from lfads_core.train.auto import resolve_auto
        from lfads_core.train.data import put_on, read_for
        from lfads_core.train.trainer import Trainer

        registry = registry or load_registry()
        config = resolve([], plugins, [*tiny_settings, *overrides], registry)
        sessions = read_for(config, [data or write_tiny()] if not isinstance(data, list) else data, registry)
        config = resolve_auto(config, sessions)
        run = Run(tmp_path / "runs" / name)
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        model = prepare_model(config, sessions, registry, "cpu")
        return Trainer(run, config, model, describe(sessions), put_on("cpu", sessions), build_stacks(config, registry))

    return make


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave all looking to the end of the epoch, and do not ask whether a state was clipped."""
    from lfads_core.recurrence import fused_controlled, fused_gru
    from lfads_core.train import finite_checks, step

    monkeypatch.setattr(finite_checks, "ASKED_AT_ONCE", ())
    monkeypatch.setattr(step, "ASKED_AT_ONCE", ())
    for module in (fused_gru, fused_controlled):
        monkeypatch.setattr(module, "clip_masks", lambda after, clip: (after.abs() < clip).to(after.dtype).unbind(0))


@pytest.fixture
def short(write_tiny: Callable[..., Path]) -> Path:
    """A recording of 12 + 6 trials of 3 bins, for operations that are many, or slow because they are recorded."""
    rng = np.random.default_rng(0)
    arrays = {f"{split}_encod_data": rng.poisson(1.0, (trials, 3, 5)).astype(np.float32) for split, trials in (("train", 12), ("valid", 6))}
    return write_tiny("short.h5", **arrays)


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, int], None]:
    """``spoiled(trainer, 2)``: the noise of the second step of the second epoch is NaN, so many times."""

    def spoil(trainer: Any, times: int) -> None:
        prepare, left = trainer.prepare, iter(range(times))

        def prepared(number: int, raw: Any) -> Any:
            ready = prepare(number, raw)
            if (ready.epoch, number) == (1, 1) and next(left, None) is not None:
                ready.noise.ic["normal"][0, 0] = float("nan")
            return ready

        monkeypatch.setattr(trainer, "prepare", prepared)
        monkeypatch.setattr("lfads_core.train.loop.prepare_together", lambda *_: None)  # each prepares its own

    return spoil
