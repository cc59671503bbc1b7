"""Encoders, generators, losses and latents of std under population-based training over their own settings, in batches and on Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import lfads_core
from foreign_site import SETTINGS, lfads
from lfads_core.config.load import resolve
from lfads_core.plugins import load_registry
from ray_searches import needs_ray

PBT = ("--set", "search.members=3", "--set", "search.interval=1", "--set", "search.burn_in=1", "--set", "search.suggested=false")
WORDS = ("transformer", "lstm", "mlp", "low-rank", "linear-dynamics", "behaviour", "input-correlation", "context")


@dataclass(frozen=True)
class Case:
    """Components by one word each, and the spaces of their own settings that may change while a model trains."""

    words: tuple[str, ...]
    spaces: tuple[str, ...]


CASES = {
    "transformer, mlp, behaviour": Case(
        ("transformer", "mlp", "behaviour"), ("components.generator.change=uniform:0.05:0.3", "components.losses.behaviour.scale=log:0.01:1")
    ),
    "lstm, low-rank, input-correlation, context": Case(
        ("lstm", "low-rank", "input-correlation", "context"),
        (
            "components.generator.leak=uniform:0.1:0.9",
            "components.losses.input-correlation.scale=log:0.01:1",
            "components.latents.context.kl=log:1e-5:1e-3",
        ),
    ),
    "linear-dynamics": Case(("linear-dynamics",), ("optim.lr=log:1e-3:1e-2",)),  # what it can be told shapes first weights
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a recording of counts and behaviour, and small settings."""
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "tiny.h5", "w") as file:
        for split, trials in (("train", 12), ("valid", 10)):
            file[f"{split}_encod_data"] = rng.poisson(1.0, (trials, 8, 5)).astype(np.float32)
            file[f"{split}_behavior"] = rng.normal(size=(trials, 8, 2)).astype(np.float32)
        file.attrs["bin_ms"] = 10.0
    (tmp_path / "tiny.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def searched(case, executor):
    """The words of a search by population-based training."""
    chosen = [part for word in CASES[case].words for part in ("--plugin", word)]
    spaces = [part for space in CASES[case].spaces for part in ("--space", space)]
    return ["search", "pbt", "tiny.h5", "tiny.yaml", *chosen, *spaces, *PBT, "--executor", executor, "--name", executor]


def history(folder: Path):
    return json.loads((folder / "search.json").read_text())["history"]


def moved(folder: Path, case: str) -> dict[str, set[float]]:
    """Values of each space over all members and generations."""
    members = [member for generation in history(folder) for member in generation["members"]]
    return {path: {member["hyperparameters"][path] for member in members} for path in (space.partition("=")[0] for space in CASES[case].spaces)}


def test_every_one_of_them_is_in_a_case():
    assert {word for case in CASES.values() for word in case.words} == set(WORDS)


@pytest.mark.parametrize("word", WORDS)
def test_one_word_chooses_it(word):
    components = resolve([], [word], [], load_registry()).components
    assert word in {part.name for part in (components.encoder, components.generator, *components.losses, *components.latents)}


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_a_batched_population_trains_with_values_of_its_members_own_and_its_best_is_a_run(case, here):
    lfads(*searched(case, "batched"))
    folder = here / "runs/batched"
    values = moved(folder, case)
    assert all(len(found) >= 3 for found in values.values()), values
    assert [member["status"] for member in history(folder)[-1]["members"]] == ["done"] * 3
    best = lfads_core.load(folder / "best")
    assert {part.name for part in (best.config.components.encoder, best.config.components.generator)} <= {"gru", *CASES[case].words}
    assert (folder / "best/lfads_output_tiny.h5").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_in_batches_and_one_by_one_members_become_the_same_to_rounding(case, here):
    weights = []
    for executor in ("batched", "serial"):
        lfads(*searched(case, executor))
        files = sorted((here / f"runs/{executor}/members").glob("*/checkpoints/last.json"))
        tensors = [torch.load(file.parent / json.loads(file.read_text())["tensors"], weights_only=True)["model"] for file in files]
        weights.append({f"{i}/{name}": value for i, model in enumerate(tensors) for name, value in model.items()})
    assert moved(here / "runs/batched", case) == moved(here / "runs/serial", case)
    torch.testing.assert_close(*weights, rtol=2e-3, atol=2e-4)


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES)
def test_on_ray_members_become_what_they_become_one_by_one(case, here):
    lfads(*searched(case, "serial"))
    command = [sys.executable, "-m", "lfads_core.cli.main", *searched(case, "ray"), "--per-worker", "1"]
    done = subprocess.run(command, env=os.environ, cwd=here, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert moved(here / "runs/ray", case) == moved(here / "runs/serial", case)
    scores = [[[m["score"] for m in generation["members"]] for generation in history(here / "runs" / name)] for name in ("ray", "serial")]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4)
