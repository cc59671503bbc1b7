"""Linear read-ins and read-outs, free or computed beforehand by principal-component regression."""

from __future__ import annotations

from collections.abc import Sequence

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

    @torch.no_grad()
    def follow(self, old: AbstractReadin | None, channels: Sequence[int | None]) -> None:
        """Read each channel as it was read before; those that are new count for nothing at first."""
        before, offset = (torch.eye(self.size), None) if old is None else (old.get_parameter("weight"), old.get_parameter("bias"))
        known = [(here, there) for here, there in enumerate(channels) if there is not None]
        here, there = ([pair[i] for pair in known] for i in (0, 1))
        self.weight.zero_()
        self.weight[:, here] = before[:, there].to(self.weight)
        self.bias.zero_() if offset is None else self.bias.copy_(offset)


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


class PCRReadout(AbstractReadout):
    """``f W' + b`` per session, with W and b from an inverse that gives expected values, ``m + U f``.

    Block p of W starts as diag(slopes_p) U and that of b at the parameters of the data's mean: to first order the factors
    then move the expected values, and all parameters that they depend on, as the inverse says. Without slopes the first block
    holds U and m themselves and the others 0.
    """

    def __init__(self, undo: Float[Tensor, "N F"], means: Float[Tensor, " N"], n_params: int, *, trainable: bool, linearise: bool) -> None:
        super().__init__()
        rest = (n_params - 1) * len(means)
        self.weight = nn.Parameter(torch.cat([undo, undo.new_zeros(rest, undo.shape[1])]), requires_grad=trainable)
        self.bias = nn.Parameter(torch.cat([means, means.new_zeros(rest)]), requires_grad=trainable)
        self.channels, self.linearise = len(means), linearise

    def forward(self, factors: Float[Tensor, "*B T F"]) -> Float[Tensor, "*B T PN"]:
        """Read out."""
        return nn.functional.linear(factors, self.weight, self.bias)

    @torch.no_grad()
    def start_near(self, params: Float[Tensor, "N P"], slopes: Float[Tensor, "N P"]) -> None:
        """Set weight and bias, if the settings ask for it."""
        if self.linearise:
            undo = self.weight[: self.channels].clone()
            self.weight.copy_((slopes.T[..., None].to(undo) * undo).flatten(0, 1))
            self.bias.copy_(params.T.reshape(-1))


def _random(rows: int, columns: int, *name: str, seed: int) -> Tensor:
    """Zero-mean normal matrix of std 1/sqrt(columns), the same for the same session and seed whatever else is built."""
    return torch.empty(rows, columns).normal_(std=columns**-0.5, generator=stream(seed, *name))


def build_linear_readin(settings: LinearReadinConfig, session: SessionInfo) -> LinearReadin:
    """A read-in with random weights."""
    size = settings.size or session.factors
    weight = _random(size, session.encod_channels, "readin", session.name, seed=session.seed)
    return LinearReadin(weight, torch.zeros(size), trainable=settings.trainable)


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


def build_pcr_readout(settings: PCRReadoutConfig, session: SessionInfo) -> PCRReadout:
    """Undo the session's projection: expected values start at ``m + pinv(R)' f``.

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
    return PCRReadout(torch.tensor(undo), torch.tensor(means), session.n_params, trainable=settings.trainable, linearise=settings.linearise)


def alignment(session: SessionInfo) -> tuple[np.ndarray, np.ndarray]:
    """The file's ``readin_weight`` (Ne, D) and the first Ne of its ``readout_bias`` (Ne, or N with held-out channels last), in float64.

    Raises:
        DataError: an array is missing or has the wrong shape.
    """
    rows = session.encod_channels
    for key, rank, shape, lengths in (
        ("readin_weight", 2, f"({rows}, D)", {rows}),
        ("readout_bias", 1, f"({rows},)", {rows, session.recon_channels}),
    ):
        got = session.arrays.get(key)
        if got is None or got.ndim != rank or len(got) not in lengths:
            found = "nothing" if got is None else str(got.shape)
            raise DataError(f"{session.name}: the read-in and read-out 'pcr' need '{key}' of shape {shape} in the file, got {found}.")
    return np.asarray(session.arrays["readin_weight"], np.float64), np.asarray(session.arrays["readout_bias"][:rows], np.float64)
