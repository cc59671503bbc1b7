"""Replay of the priors on their own: densities, divergences and their gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lfads_plugins_std.autoregressive import AutoregressivePrior, autoregressive_log_density
from lfads_plugins_std.normal import NormalPrior
from lfads_plugins_std.settings import AutoregressiveConfig, NormalConfig
from parity.fixture import Fixture, tensors
from parity.report import Report

_GIVEN = {"eps", "logtaus", "lognvars", "post_mean", "post_std", "sample", "mean", "logvar"}


def replay_priors(fixture: Fixture, report: Report) -> None:
    """``ar<i>`` and ``mvn<i>``."""
    report.expected = {name for name in fixture.arrays if name.rpartition("/")[2] not in _GIVEN}
    for group in fixture.subgroups("ar"):
        _compare(fixture, report, group, _autoregressive(fixture.group(group)))
    for group in fixture.subgroups("mvn"):
        _compare(fixture, report, group, _normal(fixture.group(group)))


def _compare(fixture: Fixture, report: Report, group: str, ours: dict[str, Tensor]) -> None:
    for name, value in ours.items():
        if f"{group}/{name}" in fixture.arrays:
            report.compare(f"{group}/{name}", fixture.arrays[f"{group}/{name}"], value)


def _autoregressive(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    given = tensors(arrays)
    prior = AutoregressivePrior(AutoregressiveConfig(), given["logtaus"].numel())
    with torch.no_grad():
        prior.log_tau.copy_(given["logtaus"])
        prior.log_variance.copy_(given["lognvars"])
    sample, mean, std = (given[name].requires_grad_() for name in ("sample", "post_mean", "post_std"))
    log_prob = autoregressive_log_density(sample, prior.log_tau, prior.log_variance).sum(dim=-1)
    of_sample, of_tau, of_variance = torch.autograd.grad(log_prob.sum(), [sample, prior.log_tau, prior.log_variance])
    kl = prior.kl(mean, std, {"normal": given["eps"]}).mean()
    grads = torch.autograd.grad(kl, [mean, std, prior.log_tau, prior.log_variance])
    wanted = ("post_mean", "post_std", "logtaus", "lognvars")
    return {
        "log_prob": log_prob,
        "grad_sum_log_prob_wrt_sample": of_sample,
        "grad_sum_log_prob_wrt_logtaus": of_tau,
        "grad_sum_log_prob_wrt_lognvars": of_variance,
        "kl": kl,
        **{f"grad_kl_wrt_{name}": grad for name, grad in zip(wanted, grads, strict=True)},
    }


def _normal(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    given = tensors(arrays)
    prior = NormalPrior(NormalConfig(), given["mean"].numel())
    with torch.no_grad():
        prior.mean.copy_(given["mean"])
        prior.log_var.copy_(given["logvar"])
    mean, std = (given[name].requires_grad_() for name in ("post_mean", "post_std"))
    kl = prior.kl(mean, std, {}).mean()
    grads = torch.autograd.grad(kl, [mean, std, prior.mean])
    return {
        "kl": kl,
        "kl_on_first_step_only": prior.kl(mean[:, 0], std[:, 0], {}).mean(),
        **{f"grad_kl_wrt_{name}": grad for name, grad in zip(("post_mean", "post_std", "mean"), grads, strict=True)},
    }
