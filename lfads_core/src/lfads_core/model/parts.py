"""The parts of a network that plugins offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lfads_core.components import (
    AbstractEncoder,
    AbstractGenerator,
    AbstractLatent,
    AbstractLoss,
    AbstractPrior,
    AbstractReadin,
    AbstractReadout,
    AbstractReconstruction,
    EncoderInfo,
    GeneratorInfo,
)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What is built, and the builders of parts that share the network's random numbers: each is called where its weights come in their order."""

    encoder_name: str  # of the component, under which weights are kept
    encoder: Callable[[EncoderInfo], AbstractEncoder]
    generator: Callable[[GeneratorInfo], AbstractGenerator]
    latents: Mapping[str, AbstractLatent]  # by name
    ic_prior: AbstractPrior
    input_prior: AbstractPrior | None  # None without a controller
    readins: Mapping[str, AbstractReadin]  # by session; empty: sessions are not read in
    readouts: Mapping[str, AbstractReadout]
    reconstructions: Mapping[str, AbstractReconstruction]
    losses: Mapping[str, Mapping[str, AbstractLoss]]  # by session, then by loss; empty without any
