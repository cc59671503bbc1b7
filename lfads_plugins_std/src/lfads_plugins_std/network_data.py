"""Recordings of networks whose activity is known: chaotic ones, several told apart by a label, one that integrates to a bound.

    expected count_n(t) = (r_n(t) + 1) / 2 * largest rate * bin width,   r from :mod:`lfads_plugins_std.rate_network`

Trials of a condition share start state, input and so their rates; only what is observed of these differs. The data sets of the first
LFADS papers (Sussillo et al. 2016, arXiv:1608.06315; Pandarinath et al. 2018, doi:10.1038/s41592-018-0109-9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Shaped

from lfads_core.data.layout import session_from_arrays
from lfads_core.errors import DataError
from lfads_plugins_std.alignment.align_files import AlignOptions, align_recordings
from lfads_plugins_std.bound_settings import BIN_MS, TAU_MS, TIME_TO_BOUND_S, BoundConfig
from lfads_plugins_std.network_settings import ChaoticConfig, LabelledConfig
from lfads_plugins_std.rate_network import Network, random_network, run_network

INSTALLED_WEIGHTS = Path(__file__).with_name("bound_weights.npz")

Arrays = dict[str, np.ndarray | float | str]
"""One file: arrays by key, and single values that become attributes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Underlying:
    """What happens in every condition, whoever looks at it."""

    activity: Float[np.ndarray, "K T N"]  # r, of all units
    inputs: Float[np.ndarray, "K T U"]
    external: Float[np.ndarray, "K T E"] | None = None  # what a model is told
    about: Mapping[str, Shaped[np.ndarray, "K ..."]] = field(default_factory=dict)  # of each condition, carried along by name


def generate_chaotic(settings: ChaoticConfig, rng: np.random.Generator) -> dict[str, Arrays] | Arrays:
    """One chaotic network.

    Per split: ``encod_data``, ``recon_data``, ``truth`` (expected value of each channel), ``latents`` (principal components of the noiseless
    activity of all units), ``input_truth`` and ``input_bin`` (bin of the pulse, -1 without), ``cond``, ``inds``. Several sessions share
    conditions and latents and see different units; they come with ``readin_weight`` and ``readout_bias`` from the training data.
    """
    network = random_network(settings.units, settings.g, settings.bin_ms / settings.tau_ms, rng)
    start = settings.x0_std * rng.normal(size=(settings.conditions, settings.units))
    inputs, at = pulses(settings, rng)
    whole = Underlying(activity=run_network(network, start, inputs), inputs=inputs, about={"input_bin": at})
    return _sessions(whole, settings, rng)


def generate_labelled(settings: LabelledConfig, rng: np.random.Generator) -> dict[str, Arrays] | Arrays:
    """Several chaotic networks; ``ext_input`` says in every bin which of them is seen, by one 1 among zeros, and ``network`` by its number."""
    label = np.arange(settings.conditions) % settings.networks
    start = settings.x0_std * rng.normal(size=(settings.conditions, settings.units))
    inputs, at = pulses(settings, rng)
    activity = np.empty((*inputs.shape[:2], settings.units))
    for k in range(settings.networks):
        network = random_network(settings.units, settings.g, settings.bin_ms / settings.tau_ms, rng)
        activity[label == k] = run_network(network, start[label == k], inputs[label == k])
    external = np.repeat(np.eye(settings.networks)[label][:, None], inputs.shape[1], axis=1)
    whole = Underlying(activity=activity, inputs=inputs, external=external, about={"input_bin": at, "network": label})
    return _sessions(whole, settings, rng)


def _sessions(whole: Underlying, settings: ChaoticConfig, rng: np.random.Generator) -> dict[str, Arrays] | Arrays:
    if settings.sessions == 1:
        return record(whole, settings, rng)
    several = {f"session{number}": record(whole, settings, rng) for number in range(1, settings.sessions + 1)}
    return aligned(several, settings.components)


def generate_bound(settings: BoundConfig, rng: np.random.Generator) -> Arrays:
    """The trained network under streams of evidence: ``input_truth`` is the evidence, ``report`` what the network reports of its sum.

    ``bound_bin`` is the bin in which the evidence reaches the bound, -1 where it does not.

    Raises:
        DataError: the weights cannot be read, or there are fewer units than channels.
    """
    network, out = read_weights(settings.weights or INSTALLED_WEIGHTS)
    if settings.channels > network.units:
        raise DataError(f"channels: must be at most the {network.units} units of the trained network, got {settings.channels}. Record fewer.")
    bins = round(settings.seconds * 1000 / BIN_MS)
    mean = settings.evidence * rng.uniform(-1, 1, size=(settings.conditions, 1))
    evidence = mean + settings.u_std * rng.normal(size=(settings.conditions, bins))
    activity = run_network(network, np.zeros((settings.conditions, network.units)), evidence[..., None])
    reached = np.abs(evidence_sum(evidence)) >= 1
    at = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
    whole = Underlying(activity=activity, inputs=evidence[..., None], about={"bound_bin": at, "report": (activity @ out)[..., None]})
    return record(whole, settings, rng)


def evidence_sum(evidence: Float[np.ndarray, "K T"]) -> Float[np.ndarray, "K T"]:
    """Sum of the evidence, which stays at the bound (1 or -1) once it is there."""
    total, sums = np.zeros(len(evidence)), np.empty(evidence.shape)
    for t in range(evidence.shape[1]):
        moved = np.clip(total + evidence[:, t] * (BIN_MS / 1000) / TIME_TO_BOUND_S, -1, 1)
        total = np.where(np.abs(total) >= 1, total, moved)
        sums[:, t] = total
    return sums


def read_weights(path: Path) -> tuple[Network, Float[np.ndarray, " N"]]:
    """The trained network, and the weights by which it reports.

    Raises:
        DataError: the file is not one of :mod:`lfads_plugins_std.bound_training`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key].astype(np.float64) for key in ("recurrent", "into", "bias", "out")}
    except (OSError, ValueError, KeyError) as err:
        raise DataError(
            f"{path}: must be weights that `python -m lfads_plugins_std.bound_training {path.name}` wrote, but reading says: {err}. Train them anew."
        ) from err
    network = Network(recurrent=found["recurrent"], into=found["into"], bias=found["bias"], pace=BIN_MS / TAU_MS)
    return network, found["out"]


def pulses(settings: ChaoticConfig, rng: np.random.Generator) -> tuple[Float[np.ndarray, "K T 1"], Int[np.ndarray, " K"]]:
    """Input of every condition, and the bin of its pulse."""
    bins = max(round(settings.seconds * 1000 / settings.bin_ms), 1)
    inputs, at = np.zeros((settings.conditions, bins, 1)), np.full(settings.conditions, -1)
    if settings.pulses:
        at = rng.integers(bins // 4, max(3 * bins // 4, bins // 4 + 1), size=settings.conditions)
        inputs[np.arange(settings.conditions), at] = settings.input_magnitude
    return inputs, at


def principal_components(activity: Float[np.ndarray, "K T N"], count: int) -> Float[np.ndarray, "K T F"]:
    """Projections on the first components, of unit variance on the whole, the largest loading of each positive."""
    rows = activity.reshape(-1, activity.shape[-1])
    rows = rows - rows.mean(axis=0)
    left, singular, right = np.linalg.svd(rows, full_matrices=False)
    count = min(count, len(singular))
    signs = np.sign(right[np.arange(count), np.abs(right[:count]).argmax(axis=1)])
    components: np.ndarray = (left[:, :count] * signs * np.sqrt(len(rows))).reshape(*activity.shape[:2], count)
    return components


def record(whole: Underlying, settings: ChaoticConfig | BoundConfig, rng: np.random.Generator) -> Arrays:
    """Record some units in trials of every condition, in random order."""
    bin_ms = settings.bin_ms if isinstance(settings, ChaoticConfig) else BIN_MS
    seen = np.sort(rng.permutation(whole.activity.shape[2])[: settings.channels])
    truth = (whole.activity[:, :, seen] + 1) / 2 * settings.max_rate * bin_ms / 1000
    condition = rng.permutation(np.repeat(np.arange(settings.conditions), settings.trials_per_condition))
    if settings.noise == "poisson":
        values = rng.poisson(truth[condition]).astype(np.float32)
    else:
        spread = settings.noise_std or float(np.sqrt(truth.mean()))
        values = (truth[condition] + spread * rng.normal(size=(len(condition), *truth.shape[1:]))).astype(np.float32)
    of_condition = {
        "truth": truth,
        "latents": principal_components(whole.activity, settings.components),
        "input_truth": whole.inputs,
        **({} if whole.external is None else {"ext_input": whole.external}),
        **whole.about,
    }
    arrays: Arrays = {"bin_ms": float(bin_ms), "truth_units": "expected value per bin", "channel_unit": seen}
    rank = np.empty(len(condition), dtype=np.int64)
    for k in range(settings.conditions):
        rank[condition == k] = np.arange(settings.trials_per_condition)
    training = rank < round(settings.train_share * settings.trials_per_condition)
    for name, rows in (("train", np.flatnonzero(training)), ("valid", np.flatnonzero(~training))):
        arrays[f"{name}_encod_data"] = arrays[f"{name}_recon_data"] = values[rows]
        for key, known in of_condition.items():
            arrays[f"{name}_{key}"] = known[condition[rows]].astype(np.float32 if known.dtype.kind == "f" else np.int64)
        arrays[f"{name}_cond"], arrays[f"{name}_inds"] = condition[rows], rows
    return arrays


def aligned(sessions: Mapping[str, Arrays], components: int) -> dict[str, Arrays]:
    """Sessions with the read-ins that :mod:`lfads_plugins_std.alignment.align` finds for them."""
    read = [
        session_from_arrays(name, {k: v for k, v in arrays.items() if isinstance(v, np.ndarray)}, {"bin_ms": arrays["bin_ms"]})
        for name, arrays in sessions.items()
    ]
    fewest = min(session.splits["train"].encod.shape[2] for session in read)
    found = align_recordings(read, AlignOptions(components=min(components, fewest))).sessions
    return {
        name: {**arrays, "readin_weight": found[name].weight.astype(np.float32), "readout_bias": found[name].bias.astype(np.float32)}
        for name, arrays in sessions.items()
    }
