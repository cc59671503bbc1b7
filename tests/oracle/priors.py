"""Kullback-Leibler terms of the four priors. One posterior per trial (B, C) or per trial and bin (B, T, C)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import gammaln

from oracle.arrays import Array
from oracle.gru import Weights


def mean_over_trials_and_bins(x: Array, *, per_bin: bool) -> Array:
    """Mean over the last axis (trials), or the last two (trials, bins)."""
    return x.mean(axis=(-2, -1)) if per_bin else x.mean(axis=-1)


def normal_kl(mean: Array, std: Array, prior_mean: Array, prior_logvar: Array, *, per_bin: bool) -> Array:
    """Analytic KL(N(mean, std^2) || N(prior_mean, exp(prior_logvar))): summed over the last axis, mean over the others."""
    front = (..., None, None, slice(None)) if per_bin else (..., None, slice(None))
    m, lv = prior_mean[front], prior_logvar[front]
    kl = 0.5 * (lv - 2 * np.log(std) + (std**2 + (mean - m) ** 2) / np.exp(lv) - 1)
    return mean_over_trials_and_bins(kl.sum(axis=-1), per_bin=per_bin)


def normal_log_density(x: Array, mean: Array, variance: Array) -> Array:
    """Log of the normal density, element by element."""
    return -0.5 * (np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance)


def ar_log_prob(x: Array, logtaus: Array, lognvars: Array) -> Array:
    """Log density of x (..., B, T, C) under independent AR(1) processes, one per channel: (..., B).

    a = exp(-1/tau), innovation variance nv; the first bin has the stationary variance nv / (1 - a^2); mean 0.
    """
    a = np.exp(-1 / np.exp(logtaus))[..., None, :]
    innovation = np.exp(lognvars)[..., None, :]
    total = normal_log_density(x[..., 0, :], np.zeros(1), innovation / (1 - a**2)).sum(axis=-1)
    for t in range(1, x.shape[-2]):
        total = total + normal_log_density(x[..., t, :], a * x[..., t - 1, :], innovation).sum(axis=-1)
    return total


def ar_kl(mean: Array, std: Array, logtaus: Array, lognvars: Array, eps: Array) -> Array:
    """Mean over trials of log q(u) - log p(u), both summed over bins and channels, at the one sample u = mean + std * eps."""
    u = mean + std * eps
    log_q = normal_log_density(u, mean, std**2).sum(axis=(-2, -1))
    return (log_q - ar_log_prob(u, logtaus, lognvars)).mean(axis=-1)


def student_t_log_density(x: Array, loc: Array, scale: Array, df: float) -> Array:
    """Log of the Student-t density with location and scale, element by element."""
    constant = gammaln((df + 1) / 2) - gammaln(df / 2) - 0.5 * np.log(df * np.pi)
    return constant - np.log(scale) - (df + 1) / 2 * np.log1p(((x - loc) / scale) ** 2 / df)


def student_t_kl(mean: Array, std: Array, loc: Array, logscale: Array, df: float, eps: Array, chi2: Array, *, per_bin: bool) -> Array:
    """log q - log p at one Student-t posterior sample with the prior's df: summed over the last axis, mean over the others."""
    front = (..., None, None, slice(None)) if per_bin else (..., None, slice(None))
    x = mean + std * eps * np.sqrt(df / chi2)
    difference = student_t_log_density(x, mean, std, df) - student_t_log_density(x, loc[front], np.exp(logscale)[front], df)
    return mean_over_trials_and_bins(difference.sum(axis=-1), per_bin=per_bin)


def kl(prior: Mapping[str, Any], name: str, weights: Weights, mean: Array, std: Array, noise: Mapping[str, Array], *, per_bin: bool) -> Array:
    """KL of one posterior. ``name`` is "ic" or "co": it picks ``<name>_prior.*`` and ``noise/<name>_kl_*``."""

    def weight(field: str) -> Array:
        return weights[f"{name}_prior.{field}"]

    match prior["type"]:
        case "Null":
            return np.zeros(())
        case "MultivariateNormal":
            return normal_kl(mean, std, weight("mean"), weight("logvar"), per_bin=per_bin)
        case "AutoregressiveMultivariateNormal":
            return ar_kl(mean, std, weight("logtaus"), weight("lognvars"), noise[f"{name}_kl_normal"])
        case "MultivariateStudentT":
            eps, chi2 = noise[f"{name}_kl_normal"], noise[f"{name}_kl_chi2"]
            return student_t_kl(mean, std, weight("loc"), weight("logscale"), prior["df"], eps, chi2, per_bin=per_bin)
        case other:
            raise ValueError(f"prior type must be Null, MultivariateNormal, AutoregressiveMultivariateNormal or MultivariateStudentT, got {other!r}.")


def posterior_sample(prior: Mapping[str, Any], mean: Array, std: Array, normal: Array, chi2: Array | None) -> Array:
    """The decoded sample; under a Student-t prior the posterior is Student-t with the same df."""
    if prior["type"] != "MultivariateStudentT":
        return mean + std * normal
    if chi2 is None:
        raise ValueError("a Student-t posterior sample needs chi-square draws beside the normals.")
    return mean + std * normal * np.sqrt(prior["df"] / chi2)
