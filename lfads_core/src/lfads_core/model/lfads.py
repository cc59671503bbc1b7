"""LFADS: a sequential variational autoencoder whose decoder is a dynamical system (Pandarinath et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from lfads_core.components import AbstractPrior, EncoderInfo
from lfads_core.components.batch import Batch
from lfads_core.config.fields import AUTO
from lfads_core.config.schema import DROPOUT, ModelConfig
from lfads_core.model.decoder import Decoder, DecoderInputs, Unrolled
from lfads_core.model.encoder import ControllerEncoder, InitialConditionEncoder
from lfads_core.model.latents import drawn_like, draws_of, entered, posterior_of, widths
from lfads_core.model.layers import drop, pad_bins
from lfads_core.model.named import Named
from lfads_core.model.noise import DropoutMasks, Noise, StandardNoise
from lfads_core.model.outputs import Encoded, Latents, ModelOutput, Posterior
from lfads_core.model.parts import Parts
from lfads_core.model.sizes import ModelSizes
from lfads_core.origin import blaming
from lfads_core.recurrence.choose import REFERENCE, Recurrence
from lfads_core.recurrence.precision import Precision, in_full
from lfads_core.rng import masks, normals


class LFADS(nn.Module):
    """The whole network for one or several sessions; sessions are known by name.

    The pass is deterministic: whatever is random comes in as :class:`~lfads_core.model.noise.Noise`.
    """

    def __init__(
        self,
        config: ModelConfig,
        sizes: ModelSizes,
        parts: Parts,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        self.config, self.sizes = config, sizes
        self.precision: Precision = "float32"  # of the products of training passes outside the loops
        control = config.controller
        info = EncoderInfo(
            width=sizes.encoder_width, hidden=config.encoder.hidden, causal=False, rng=rng, clip=config.cell_clip, scale=config.weight_scale
        )
        self.encoder = InitialConditionEncoder(parts.encoder_name, parts.encoder(info), config.generator.ic_size, config.encoder.min_variance, rng)
        self.input_encoder = None
        if control is not None:
            reader = parts.encoder(replace(info, hidden=control.encoder_hidden, causal=control.causal))
            self.input_encoder = ControllerEncoder(parts.encoder_name, reader, control.lag_bins)
        heard = 0 if self.input_encoder is None else self.input_encoder.size + sizes.feedback
        initial, entering = widths(parts.latents)
        self.entering = sizes.external + entering
        self.decoder = Decoder(config, parts.generator, DecoderInputs(external=self.entering, initial=initial, heard=heard), rng)
        self.latents = Named(parts.latents)
        self.ic_prior, self.input_prior = parts.ic_prior, parts.input_prior
        self.readins = Named(parts.readins)
        self.readouts = Named(parts.readouts)
        self.reconstructions = Named(parts.reconstructions)
        self.losses = Named({session: Named(of) for session, of in parts.losses.items()})
        self.loops = REFERENCE

    @property
    def loops(self) -> Recurrence:
        """The loops over time."""
        return self._loops

    @loops.setter
    def loops(self, loops: Recurrence) -> None:
        self._loops = loops
        for place in (self.encoder, self.input_encoder):
            if place is not None:
                with blaming(place.part, " in use"):
                    place.part.use(loops)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.decoder.to_generator.weight.device

    @property
    def priors(self) -> Mapping[str, AbstractPrior]:
        """Those that there are, by what they are priors of."""
        return {name: prior for name, prior in (("ic", self.ic_prior), ("inputs", self.input_prior)) if prior is not None}

    def forward(self, batches: Mapping[str, Batch], noise: Noise) -> ModelOutput:
        """Infer latents of all sessions' trials together, then read each session's parameters out."""
        return self.read_out_all(batches, self.infer(*self.gather(batches), noise))

    def read_out_all(self, batches: Mapping[str, Batch], latents: Latents) -> ModelOutput:
        """Read each session's parameters out of the latents of all trials."""
        trials = [batch.encod.shape[0] for batch in batches.values()]
        ends = accumulate(trials)
        rows = {name: slice(end - count, end) for name, count, end in zip(batches, trials, ends, strict=True)}
        factors = latents.factors.split(trials) if len(trials) > 1 else [latents.factors]
        params = {name: self.read_out(name, part) for name, part in zip(batches, factors, strict=True)}
        return ModelOutput(latents=latents, params=params, rows=rows)

    def read_in(self, session: str, batch: Batch) -> Tensor:
        """A session's channels at the encoders' width (B, Te, D); the identity when the model has no read-ins."""
        if session not in self.readins:
            return batch.encod
        read: Tensor = self.readins[session](batch.encod)
        return read.to(batch.encod.dtype)

    def read_out(self, session: str, factors: Tensor) -> Tensor:
        """A session's reconstruction parameters (B, T, N, P): P blocks of N channels, stacked last."""
        flat: Tensor = self.readouts[session](factors).to(factors.dtype)
        blocks = self.reconstructions[session].n_params
        stacked: Tensor = flat.unflatten(-1, (blocks, -1)).movedim(-2, -1)
        return stacked

    def infer(self, x: Tensor, external: Tensor, noise: Noise) -> Latents:
        """Encode, sample and decode (B, Te, D) with external inputs (B, T, E)."""
        return self.decode(self.encode(x, noise.dropout), external, noise)

    def encode(self, x: Tensor, masks: DropoutMasks | None) -> Encoded:
        """Read trials (B, Te, D): the posterior over initial conditions, and what the controller will see."""
        x = drop(x, None if masks is None else masks.data)
        segment = self.config.encoder.ic_bins or 0
        read = segment or self.config.encoder.read_bins
        ic = self.encoder(x[..., :read, :] if read else x, None if masks is None else masks.ic_final)
        further = {name: posterior_of(part, x) for name, part in self.latents.items()}
        ci = None if self.input_encoder is None else self.input_encoder(x[..., segment:, :], segment, self.sizes.bins)
        return Encoded(ic=ic, ci=ci, further=further)

    def decode(self, encoded: Encoded, external: Tensor, noise: Noise) -> Latents:
        """Sample the posteriors and unroll the dynamics with external inputs (B, T, E)."""
        return self.unroll(encoded, external, self.standardise(noise))

    def standardise(self, noise: Noise) -> StandardNoise:
        """Have the priors turn their draws into standard noise of the posteriors."""
        with in_full(self.decoder.to_generator.weight):
            return StandardNoise(
                ic=None if noise.ic is None else self.ic_prior.standardise(noise.ic),
                inputs=None if noise.inputs is None or self.input_prior is None else self.input_prior.standardise(noise.inputs),
                latents=None if noise.latents is None else {name: self.latents[name].prior.standardise(draw) for name, draw in noise.latents.items()},
                dropout=noise.dropout,
            )

    def unroll(self, encoded: Encoded, external: Tensor, noise: StandardNoise) -> Latents:
        """Decode with standard noise. This and :meth:`encode` are what a population does together, along a first axis M of everything."""
        ic = encoded.ic
        drawn = ic.mean if noise.ic is None else ic.mean + ic.std * noise.ic
        values = {name: q.mean if noise.latents is None else q.mean + q.std * noise.latents[name] for name, q in encoded.further.items()}
        drawn, external = entered(dict(self.latents.items()), values, drawn, external)
        rates = self.rates_of if self.decoder.feedback == "rates" else None
        run = self.decoder(drawn, encoded.ci, external, noise.inputs, self.loops, noise.dropout, rates)
        return self._latents(ic, encoded.ci, run, encoded.further)

    def rates_of(self, factors: Tensor) -> Tensor:
        """Expected values (B, N) that the only session reads out of one bin's factors (B, F)."""
        (session,) = self.reconstructions
        mean: Tensor = self.reconstructions[session].mean(self.read_out(session, factors.unsqueeze(1)))
        return mean.squeeze(1)

    def generate(self, external: Tensor, rng: torch.Generator) -> Latents:
        """New trials: initial conditions and inputs from their priors, for as many trials as ``external`` (B, T, E) has."""
        trials, bins = external.shape[:2]
        ic = self.ic_prior.generate(external.new_empty(trials, self.config.generator.ic_size), rng)
        drawn = external[..., :0]
        if self.input_prior is not None and self.config.controller is not None:
            drawn = self.input_prior.generate(external.new_empty(trials, bins, self.config.controller.inputs), rng)
        values = {name: part.prior.generate(drawn_like(part, trials, bins, external), rng) for name, part in self.latents.items()}
        start, given = entered(dict(self.latents.items()), values, ic, external)
        run = self.decoder.unroll(start, torch.cat([drawn, given], dim=-1), self.loops)
        further = {name: Posterior(mean=value, std=torch.zeros_like(value)) for name, value in values.items()}
        return self._latents(Posterior(mean=ic, std=torch.zeros_like(ic)), None, run, further)

    @staticmethod
    def _latents(ic: Posterior, ci: Tensor | None, run: Unrolled, further: Mapping[str, Posterior]) -> Latents:
        path = run.path
        return Latents(
            ic=ic,
            inputs=None if path is None else Posterior(mean=path.input_mean, std=path.input_std),
            ci=ci,
            gen_init=run.gen_init,
            gen_states=run.gen_states,
            gen_inputs=run.gen_inputs,
            con_states=None if path is None else path.con_states,
            factors=run.factors,
            further=further,
        )

    def gather(self, batches: Mapping[str, Batch]) -> tuple[Tensor, Tensor]:
        """All sessions' trials as read in (B, Te, D), and their external inputs (B, T, E), padded with zeros to the reconstructed bins.

        External inputs that go through the encoders stand behind what was read in, and none are left for the generator.
        """
        x = _joined([self.read_in(name, batch) for name, batch in batches.items()])
        given = _joined([batch.external for batch in batches.values()])
        given = pad_bins(given, 0, self.sizes.bins - given.shape[1])
        if self.config.external_inputs == "encoders":
            return torch.cat([x, given[:, : x.shape[1]]], dim=-1), given[..., :0]
        return x, given

    def draw_noise(self, trials: int, rng: torch.Generator, *, sample: bool, dropout: bool) -> Noise:
        """Draw everything random for one pass over ``trials`` trials, always in the same order."""
        return draw_noises([self], trials, [rng], sample=sample, dropout=dropout)[0]

    def draw_pass(self, batches: Mapping[str, Batch], rng: torch.Generator, *, sample: bool, dropout: bool) -> Noise:
        """Draw everything random for one pass over these batches, the losses' last."""
        noise = self.draw_noise(sum(batch.trials.shape[0] for batch in batches.values()), rng, sample=sample, dropout=dropout)
        return self.with_losses_draws(noise, batches, rng)

    def with_losses_draws(self, noise: Noise, batches: Mapping[str, Batch], rng: torch.Generator) -> Noise:
        """The noise of a pass with what its losses draw, if there are any."""
        if not self.losses:
            return noise
        priced = {name: batch for name, batch in batches.items() if name in self.losses}
        return replace(
            noise, losses={name: {loss: part.draw(batch, rng) for loss, part in self.losses[name].items()} for name, batch in priced.items()}
        )

    @property
    def arrays_wanted(self) -> Mapping[str, str]:
        """Keys of the arrays with a row per trial that losses need in batches, and the name of a loss that does."""
        return {key: name for of in self.losses.values() for name, part in of.items() for key in part.arrays}


def draw_noises(
    models: Sequence[LFADS],
    trials: int,
    rngs: Sequence[torch.Generator],
    *,
    sample: bool,
    dropout: bool,
    divergences: bool = True,
    like: Tensor | None = None,
) -> list[Noise]:
    """:meth:`LFADS.draw_noise` of several models of one shape, each from its own generator: what each would draw alone, in rows of shared tensors.

    They lie where ``like`` does, or the weights. Draws for divergences come last but for those of further latents; without them, others are the same.
    """
    like = models[0].decoder.to_generator.weight if like is None else like
    config, sizes = models[0].config, models[0].sizes
    control = config.controller
    ic: dict[str, tuple[int, ...]] = {"ic": (trials, config.generator.ic_size)}
    inputs: dict[str, tuple[int, ...]] = {}
    if control is not None:
        inputs = {"inputs": (trials, sizes.bins, control.inputs)}
    of_kl = {f"{name}_kl": shape for name, shape in (ic | inputs).items()}
    wanted = {**(ic | inputs if sample else {}), **(of_kl if divergences or models[0].latents else {})}
    if all(type(prior).draw is AbstractPrior.draw for model in models for prior in model.priors.values()):
        drawn = normals(list(wanted.values()), like, rngs)
        found: list[dict[str, Any]] = [{name: {"normal": of[i]} for name, of in zip(wanted, drawn, strict=True)} for i in range(len(models))]
    else:
        found = [
            {name: model.priors[name.removesuffix("_kl")].draw(like.new_empty(shape), rng) for name, shape in wanted.items()}
            for model, rng in zip(models, rngs, strict=True)
        ]
    latents = [_latent_draws(model, trials, rng, like, sample=sample) for model, rng in zip(models, rngs, strict=True)]
    rates = [_dropout(model.config) if dropout else 0.0 for model in models]
    drops = _draw_masks(models[0], trials, rngs, rates) if all(rates) else [
        _draw_masks(model, trials, [rng], [rate])[0] if rate else None for model, rng, rate in zip(models, rngs, rates, strict=True)
    ]  # fmt: skip
    return [Noise(dropout=masks, **of, **further) for of, masks, further in zip(found, drops, latents, strict=True)]


def _dropout(config: ModelConfig) -> float:
    """The share of units dropped; of a model that was made without a recording the usual one."""
    return DROPOUT if config.dropout == AUTO else config.dropout


def _latent_draws(model: LFADS, trials: int, rng: torch.Generator, like: Tensor, *, sample: bool) -> dict[str, Any]:
    """Random numbers behind the latents of plugins; nothing without any."""
    latents = dict(model.latents.items())
    if not latents:
        return {}
    bins = model.sizes.bins
    own = draws_of(latents, trials, bins, like, rng) if sample else None
    return {"latents": own, "latents_kl": draws_of(latents, trials, bins, like, rng)}


def _draw_masks(model: LFADS, trials: int, rngs: Sequence[torch.Generator], rates: Sequence[float]) -> list[DropoutMasks]:
    """Each member's masks, whose kept values are ``1 / (1 - rate)``."""
    sizes, config, heard = model.sizes, model.config, model.input_encoder
    shapes = {
        "data": (trials, sizes.encoded_bins, sizes.encoder_width),
        "ic_final": (trials, model.encoder.part.features),
        "gen_init": (trials, config.generator.hidden),
        "gen_state": (trials, sizes.bins, config.generator.hidden),
        **({"external": (trials, sizes.bins, model.entering)} if model.entering else {}),
        **({} if heard is None else {"con_input": (trials, sizes.bins, heard.size + sizes.feedback)}),
    }
    like = model.decoder.to_generator.weight
    drawn = masks([1 - rate for rate in rates], list(shapes.values()), like, rngs, whole=True)
    return [DropoutMasks(**{name: of[i] for name, of in zip(shapes, drawn, strict=True)}) for i in range(len(rates))]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Trials of several sessions side by side; those of one session are not copied."""
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]
