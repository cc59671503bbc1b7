"""Small models and batches for the tests of the network and its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch

from lfads_core.components import SessionInfo
from lfads_core.components.batch import Batch
from lfads_core.config.load import resolve
from lfads_core.config.schema import RunConfig
from lfads_core.model.build import build_model
from lfads_core.model.description import ModelDescription
from lfads_core.model.lfads import LFADS
from lfads_core.plugins import load_registry
from lfads_core.rng import stream

SMALL = (
    "model.encoder.hidden=5",
    "model.controller.encoder_hidden=4",
    "model.controller.hidden=6",
    "model.controller.inputs=2",
    "model.generator.hidden=7",
    "model.generator.ic_size=3",
    "model.generator.factors=4",
    "regularisation.kl_ic=2e-5",
    "regularisation.kl_inputs=2e-5",
    "regularisation.kl_ramp.increase_epochs=80",
    "regularisation.l2_ramp.increase_epochs=80",
)
CHANNELS = {"a": (6, 8)}
"""Encoded and reconstructed channels of each session."""


@pytest.fixture(scope="session")
def settings() -> Callable[..., RunConfig]:
    """``settings("model.dropout=0.5", ..., plugins=["zig"])``: small sizes, then these overrides."""
    registry = load_registry()

    def make(*overrides: str, plugins: tuple[str, ...] = ()) -> RunConfig:
        autonomous = any(text == "model.controller=null" for text in overrides)
        sizes = [text for text in SMALL if not (autonomous and "model.controller" in text)]
        return resolve([], plugins, [*sizes, *overrides], registry)

    return make


@pytest.fixture(scope="session")
def make_model(settings) -> Callable[..., LFADS]:
    """``make_model("model.controller=null", channels={"a": (6, 8)}, bins=9)``: a model in float64 without read-in unless asked."""
    registry = load_registry()

    def make(
        *overrides: str,
        channels: Mapping[str, tuple[int, int]] = CHANNELS,
        bins: tuple[int, int] = (7, 9),
        external: int = 2,
        plugins: tuple[str, ...] = (),
    ) -> LFADS:
        infos = [SessionInfo(name=name, encod_channels=seen, recon_channels=all_, factors=0) for name, (seen, all_) in channels.items()]
        description = ModelDescription(sessions=infos, encoded_bins=bins[0], bins=bins[1], external=external)
        return build_model(settings(*overrides, plugins=plugins), description, registry).double()

    return make


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    """``make_batch(trials=3, channels=(6, 8), seed=0)``: counts, and external input for ``external_bins`` bins."""

    def make(
        trials: int = 3,
        *,
        channels: tuple[int, int] = (6, 8),
        bins: tuple[int, int] = (7, 9),
        external: int = 2,
        external_bins: int | None = None,
        ic_bins: int = 0,
        seed: int = 0,
    ) -> Batch:
        rng = stream(seed, "batch")
        recon = torch.poisson(torch.full((trials, bins[1], channels[1]), 1.0, dtype=torch.float64), generator=rng)
        given = torch.empty(trials, external_bins or bins[1], external, dtype=torch.float64).normal_(generator=rng)
        return Batch(encod=recon[:, : bins[0], : channels[0]].clone(), recon=recon, external=given, trials=torch.arange(trials), ic_bins=ic_bins)

    return make
