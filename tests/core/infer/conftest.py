"""Recordings in memory, and runs whose models were never trained: what inference does with a model does not depend on how good it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lfads_core.config.load import resolve
from lfads_core.data.session import Session, Split
from lfads_core.infer.loading import LoadedRun
from lfads_core.infer.posterior import Inferred
from lfads_core.model.build import build_model
from lfads_core.model.description import ModelDescription, describe
from lfads_core.pipeline.run import record_start
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_core.train.auto import resolve_auto
from lfads_core.train.checkpoint import Checkpoint, save_checkpoint


@pytest.fixture
def recorded() -> Callable[..., Session]:
    """``recorded("monday", channels=6)`` is a session of 9 + 4 trials, 7 bins of 4 ms, 5 channels of counts and, if asked for, external inputs."""

    def make(name: str = "monday", *, channels: int = 5, external: int = 0, seed: int = 0, bins: int = 7, **more: Any) -> Session:
        rng = np.random.default_rng(seed)
        splits = {}
        for split, trials in (("train", 9), ("valid", 4)):
            data = rng.poisson(1.0, (trials, bins, channels)).astype(np.float32)
            splits[split] = Split(encod=data, recon=data, external=rng.normal(size=(trials, bins, external)).astype(np.float32))
        return Session(**{"name": name, "path": None, "splits": splits, "attributes": {"bin_ms": 4.0}, **more})

    return make


@pytest.fixture
def untrained(tmp_path: Any, tiny_settings: tuple[str, ...]) -> Callable[..., LoadedRun]:
    """``untrained([session], "model.controller=null")`` is a run in ``tmp_path/runs/run`` that was never trained; ``checkpoints`` writes it down."""

    def make(
        sessions: list[Session], *overrides: str, data: Any = ("nowhere.h5",), checkpoints: tuple[str, ...] = (), registry: Any = None
    ) -> LoadedRun:
        registry = registry or load_registry()
        config = resolve_auto(resolve([], (), [*tiny_settings, *overrides], registry), sessions)
        description = describe(sessions)
        model = build_model(config, description, registry).eval()
        with torch.no_grad():
            rng = torch.Generator().manual_seed(1)
            for weight in model.parameters():  # away from zeros that hide what goes through them
                weight.add_(0.1 * torch.randn(weight.shape, generator=rng))
        run = Run(tmp_path / "runs" / "run")
        run.make_folders()
        record_start(run, data, config, registry)
        for number, name in enumerate(checkpoints):
            weights = {key: value + number for key, value in model.state_dict().items()}
            save_checkpoint(run.checkpoints, name, kept(description, weights, number))
        return LoadedRun(run=run, config=config, model=model, description=description, checkpoint="best", registry=registry)

    return make


def kept(description: ModelDescription, weights: dict[str, torch.Tensor], epoch: int) -> Checkpoint:
    """A checkpoint of an epoch with these weights."""
    arrays = {s.name: {key: torch.as_tensor(value) for key, value in s.arrays.items()} for s in description.sessions}
    return Checkpoint(tensors={"model": weights, "arrays": arrays}, state={"epoch": epoch, "step": 0, "description": description.to_json()})


@pytest.fixture
def inferred() -> Callable[..., Inferred]:
    """``inferred(trials=3, bins=7)`` are random outputs, without a controller unless ``inputs`` says how many there are."""

    def make(trials: int, bins: int = 7, channels: int = 5, inputs: int = 0, seed: int = 0, **further: np.ndarray) -> Inferred:
        rng = np.random.default_rng(seed)
        sizes: dict[str, tuple[int, ...]] = {
            "output_params": (bins, channels), "factors": (bins, 3), "ic_mean": (4,), "ic_std": (4,), "co_means": (bins, inputs),
            "co_stds": (bins, inputs), "gen_states": (bins, 8), "gen_init": (8,), "gen_inputs": (bins, inputs), "con_states": (bins, 2 * inputs),
        }  # fmt: skip
        return Inferred(**{key: rng.normal(size=(trials, *shape)).astype(np.float32) for key, shape in sizes.items()}, further=further)

    return make
