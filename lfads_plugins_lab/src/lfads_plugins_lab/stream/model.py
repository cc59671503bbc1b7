"""A trained causal model that takes one bin at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.config.schema import RunConfig
from lfads_core.errors import ConfigError, DataError
from lfads_core.infer.loading import LoadedRun
from lfads_core.model.description import ModelDescription
from lfads_core.model.lfads import LFADS
from lfads_core.recurrence.reference import affine, gru_step


@dataclass(frozen=True, kw_only=True, eq=False)
class Streamed:
    """What one more bin of data made known: nothing while the initial condition waits, then its bins at once, then one bin at a time."""

    first_bin: int  # which bin of the trial the first of these is
    output_params: Float[np.ndarray, "b N"]  # expected values per bin
    factors: Float[np.ndarray, "b F"]
    gen_states: Float[np.ndarray, "b G"]
    co_means: Float[np.ndarray, "b U"]  # inferred inputs; width 0 without a controller

    @property
    def bins(self) -> int:
        """How many bins became known."""
        return len(self.factors)


class StreamingModel:
    """Bin-by-bin inference; :meth:`push` gives what `lfads infer --means` gives for the same bins of the same model, to rounding.

    The initial condition is read from the trial's first bins (``model.encoder.ic_bins`` or ``model.encoder.read_bins``), whose
    outputs are known when the last of them is there; or it is ``start`` (I), known before the trial begins, and every bin is answered
    at once. Posterior means are decoded. After the encoded window of the training the trial may go on; the model reads on as before.

    One object follows one trial; :meth:`reset` begins the next.

    Raises:
        ConfigError: the model is not causal, or nothing says where the initial condition comes from.
        DataError: the session is unknown.
    """

    def __init__(
        self,
        config: RunConfig,
        model: LFADS,
        description: ModelDescription,
        *,
        session: str | None = None,
        start: Float[np.ndarray, " I"] | None = None,
    ) -> None:
        self.session = _session(session, [s.name for s in description.sessions])
        require_causal(config, given=start is not None)
        self.model, self.external = model, description.external
        self.channels = next(s.encod_channels for s in description.sessions if s.name == self.session)
        self.like = model.decoder.to_generator.weight.detach()
        if start is not None and np.shape(start) != (model.config.generator.ic_size,):
            raise DataError(f"start: must be one initial condition of shape ({model.config.generator.ic_size},), got {np.shape(start)}.")
        self.start = None if start is None else torch.as_tensor(np.asarray(start), dtype=self.like.dtype, device=self.like.device)[None]
        self.rows = model.decoder.factors.rows().detach()
        self.reset()

    @classmethod
    def of(cls, loaded: LoadedRun, *, session: str | None = None, start: Float[np.ndarray, " I"] | None = None) -> StreamingModel:
        """Stream with what :func:`lfads_core.load` returned."""
        return cls(loaded.config, loaded.model, loaded.description, session=session, start=start)

    @property
    def waits(self) -> int:
        """Bins that must be there before the first answer."""
        encoder = self.model.config.encoder
        return 0 if self.start is not None else min(encoder.ic_bins or encoder.read_bins or 0, self.model.sizes.encoded_bins)

    @torch.no_grad()
    def reset(self) -> None:
        """Begin a new trial."""
        self.bin, self.known = 0, 0  # of the next push, of the next answer
        self.first: list[Tensor] = []  # read-in bins that the initial condition waits for
        self.later: list[tuple[Tensor | None, Tensor]] = []  # what the controller heard in them, and external inputs
        encoder, control = self.model.input_encoder, self.model.decoder.controller
        self.memory: Any = None  # what that encoder remembers of the bins so far
        self.silence = None if encoder is None else self.like.new_zeros(1, encoder.size)
        self.told: deque[Tensor] = deque()  # encoder states the controller has not heard yet
        self.con = None if control is None else control.h0.view(1, -1)
        self.gen: Tensor | None = None
        self.factors = self.like.new_zeros(1, 0)
        if self.start is not None:
            self._begin(self.start)

    @torch.no_grad()
    def push(self, counts: Float[np.ndarray, " Ne"], external: Float[np.ndarray, " E"] | None = None) -> Streamed:
        """Take the next bin: the encoded channels' values, and external inputs if the model has any (missing ones are 0).

        Raises:
            DataError: shapes that are not the model's.
        """
        x, given = self._as_row(counts, self.channels, "counts"), self._as_row(external, self.external, "external")
        if self.session in self.model.readins:
            x = self.model.readins[self.session](x.unsqueeze(1)).squeeze(1)
        if self.model.config.external_inputs == "encoders":
            x, given = torch.cat([x, given], dim=-1), given[:, :0]
        ci = self._hear(x)
        self.bin += 1
        if self.gen is not None:
            return self._answer([(ci, given)])
        self.first.append(x)
        self.later.append((ci, given))
        if len(self.first) < self.waits:
            return self._answer([])
        self._begin(self.model.encoder(torch.stack(self.first, dim=1), None).mean)
        return self._answer(self.later)

    def _as_row(self, values: np.ndarray | None, width: int, name: str) -> Tensor:
        row = np.zeros(width) if values is None else np.asarray(values)
        if row.shape != (width,):
            raise DataError(f"{name}: must have shape ({width},), one value for each of the model's, got {row.shape}.")
        return torch.as_tensor(row, dtype=self.like.dtype, device=self.like.device)[None]

    def _begin(self, ic: Tensor) -> None:
        decoder = self.model.decoder
        self.gen = decoder.generator.start(decoder.to_generator(ic))
        self.factors = affine(self.gen, self.rows)

    def _hear(self, x: Tensor) -> Tensor | None:
        """What the controller hears in this bin; its encoder reads on. None without a controller."""
        encoder = self.model.input_encoder
        if encoder is None or self.silence is None:
            return None
        if self.bin < (self.model.config.encoder.ic_bins or 0):
            return self.silence
        heard, self.memory = encoder.part.listen(x, self.memory)
        self.told.append(heard)
        return self.told.popleft() if len(self.told) > encoder.lag else self.silence

    def _answer(self, steps: list[tuple[Tensor | None, Tensor]]) -> Streamed:
        seen = [self._step(ci, given) for ci, given in steps]
        if seen:
            factors, states, inputs = (torch.cat(column) for column in zip(*seen, strict=True))
        else:
            size, control = self.model.config.generator, self.model.config.controller
            factors, states, inputs = (
                self.like.new_zeros(0, width) for width in (size.factors, size.hidden, 0 if control is None else control.inputs)
            )
        means = self.model.reconstructions[self.session].mean(self.model.read_out(self.session, factors.unsqueeze(0)))[0]
        params, f, g, u = (value.cpu().numpy() for value in (means, factors, states, inputs))
        first, self.known = self.known, self.known + len(seen)
        return Streamed(first_bin=first, output_params=params, factors=f, gen_states=g, co_means=u)

    def _step(self, ci: Tensor | None, given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One bin of controller and generator: factors, generator state, inferred inputs."""
        decoder, clip = self.model.decoder, self.model.config.cell_clip
        inferred = given[:, :0]
        if decoder.controller is not None and ci is not None and self.con is not None:
            con = decoder.controller
            fed = self.model.rates_of(self.factors) if decoder.feedback == "rates" else self.factors
            heard = torch.cat([ci] if decoder.feedback == "none" else [ci, fed], dim=-1)
            self.con = gru_step(affine(heard, con.gru.input, con.gru.bias), self.con, con.gru.recurrent, clip)
            inferred = affine(self.con, con.posterior.weight, con.posterior.bias).chunk(2, dim=-1)[0]
        if self.gen is None:
            raise RuntimeError("a step was taken before there was an initial condition")
        self.gen = decoder.generator.step(self.gen, torch.cat([inferred, given], dim=-1)).clamp(-clip, clip)
        self.factors = affine(self.gen, self.rows)
        return self.factors, self.gen, inferred


def require_causal(config: RunConfig, *, given: bool) -> None:
    """See to it that a model can answer bin by bin; ``given`` says that the initial condition is.

    Raises:
        ConfigError: it needs later bins, or nothing says where the initial condition comes from.
    """
    control, encoder = config.model.controller, config.model.encoder
    if control is not None and not control.causal:
        raise ConfigError(
            "model.controller.causal: must be true for a model that streams, which may infer inputs from the past alone, got false. "
            "Train with --set model.controller.causal=true."
        )
    if not given and encoder.ic_bins is None and encoder.read_bins is None:
        raise ConfigError(
            "model.encoder.read_bins: must say from which first bins a model that streams reads its initial condition, got null. "
            "Train with --set model.encoder.read_bins=K, or start from a given one (`--start typical`)."
        )
    if config.components.latents:
        names = ", ".join(part.name for part in config.components.latents)
        raise ConfigError(f"components.latents: must be empty for a model that streams, got {names}, inferred from whole trials. Train without.")
    if config.components.infer_augmentations:
        names = ", ".join(part.name for part in config.components.infer_augmentations)
        raise ConfigError(f"components.infer_augmentations: must be empty for a model that streams, got {names}. Prepare the data beforehand.")


def _session(session: str | None, names: list[str]) -> str:
    if session is None and len(names) == 1:
        return names[0]
    if session not in names:
        raise DataError(f"session: must be one the model knows ({', '.join(names)}), got {session!r}.")
    return session


def typical_start(loaded: LoadedRun, session: str) -> Float[np.ndarray, " I"]:
    """The mean of the initial conditions that were inferred from a session's training trials.

    Raises:
        RunError: the run has no outputs yet.
    """
    mean: np.ndarray = loaded.outputs(session)["train_ic_mean"].mean(axis=0)
    return mean
