"""Random data for the Neural Latents Benchmark metrics."""

import numpy as np

from oracle.arrays import Array

TRIALS, BINS, CHANNELS = 24, 9, 4
LARGEST_JITTER = 2


def rates_and_counts(rng: np.random.Generator) -> tuple[Array, Array]:
    """Rates around 0.8 and counts drawn from them."""
    rates = rng.gamma(2.0, 0.4, size=(TRIALS, BINS, CHANNELS))
    return rates, rng.poisson(rates).astype(np.float64)


def bits_per_spike(rng: np.random.Generator) -> dict[str, Array]:
    """Rates with and without zeros, counts with and without missing bins."""
    rates, spikes = rates_and_counts(rng)
    missing = np.where(rng.random((TRIALS, BINS, 1)) < 0.2, np.nan, spikes)
    with_zero = np.where(rng.random(rates.shape) < 0.1, 0.0, rates)
    return {"rates": rates, "rates_with_zero": with_zero, "spikes": spikes, "spikes_with_nan": missing}


def psth(rng: np.random.Generator) -> dict[str, Array]:
    """Four conditions, one without trials; some trials in none. The PSTH used with jitter lacks the bins that jitter can empty."""
    true = rng.gamma(2.0, 0.4, size=(4, BINS, CHANNELS))
    trials = rng.permutation(TRIALS)
    members = {"0": np.sort(trials[:6]), "1": np.array([], dtype=np.int64), "2": np.sort(trials[6:13]), "3": np.sort(trials[13:20])}
    rates = rng.gamma(2.0, 0.4, size=(TRIALS, BINS, CHANNELS))
    for condition, chosen in members.items():
        rates[chosen] = true[int(condition)] + 0.2 * rng.normal(size=(len(chosen), BINS, CHANNELS))
    gaps = true.copy()
    gaps[2, -3:] = np.nan
    inner = true.copy()
    inner[:, :LARGEST_JITTER] = inner[:, BINS - LARGEST_JITTER :] = np.nan
    out = {"psth": true, "psth_with_nan": gaps, "psth_for_jitter": inner, "rates": rates}
    out["jitter"] = rng.integers(-LARGEST_JITTER, LARGEST_JITTER + 1, size=TRIALS)
    return out | {f"cond_idx/{k}": v for k, v in members.items()}


def speed(rng: np.random.Generator) -> dict[str, Array]:
    """Trials of different lengths (NaN at both ends) and behaviour whose first two columns make four conditions."""
    rates, spikes = rates_and_counts(rng)
    for trial in range(TRIALS):
        spikes[trial, : rng.integers(0, 3)] = np.nan
        spikes[trial, BINS - rng.integers(0, 3) :] = np.nan
    condition = np.arange(TRIALS) % 4
    columns = [condition // 2, condition % 2, np.zeros(TRIALS), rng.random(TRIALS), rng.random(TRIALS)]
    return {"rates": rates, "spikes_heldout": spikes, "behavior": np.stack(columns, axis=1)}


def velocity(rng: np.random.Generator) -> dict[str, Array]:
    """Behaviour that is nearly linear in the rates, with a few missing bins; two masks that split the trials."""
    readout = rng.normal(size=(CHANNELS, 2))
    out: dict[str, Array] = {}
    for part in ("train", "eval"):
        rates = rng.normal(size=(TRIALS, BINS, CHANNELS))
        behaviour = rates @ readout + 0.3 * rng.normal(size=(TRIALS, BINS, 2))
        behaviour[rng.integers(0, TRIALS, 4), rng.integers(0, BINS, 4)] = np.nan
        even = (np.arange(TRIALS) % 2).astype(np.uint8)
        out |= {f"{part}_rates": rates, f"{part}_behavior": behaviour, f"{part}_mask": np.stack([1 - even, even], axis=1)}
    return out


def nlb_given(rng: np.random.Generator) -> dict[str, Array]:
    """All four groups."""
    groups = {"bits_per_spike": bits_per_spike(rng), "eval_psth": psth(rng), "speed_tp_correlation": speed(rng), "velocity_decoding": velocity(rng)}
    return {f"{group}/{name}": value for group, arrays in groups.items() for name, value in arrays.items()}
