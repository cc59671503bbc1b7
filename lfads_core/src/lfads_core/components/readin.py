"""Contracts of a read-in (channels to the encoders) and a read-out (factors to channels), one per session."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, eq=False)
class SessionInfo:
    """What is known about a session when its layers are built."""

    name: str
    encod_channels: int  # Ne
    recon_channels: int  # N
    factors: int  # F
    n_params: int = 1  # P
    seed: int = 0  # of the run: random weights come from ``stream(seed, ..., name)``
    extras: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes per trial of the file's arrays of numbers with a row per trial, by key without the split, such as ``{"behavior": (T, 2)}``."""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """The file's arrays of numbers with a row per channel, by key, such as ``readin_weight`` (Ne, D), ``readout_bias`` (N)."""


class AbstractReadin(nn.Module, abc.ABC):
    """Maps a session's channels to the width that all sessions share."""

    size: int
    """D, the width handed to the encoders."""

    @abc.abstractmethod
    def forward(self, encod: Float[Tensor, "*B Te Ne"]) -> Float[Tensor, "*B Te D"]:
        """Read in."""

    def follow(self, old: AbstractReadin | None, channels: Sequence[int | None]) -> None:
        """Start as another session's read-in, which an alignment then moves; ``channels`` says for each channel which one it was there.

        None stands for a channel that is new, and as ``old`` for a session whose channels are handed on as they are. Read-ins that start
        as they please ignore it.
        """


class AbstractReadout(nn.Module, abc.ABC):
    """Maps factors to a session's reconstruction parameters, P blocks of N, unstacked."""

    @abc.abstractmethod
    def forward(self, factors: Float[Tensor, "*B T F"]) -> Float[Tensor, "*B T PN"]:
        """Read out: the first N values are the first parameter of every channel, and so on."""

    def start_at(self, params: Float[Tensor, "N P"]) -> None:
        """Move the read-out so that zero factors give these parameters; read-outs without a bias ignore it."""

    def start_near(self, params: Float[Tensor, "N P"], slopes: Float[Tensor, "N P"]) -> None:
        """Start at these parameters; ``slopes`` say by how much each must change for the expected value to rise by one.

        Read-outs that know expected values rather than parameters need both; the others start at the parameters.
        """
        self.start_at(params)
