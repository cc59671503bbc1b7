"""One run that tests of options look at."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.config.load import resolve
from lfads_core.data.loader import SplitTensors
from lfads_core.model.build import build_stacks, prepare_model
from lfads_core.model.noise import Noise
from lfads_core.plugins import load_registry
from lfads_core.rng import stream
from lfads_core.train.auto import resolve_auto
from lfads_core.train.data import read_for


def invoke(*words, code=0):
    """What the command line prints; with its exit code checked."""
    done = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(name="invoke")
def command_line(tmp_path, monkeypatch):
    """The command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return invoke


@pytest.fixture
def sets(tiny_settings):
    """Options that make a training tiny."""
    return [part for setting in (*tiny_settings, "train.epochs=2") for part in ("--set", setting)]


@pytest.fixture(scope="session")
def finished(made_once, tiny_settings):
    """A folder with a causal run of two sessions, one channel of five held out, in which the best epoch is not the last."""

    def make(folder):
        for seed, name in enumerate(("a", "b")):
            rng = np.random.default_rng(seed)
            with h5py.File(folder / f"{name}.h5", "w") as file:
                for split, trials in (("train", 12), ("valid", 6)):
                    file[f"{split}_encod_data"] = rng.poisson(1.0, (trials, 8, 5)).astype(np.float32)
                    file[f"{split}_inds"] = np.arange(12) if split == "train" else np.arange(12, 18)
                    file[f"{split}_cond"] = np.arange(trials) % 2
                    file[f"{split}_target"] = np.arange(trials) % 3
                file.attrs["bin_ms"] = 10.0
        settings = (
            *tiny_settings,
            "train.epochs=4",
            "train.keep_best=2",
            "optim.lr=0.3",
            "model.controller.causal=true",
            "model.encoder.read_bins=3",
        )
        words = [part for setting in settings for part in ("--set", setting)]
        invoke("run", folder / "a.h5", folder / "b.h5", "--hold-out", 0.2, "--runs", folder / "runs", "--name", "r", *words)

    return made_once("finished_run_of_options", make)


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run, to write into."""
    return shutil.copytree(finished / "runs" / "r", tmp_path / "runs" / "r")


@dataclass(frozen=True)
class Built:
    """What a training begins with."""

    config: Any
    model: Any
    batch: Any
    stacks: Any

    def pass_over(self, batch=None):
        """Latents and parameters for posterior means."""
        with torch.no_grad():
            return self.model({"tiny": self.batch if batch is None else batch}, Noise())

    def bins_reached(self, bin_, of):
        """Where ``of`` an output is another once the data in one bin are."""
        encod = self.batch.encod.clone()
        encod[:, bin_] += 3
        before, after = (of(self.pass_over(batch).latents) for batch in (self.batch, dataclasses.replace(self.batch, encod=encod)))
        changed = (before != after).flatten(2).any(2).any(0) if before.dim() == 3 else (before != after).any()
        return torch.nonzero(changed).flatten().tolist()


@pytest.fixture
def built(write_tiny, tiny_settings):
    """``built("model.dropout=0.1", name=array)`` is the model of a tiny run as it is before the first step, beside all training trials."""

    def make(*overrides, data=None, **arrays):
        registry = load_registry()
        config = resolve([], (), [*tiny_settings, *overrides], registry)
        sessions = read_for(config, [data or write_tiny(**arrays)], registry)
        config = resolve_auto(config, sessions)
        (session,) = sessions
        split = session.splits["train"]
        batch = SplitTensors.from_split(split, extras=split.extras).take(torch.arange(len(split.encod)))
        return Built(config, prepare_model(config, sessions, registry, "cpu"), batch, build_stacks(config, registry))

    return make


@pytest.fixture
def shaken():
    """The model with nothing hidden behind zeros."""

    def shake(model):
        with torch.no_grad():
            for number, parameter in enumerate(model.parameters()):
                parameter.add_(torch.randn(parameter.shape, generator=stream(number, "more"), dtype=parameter.dtype), alpha=0.2)
        return model

    return shake
