"""Reconstruction losses per element, and the means they stand for. Parameters are (..., B, T, N, P), data (B, T, N)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import gammaln, loggamma

from oracle.arrays import Array, floor, floor_value_only, sigmoid

PARAMETERS = {"Poisson": 1, "PoissonBPS": 1, "MSE": 1, "Gaussian": 2, "Gamma": 2, "ZeroInflatedGamma": 3}
"""P, the number of output parameters per channel, of each reconstruction type."""

SIGMOID_FLOOR = 1e-5
VARIANCE_FLOOR = 1e-6


def split(readout: Array, parameters: int) -> Array:
    """(..., B, T, P*N) to (..., B, T, N, P): the P blocks of N channels are stacked last."""
    return np.stack(np.split(readout, parameters, axis=-1), axis=-1)


def log_gamma(x: Array) -> Array:
    """ln Gamma(x), real or complex."""
    return loggamma(x) if np.iscomplexobj(x) else gammaln(x)


def stirling(counts: Array) -> Array:
    """k ln k - k + ln(2 pi k)/2 for k > 1, else 0."""
    k = np.where(counts > 1, counts, 1.0)
    return np.where(counts > 1, k * np.log(k) - k + 0.5 * np.log(2 * np.pi * k), 0.0)


def poisson(params: Array, counts: Array) -> Array:
    """exp(x) - k x + S(k) for the log-rate x."""
    log_rate = params[..., 0]
    return np.exp(log_rate) - counts * log_rate + stirling(counts)


def poisson_bps(params: Array, counts: Array) -> Array:
    """Poisson loss minus that of each channel's mean rate, in bits per mean count."""
    mean = counts.mean(axis=(0, 1))
    null = mean - counts * np.log(mean + 1e-8) + stirling(counts)
    return (poisson(params, counts) - null) / (np.log(2) * counts.mean())


def mse(params: Array, data: Array) -> Array:
    """Squared error."""
    return (params[..., 0] - data) ** 2


def gaussian(params: Array, data: Array) -> Array:
    """(ln v + (x - mean)^2 / v) / 2, v floored; the derivative ignores the floor."""
    variance = floor_value_only(np.exp(params[..., 1]), VARIANCE_FLOOR)
    return 0.5 * (np.log(variance) + (data - params[..., 0]) ** 2 / variance)


def gamma_negative_log_density(data: Array, shape: Array, rate: Array) -> Array:
    """-ln of the gamma density with this shape and rate."""
    return -(shape * np.log(rate) + (shape - 1) * np.log(data) - rate * data - log_gamma(shape))


def gamma(params: Array, data: Array) -> Array:
    """Gamma with log shape and log rate."""
    return gamma_negative_log_density(data, np.exp(params[..., 0]), np.exp(params[..., 1]))


def zig_parameters(params: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Shape, rate and probability of an event, from the three raw outputs and scale (..., 2, N)."""
    s = floor(sigmoid(params), SIGMOID_FLOOR)
    return s[..., 0] * scale[..., 0, None, None, :], s[..., 1] * scale[..., 1, None, None, :], s[..., 2]


def zero_inflated_gamma(params: Array, data: Array, scale: Array, gamma_loc: float) -> Array:
    """-ln(1 - q) for zeros, else -ln q minus the log density of a gamma that starts at ``gamma_loc``."""
    shape, rate, q = zig_parameters(params, scale)
    event = np.where(data > 0, data, 1.0 + gamma_loc)
    return np.where(data > 0, -np.log(q) + gamma_negative_log_density(event - gamma_loc, shape, rate), -np.log(1 - q))


def loss(config: Mapping[str, Any], params: Array, data: Array, scale: Array | None) -> Array:
    """Loss per element (..., B, T, N). ``scale`` is ``recon.<s>.scale``, for the zero-inflated gamma only."""
    match config["type"]:
        case "Poisson":
            return poisson(params, data)
        case "PoissonBPS":
            return poisson_bps(params, data)
        case "MSE":
            return mse(params, data)
        case "Gaussian":
            return gaussian(params, data)
        case "Gamma":
            return gamma(params, data)
        case "ZeroInflatedGamma" if scale is not None:
            return zero_inflated_gamma(params, data, scale, config["gamma_loc"])
        case other:
            raise ValueError(f"reconstruction must be one of {sorted(PARAMETERS)} (with a scale if ZeroInflatedGamma), got {other!r}.")


def mean(config: Mapping[str, Any], params: Array, scale: Array | None) -> Array:
    """The expected data (..., B, T, N)."""
    match config["type"]:
        case "Poisson" | "PoissonBPS":
            return np.exp(params[..., 0])
        case "MSE" | "Gaussian":
            return params[..., 0]
        case "Gamma":
            return np.exp(params[..., 0]) / np.exp(params[..., 1])
        case "ZeroInflatedGamma" if scale is not None:
            shape, rate, q = zig_parameters(params, scale)
            return q * (shape / rate + config["gamma_loc"])
        case other:
            raise ValueError(f"reconstruction must be one of {sorted(PARAMETERS)} (with a scale if ZeroInflatedGamma), got {other!r}.")
