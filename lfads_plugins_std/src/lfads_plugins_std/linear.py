"""Linear read-ins and read-outs, free or computed beforehand by principal-component regression."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractReadin, AbstractReadout, SessionInfo
from lfads_core.errors import DataError
from lfads_core.rng import stream
from lfads_plugins_std.settings import LinearReadinConfig, LinearReadoutConfig, PCRReadinConfig, PCRReadoutConfig


class LinearReadin(AbstractReadin):
    """``x W' + b`` per session."""

    def __init__(self, weight: Float[Tensor, "D Ne"], bias: Float[Tensor, " D"], *, trainable: bool = True) -> None:
        super().__init__()
        self.size = weight.shape[0]
        self.weight = nn.Parameter(weight, requires_grad=trainable)
        self.bias = nn.Parameter(bias, requires_grad=trainable)

    def forward(self, encod: Float[Tensor, "*B Te Ne"]) -> Float[Tensor, "*B Te D"]:
        """Read in."""
        return nn.functional.linear(encod, self.weight, self.bias)


class LinearReadout(AbstractReadout):
    """``f W' + b`` per session, all parameters of the reconstruction side by side."""

    def __init__(self, weight: Float[Tensor, "PN F"], bias: Float[Tensor, " PN"], *, trainable: bool = True, start_at_mean: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=trainable)
        self.bias = nn.Parameter(bias, requires_grad=trainable)
        self.start_at_mean = start_at_mean

    def forward(self, factors: Float[Tensor, "*B T F"]) -> Float[Tensor, "*B T PN"]:
        """Read out."""
        return nn.functional.linear(factors, self.weight, self.bias)

    @torch.no_grad()
    def start_at(self, params: Float[Tensor, "N P"]) -> None:
        """Set the bias, if the settings ask for it."""
        if self.start_at_mean:
            self.bias.copy_(params.T.reshape(-1))


def _random(rows: int, columns: int, *name: str, seed: int) -> Tensor:
    """Zero-mean normal matrix of std 1/sqrt(columns), the same for the same session and seed whatever else is built."""
    return torch.empty(rows, columns).normal_(std=columns**-0.5, generator=stream(seed, *name))


def build_linear_readin(settings: LinearReadinConfig, session: SessionInfo) -> LinearReadin:
    """A free read-in with random weights."""
    size = settings.size or session.factors
    return LinearReadin(_random(size, session.encod_channels, "readin", session.name, seed=session.seed), torch.zeros(size))


def build_linear_readout(settings: LinearReadoutConfig, session: SessionInfo) -> LinearReadout:
    """A free read-out with random weights."""
    rows = session.n_params * session.recon_channels
    weight = _random(rows, session.factors, "readout", session.name, seed=session.seed)
    return LinearReadout(weight, torch.zeros(rows), start_at_mean=settings.start_at_mean)


def build_pcr_readin(settings: PCRReadinConfig, session: SessionInfo) -> LinearReadin:
    """Subtract the channel means and project: weight ``R'``, bias ``-m R`` from the file's R (Ne, D) and m (Ne).

    Raises:
        DataError: the file lacks the arrays or they do not fit its channels.
    """
    projection, means = alignment(session)
    return LinearReadin(torch.tensor(projection.T), torch.tensor(-means @ projection), trainable=settings.trainable)


def build_pcr_readout(settings: PCRReadoutConfig, session: SessionInfo) -> LinearReadout:
    """Undo the session's projection: the first parameter of every channel starts at ``m + pinv(R)' f``, the others at 0.

    Raises:
        DataError: the file lacks the arrays, they do not fit, or the factors are not as many as the projection's columns.
    """
    projection, means = alignment(session)
    if projection.shape[1] != session.factors:
        raise DataError(
            f"{session.name}: 'readin_weight' must have as many columns as there are factors ({session.factors}), got {projection.shape[1]}. "
            f"Use --set model.generator.factors={projection.shape[1]}."
        )
    if projection.shape[0] != session.recon_channels:
        raise DataError(
            f"{session.name}: the read-out 'pcr' needs as many reconstructed channels as 'readin_weight' has rows "
            f"({projection.shape[0]}), got {session.recon_channels}. Use the read-out 'linear'."
        )
    undo = np.linalg.pinv(projection).T if settings.inverse == "pinv" else projection
    rest = (session.n_params - 1) * session.recon_channels
    weight = np.concatenate([undo, np.zeros((rest, session.factors))])
    return LinearReadout(torch.tensor(weight), torch.tensor(np.concatenate([means, np.zeros(rest)])), trainable=settings.trainable)


def alignment(session: SessionInfo) -> tuple[np.ndarray, np.ndarray]:
    """The file's ``readin_weight`` (Ne, D) and ``readout_bias`` (Ne), in float64.

    Raises:
        DataError: an array is missing or has the wrong shape.
    """
    rows = session.encod_channels
    for key, rank, shape in (("readin_weight", 2, f"({rows}, D)"), ("readout_bias", 1, f"({rows},)")):
        got = session.arrays.get(key)
        if got is None or got.ndim != rank or len(got) != rows:
            found = "nothing" if got is None else str(got.shape)
            raise DataError(f"{session.name}: the read-in and read-out 'pcr' need '{key}' of shape {shape} in the file, got {found}.")
    return np.asarray(session.arrays["readin_weight"], np.float64), np.asarray(session.arrays["readout_bias"], np.float64)
