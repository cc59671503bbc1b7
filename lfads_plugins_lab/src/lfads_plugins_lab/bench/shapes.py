"""Sizes to measure at: four published ones, or those of settings and data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lfads_core.data.layout import session_from_arrays
from lfads_core.data.session import Session
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import SyntheticSpec
from lfads_core.synth.settings import synthetic_settings

LORENZ = "lorenz"
"""The name of the shipped settings on the Lorenz data of `lfads demo`."""


@dataclass(frozen=True, kw_only=True)
class StepShape:
    """Everything that decides how much one training step computes. A controller of 0 units is none."""

    trials: int
    encoded_bins: int
    bins: int
    encoded_channels: int
    channels: int
    generator: int
    controller: int
    input_encoder: int
    encoder: int
    factors: int
    inputs: int

    def settings(self) -> list[str]:
        """Overrides that make the default settings a model of this shape."""
        control = (
            [
                f"model.controller.hidden={self.controller}",
                f"model.controller.encoder_hidden={self.input_encoder}",
                f"model.controller.inputs={self.inputs}",
            ]
            if self.controller
            else ["model.controller=null"]
        )
        return [
            *control,
            f"model.generator.hidden={self.generator}",
            f"model.generator.factors={self.factors}",
            f"model.encoder.hidden={self.encoder}",
            f"data.batch_size={self.trials}",
        ]

    def session(self, *, batches: int = 1) -> Session:
        """Random counts: so many batches to train on and one to validate on."""
        rng = np.random.default_rng(0)
        arrays: dict[str, np.ndarray] = {}
        for split, trials in (("train", batches * self.trials), ("valid", self.trials)):
            counts = rng.poisson(0.1, (trials, self.bins, self.channels)).astype(np.float32)
            arrays |= {f"{split}_encod_data": counts[:, : self.encoded_bins, : self.encoded_channels], f"{split}_recon_data": counts}
        return session_from_arrays("bench", arrays, {"bin_ms": 10.0})


def _shape(*sizes: int) -> StepShape:
    return StepShape(**dict(zip(StepShape.__dataclass_fields__, sizes, strict=True)))


SHAPES = {
    "S1": _shape(64, 100, 100, 60, 60, 100, 64, 64, 100, 40, 1),
    "S2": _shape(256, 35, 45, 137, 182, 200, 64, 64, 64, 100, 4),
    "S3": _shape(100, 140, 180, 122, 162, 100, 80, 80, 100, 40, 4),
    "S4": _shape(128, 100, 100, 50, 50, 200, 0, 0, 128, 20, 0),
}
"""The published shapes, by the names they are asked for."""


def lorenz_spikes(registry: Registry) -> tuple[SyntheticSpec, Any]:
    """The generator of the Lorenz data and its settings."""
    spec = registry.get(SyntheticSpec, "lorenz")
    return spec, synthetic_settings(spec, (), registry)


def lorenz_session(registry: Registry) -> Session:
    """Spikes of 40 channels that a chaotic system drives, as `lfads demo` makes them."""
    spec, settings = lorenz_spikes(registry)
    return session_from_arrays(LORENZ, spec.generate(settings, np.random.default_rng(0)))
