"""Posterior sample-and-average: what LFADS reports as its estimate of rates, factors and inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import accumulate, islice
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack, augmented
from lfads_core.components.batch import Batch
from lfads_core.components.prior import Draw
from lfads_core.config.fields import MOST_SAMPLES
from lfads_core.data.loader import TrialSource, ahead, epoch_batches
from lfads_core.errors import ConfigError
from lfads_core.model.lfads import LFADS, draw_noises
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import Encoded, Latents, Posterior
from lfads_core.model.rows import joined_records, mapped
from lfads_core.rng import stream
from lfads_core.wording import shown

ROWS = {"cpu": 256, "cuda": 1024}
"""Trials times samples that are decoded in one pass; step-sized products gain little from more, and memory grows with it."""

OF_LATENT, OF_DISTRIBUTION = "latent_", "distribution_"
"""How names of further latents begin, and those of the parameters of the data's distribution."""

BLOCK = 10
"""Samples of one trial that are drawn together; part of what makes a seed's samples what they are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inferred:
    """Averages over posterior samples for every trial of one split of one session, in the file's order.

    ``output_params`` are expected values per bin (the average of the means, not the mean of averaged parameters).
    Without a controller ``con_states``, ``co_means`` and ``co_stds`` have width 0.
    """

    output_params: Float[np.ndarray, "B T N"]
    factors: Float[np.ndarray, "B T F"]
    ic_mean: Float[np.ndarray, "B I"]
    ic_std: Float[np.ndarray, "B I"]
    co_means: Float[np.ndarray, "B T U"]
    co_stds: Float[np.ndarray, "B T U"]
    gen_states: Float[np.ndarray, "B T G"]
    gen_init: Float[np.ndarray, "B G"]
    gen_inputs: Float[np.ndarray, "B T UE"]
    con_states: Float[np.ndarray, "B T H"]
    further: Mapping[str, Float[np.ndarray, "B ..."]] = field(default_factory=dict)
    """``latent_<name>_mean`` and ``_std`` of latents of plugins; ``distribution_<name>`` (B, T, N), where parameters of the data's distribution
    were asked for."""

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Inferred:
        """From arrays by the names of fields, and of what is further."""
        own = {f.name for f in fields(cls)}
        known: dict[str, Any] = {key: value for key, value in arrays.items() if key in own}
        return cls(**known, further={key: value for key, value in arrays.items() if key not in own})

    def arrays(self) -> dict[str, np.ndarray]:
        """All of them by name."""
        return {**{f.name: getattr(self, f.name) for f in fields(self) if f.name != "further"}, **self.further}


def average(model: LFADS, batches: Mapping[str, Batch], draws: Iterable[Noise], *, distribution: bool = False) -> dict[str, dict[str, Tensor]]:
    """Plain averages of every output field over posterior samples, by session, under the names of :class:`Inferred`.

    Each draw is one sample of all trials, without dropout. Trials are encoded once; samples are decoded many at a time, as
    further trials of one pass. ``distribution`` adds the parameters of each session's data (``distribution_<name>``).
    """
    x, external = model.gather(batches)
    encoded = model.encode(x, None)
    trials = x.shape[0]
    together = max(1, ROWS.get(model.device.type, ROWS["cpu"]) // trials)
    sums: dict[str, Tensor] = {}
    of_data: dict[str, dict[str, Tensor]] = {session: {} for session in batches}
    samples = 0
    for some in _chunks(draws, together):
        count = len(some)
        samples += count
        latents = model.decode(_repeated(encoded, count), external.repeat(count, 1, 1), _concatenated(some))
        for key, value in _decoded_fields(latents).items():
            _add(sums, key, value.unflatten(0, (count, trials)).sum(dim=0))
        for session, rows in _rows(batches).items():
            factors = latents.factors.unflatten(0, (count, trials))[:, rows].flatten(0, 1)
            reconstruction, params = model.reconstructions[session], model.read_out(session, factors)
            found = {"output_params": reconstruction.mean(params)}
            if distribution:
                found |= {f"{OF_DISTRIBUTION}{name}": value for name, value in reconstruction.distribution_params(params).items()}
            for key, value in found.items():
                _add(of_data[session], key, value.unflatten(0, (count, -1)).sum(dim=0))
    further = {f"{OF_LATENT}{name}_{what}": value for name, q in encoded.further.items() for what, value in vars(q).items()}
    shared = {"ic_mean": encoded.ic.mean, "ic_std": encoded.ic.std, **further, **{key: value / samples for key, value in sums.items()}}
    return {
        session: {**{key: value / samples for key, value in of_data[session].items()}, **{key: value[rows] for key, value in shared.items()}}
        for session, rows in _rows(batches).items()
    }


def check_samples(samples: int) -> None:
    """Refuse more samples of each trial than anybody needs.

    Raises:
        ConfigError: more than :data:`~lfads_core.config.fields.MOST_SAMPLES`.
    """
    if samples > MOST_SAMPLES:
        raise ConfigError(f"samples: must be at most {MOST_SAMPLES:,} of each trial, got {shown(samples)}. Ask for less.")


def draw_samples(model: LFADS, batches: Mapping[str, Batch], samples: int, seed: int) -> Iterator[Noise]:
    """The noise behind each posterior sample of all trials.

    Every trial has a random stream of its own, found from the seed, its session and its row in the split: its samples do not
    depend on which trials share its batch, nor on the device, for streams are the CPU's. The first of many samples are those that fewer would
    have been. Draws behind divergences are made only where a stream has more samples after them.

    Raises:
        ConfigError: more samples than :data:`~lfads_core.config.fields.MOST_SAMPLES`.
    """
    check_samples(samples)
    rngs = [stream(seed, "infer", name, row) for name, batch in batches.items() for row in batch.trials.tolist()]
    blocks, like = -(-samples // BLOCK), torch.empty(0, dtype=model.decoder.to_generator.weight.dtype)

    def block(number: int) -> Noise:
        """Some samples of all trials (samples, trials, ...) on the device."""
        each = draw_noises([model] * len(rngs), BLOCK, rngs, sample=True, dropout=False, divergences=number + 1 < blocks, like=like)
        used = joined_records([Noise(ic=one.ic, inputs=one.inputs, latents=one.latents) for one in each])
        moved: Noise = mapped(used, lambda value: value.transpose(0, 1).contiguous().to(model.device, non_blocking=True))
        return moved

    found = map(block, range(blocks)) if model.device.type == "cpu" else ahead(block, blocks)
    for number, drawn in enumerate(found):
        for i in range(min(BLOCK, samples - number * BLOCK)):
            yield mapped(drawn, itemgetter(i))


def infer_batches(
    model: LFADS,
    stack: AugmentationStack,
    sources: Mapping[str, TrialSource],
    *,
    samples: int | None,
    batch_size: int,
    seed: int,
    distribution: bool = False,
) -> Iterator[dict[str, Inferred]]:
    """Infer every trial of a split, some at a time in the file's order, by session; ``samples`` None decodes the posterior means in one pass.

    The batch size changes results by no more than rounding, unless an augmentation of inference draws random numbers of its own.
    """
    for number, raw in enumerate(epoch_batches(sources, batch_size)):
        rng = stream(seed, "infer augmentations", number, device=model.device)
        with torch.no_grad():  # not while the caller has the turn
            batches = augmented(raw, stack, model.config.encoder.ic_bins, rng)
            draws = [Noise()] if samples is None else draw_samples(model, batches, samples, seed)
            found = average(model, batches, draws, distribution=distribution)
        yield {name: Inferred.of({key: value.cpu().numpy() for key, value in of.items()}) for name, of in found.items()}


def infer_split(
    model: LFADS,
    stack: AugmentationStack,
    sources: Mapping[str, TrialSource],
    *,
    samples: int | None,
    batch_size: int,
    seed: int,
    distribution: bool = False,
) -> dict[str, Inferred]:
    """All of :func:`infer_batches` at once."""
    parts: dict[str, list[Inferred]] = {name: [] for name in sources}
    for found in infer_batches(model, stack, sources, samples=samples, batch_size=batch_size, seed=seed, distribution=distribution):
        for name, part in found.items():
            parts[name].append(part)
    return {name: joined(several) for name, several in parts.items() if several}


def joined(parts: Sequence[Inferred]) -> Inferred:
    """Parts of a split's trials as one."""
    every = [part.arrays() for part in parts]
    return Inferred.of({name: np.concatenate([arrays[name] for arrays in every]) for name in every[0]})


def _rows(batches: Mapping[str, Batch]) -> dict[str, slice]:
    """Each session's trials among all."""
    ends = list(accumulate(batch.trials.shape[0] for batch in batches.values()))
    return {name: slice(first, end) for name, first, end in zip(batches, [0, *ends], ends, strict=False)}


def _decoded_fields(latents: Latents) -> dict[str, Tensor]:
    """What differs from sample to sample, under the names of the output file."""
    empty = latents.gen_states[:, :, :0]
    inputs, con_states = latents.inputs, latents.con_states
    return {
        "factors": latents.factors,
        "co_means": empty if inputs is None else inputs.mean,
        "co_stds": empty if inputs is None else inputs.std,
        "gen_states": latents.gen_states,
        "gen_init": latents.gen_init,
        "gen_inputs": latents.gen_inputs,
        "con_states": empty if con_states is None else con_states,
    }


def _chunks(draws: Iterable[Noise], size: int) -> Iterator[list[Noise]]:
    """Lists of ``size`` draws, the last one maybe shorter."""
    rest = iter(draws)
    while some := list(islice(rest, size)):
        yield some


def _concatenated(draws: Sequence[Noise]) -> Noise:
    """Several samples of the same trials as one sample of more trials, sample after sample."""

    def join(parts: Sequence[Draw | None]) -> Draw | None:
        there = [part for part in parts if part is not None]
        return {key: torch.cat([part[key] for part in there]) for key in there[0]} if there else None

    further = [draw.latents for draw in draws if draw.latents is not None]
    latents = {name: joined for name in (further[0] if further else ()) if (joined := join([of[name] for of in further])) is not None}
    return Noise(ic=join([draw.ic for draw in draws]), inputs=join([draw.inputs for draw in draws]), latents=latents or None)


def _repeated(encoded: Encoded, count: int) -> Encoded:
    """The same trials ``count`` times over."""

    def times(value: Tensor) -> Tensor:
        return value.repeat(count, *[1] * (value.dim() - 1))

    ic, ci = encoded.ic, encoded.ci
    return Encoded(
        ic=Posterior(mean=times(ic.mean), std=times(ic.std)),
        ci=None if ci is None else times(ci),
        further={name: Posterior(mean=times(q.mean), std=times(q.std)) for name, q in encoded.further.items()},
    )


def _add(sums: dict[str, Tensor], key: str, value: Tensor) -> None:
    sums[key] = value + sums[key] if key in sums else value
