"""A reconstruction that knows better than the mean starts the read-out from the data."""

from __future__ import annotations

import numpy as np
import torch

from lfads_core.config.load import resolve
from lfads_core.data.session import Session, Split
from lfads_core.model.build import prepare_model
from lfads_core.plugins import load_registry


def session(values):
    return Session(
        name="a", path=None, splits={k: Split(encod=values, recon=values, external=np.zeros((*values.shape[:2], 0))) for k in ("train", "valid")}
    )


def test_a_reconstruction_with_a_start_of_its_own_is_asked_first():
    rng = np.random.default_rng(0)
    data = np.where(rng.random((30, 20, 3)) < [0.1, 0.2, 0.4], rng.gamma(2.0, 0.1, (30, 20, 3)), 0.0).astype(np.float32)
    model = prepare_model(resolve([], ["zig"], [], load_registry()), [session(data)], load_registry(), "cpu")
    mean = model.reconstructions["a"].mean(model.read_out("a", torch.zeros(1, 1, 40)))
    np.testing.assert_allclose(mean.detach()[0, 0], data.mean((0, 1)), rtol=0.1)


def test_the_others_start_at_the_mean():
    data = np.random.default_rng(0).poisson([0.5, 1.0, 2.0], (30, 20, 3)).astype(np.float32)
    model = prepare_model(resolve([], [], [], load_registry()), [session(data)], load_registry(), "cpu")
    mean = model.reconstructions["a"].mean(model.read_out("a", torch.zeros(1, 1, 40)))
    np.testing.assert_allclose(mean.detach()[0, 0], data.mean((0, 1)), rtol=0.01)
