"""Evaluation metrics, written from their definitions: the ones logged in training, and those of the Neural Latents Benchmark."""

import numpy as np
from scipy.special import gammaln
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score as sklearn_r2
from sklearn.model_selection import GridSearchCV

from oracle.arrays import Array

LOWEST_RATE = 1e-9
ALPHAS = np.logspace(-4, 0, 9)


def bits_per_spike_from_log_rates(log_rate: Array, counts: Array) -> float:
    """Poisson log-likelihood gain over each channel's mean count (over batch and time), in bits per spike; NaN without elements."""
    if counts.size == 0:
        return float("nan")
    mean = counts.mean(axis=(0, 1))
    model = np.exp(log_rate) - counts * log_rate
    null = mean - counts * np.log(mean + 1e-8)
    return float((null - model).sum() / counts.sum() / np.log(2))


def regional_bits_per_spike(log_rate: Array, counts: Array, encod_data_dim: int, encod_seq_len: int) -> dict[str, float]:
    """bps: encoded channels in the encoder window. co_bps: the other channels there. fp_bps: all channels after it."""
    regions = {
        "bps": (slice(None), slice(None, encod_seq_len), slice(None, encod_data_dim)),
        "co_bps": (slice(None), slice(None, encod_seq_len), slice(encod_data_dim, None)),
        "fp_bps": (slice(None), slice(encod_seq_len, None)),
    }
    return {name: bits_per_spike_from_log_rates(log_rate[where], counts[where]) for name, where in regions.items()}


def r2_score(predictions: Array, targets: Array) -> float:
    """Mean over channels of 1 - SSres/SStot, all leading axes flattened."""
    p, t = predictions.reshape(-1, predictions.shape[-1]), targets.reshape(-1, targets.shape[-1])
    return float(np.mean(1 - ((t - p) ** 2).sum(axis=0) / ((t - t.mean(axis=0)) ** 2).sum(axis=0)))


def exponential_smoothing(values: Array, batch_sizes: Array, coef: float) -> tuple[Array, Array]:
    """Epoch means weighted by batch size, and their running average; the first epoch is not smoothed."""
    means = np.array([np.average(v, weights=w) for v, w in zip(values, batch_sizes, strict=True)])
    smoothed = [means[0]]
    for m in means[1:]:
        smoothed.append(coef * smoothed[-1] + (1 - coef) * m)
    return means, np.array(smoothed)


def negative_log_likelihood(rates: Array, spikes: Array) -> float:
    """Sum of rate - k ln rate + ln k! over the bins that are not NaN; zero rates count as 1e-9."""
    there = ~np.isnan(spikes)
    r = np.where(rates[there] == 0, LOWEST_RATE, rates[there])
    k = spikes[there]
    return float((r - k * np.log(r) + gammaln(k + 1)).sum())


def bits_per_spike(rates: Array, spikes: Array) -> float:
    """NLB bits per spike from rates; the null model is each channel's mean over all other axes, NaN left out."""
    null = np.broadcast_to(np.nanmean(spikes, axis=tuple(range(spikes.ndim - 1))), spikes.shape)
    return float((negative_log_likelihood(null, spikes) - negative_log_likelihood(rates, spikes)) / np.nansum(spikes) / np.log(2))


def eval_psth(psth: Array, rates: Array, conditions: list[Array], jitter: Array | None = None) -> float:
    """Plain mean over channels of R2 between trial-averaged rates and PSTHs (C, T, N), conditions stacked.

    Bins where channel 0 of the PSTH is NaN are left out; conditions without trials are skipped. With ``jitter`` (trials) a
    trial's rates are moved by so many bins, and bins moved in from outside are missing.
    """
    predicted, true = [], []
    for c, trials in enumerate(conditions):
        if len(trials) == 0:
            continue
        chosen = rates[trials]
        if jitter is not None:
            chosen = np.stack([shifted(rates[i], int(jitter[i])) for i in trials])
        use = ~np.isnan(psth[c, :, 0])
        predicted.append(np.nanmean(chosen[:, use], axis=0))
        true.append(psth[c][use])
    return r2_score(np.concatenate(predicted), np.concatenate(true))


def shifted(rates: Array, by: int) -> Array:
    """rates (T, N) moved ``by`` bins later, NaN where nothing moved in."""
    out = np.full_like(rates, np.nan)
    length = len(rates)
    for t in range(length):
        if 0 <= t - by < length:
            out[t] = rates[t - by]
    return out


def speed_tp_correlation(spikes: Array, rates: Array, behavior: Array) -> float:
    """Mean over unique rows of the first three behaviour columns of the correlation between neural speed and the last column.

    Neural speed of a trial: mean norm of the rate change from bin to bin, over bins that are not NaN in the spikes.
    """
    speed = []
    for trial_rates, trial_spikes in zip(rates, spikes, strict=True):
        r = trial_rates[~np.isnan(trial_spikes[:, 0])]
        speed.append(np.linalg.norm(np.diff(r, axis=0), axis=1).mean())
    correlations = []
    for row in np.unique(behavior[:, :3], axis=0):
        same = (behavior[:, :3] == row).all(axis=1)
        correlations.append(np.corrcoef(np.array(speed)[same], behavior[same, -1])[0, 1])
    return float(np.mean(correlations))


def velocity_decoding(train: tuple[Array, Array, Array], test: tuple[Array, Array, Array], *, grid_search: bool) -> float:
    """Mean over mask columns of the R2 of ridge regression from rates to behaviour. ``train`` and ``test`` are (rates, behaviour, masks)."""
    scores = []
    for column in range(train[2].shape[1]):
        x, y = flat_bins(*train, column)
        model = GridSearchCV(Ridge(), {"alpha": ALPHAS}, cv=5) if grid_search else Ridge(alpha=0.01)
        model.fit(x, y)
        x_test, y_test = flat_bins(*test, column)
        scores.append(sklearn_r2(y_test, model.predict(x_test)))
    return float(np.mean(scores))


def flat_bins(rates: Array, behaviour: Array, masks: Array, column: int) -> tuple[Array, Array]:
    """All bins of the chosen trials whose behaviour is known, one below the other."""
    trials = masks[:, column].astype(bool)
    x, y = rates[trials].reshape(-1, rates.shape[-1]), behaviour[trials].reshape(-1, behaviour.shape[-1])
    known = ~np.isnan(y).any(axis=1)
    return x[known], y[known]
