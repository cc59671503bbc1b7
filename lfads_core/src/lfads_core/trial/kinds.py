"""What must hold for the calls of one kind of component beyond what its contract's annotations say. A further kind adds a row to ``_KINDS``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from lfads_core.components import AbstractPrior
from lfads_core.components.batch import Batch
from lfads_core.model.rows import tensors_in
from lfads_core.rng import stream
from lfads_core.trial import dynamics
from lfads_core.trial.compare import same
from lfads_core.trial.observed import Method
from lfads_core.trial.shapes import Sizes
from lfads_core.trial.trees import a_value, of_trials

GIVES_NO_GRADIENT = frozenset(
    {
        "draw",
        "standardise",
        "sample",
        "distribution_params",
        "generate",
        "moments",
        "scalars",
        "log_ratio",
        "augment",
        "measure",
        "params_from_mean",
        "start_from",
        "meet",
        "follow",
    }
)
"""Methods of contracts through which no loss is learnt."""

_DRAWS = 64
"""Samples of a posterior over which an estimate of a divergence is averaged."""

_KEPT = ("encod", "recon", "external", "trials")


def faults_of_kind(method: Method, given: Mapping[str, Any], result: Any, sizes: Sizes) -> Iterator[str]:
    """What speaks against one call, for the reasons of its kind."""
    look = _KINDS.get((method.contract, method.name))
    return iter(()) if look is None else look(method, given, result, sizes)


def _draw(_method: Method, given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    like = given["like"]
    if not _tensors_by_name(result):
        yield f"must give tensors by name, got {a_value(result)}"
        return
    for name, value in result.items():
        if value.shape != like.shape:
            yield f"must give the shape of the mean, {tuple(like.shape)}, got {tuple(value.shape)} for {name!r}"


def _standardise(_method: Method, given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    shapes = {tuple(value.shape) for value in given["draw"].values()}
    if len(shapes) == 1 and tuple(result.shape) not in shapes:
        yield f"must give the shape of the draw, {min(shapes)}, got {tuple(result.shape)}"


def _distribution(_method: Method, given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    wanted = tuple(given["params"].shape[:-1])
    if not _tensors_by_name(result):
        yield f"must give tensors by name, got {a_value(result)}"
        return
    for name, value in result.items():
        if not name.isidentifier():
            yield f"must give parameters names of letters, digits and _, got {name!r}"
        if tuple(value.shape) != wanted:
            yield f"must give a value for each channel and bin, {wanted}, got {tuple(value.shape)} for {name!r}"


def _noise(_method: Method, _given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    if not _tensors_by_name(result):
        yield f"must give tensors by name, got {a_value(result)}"


def _augment(method: Method, given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    if not isinstance(result, Batch):
        yield f"must give a batch (lfads_core.components.batch.Batch), got {a_value(result)}"
        return
    yield from batch_faults(given["batch"], result)
    yield from mask_faults(given["batch"], result, method.origin.name)
    if method.part.by_trial:
        yield from by_trial_faults(method.call, given["batch"], given["noise"], result)


def by_trial_faults(call: Callable[[Batch, Any], Any], batch: Batch, noise: Any, result: Batch) -> Iterator[str]:
    """Whether an augmentation that says it changes each trial by itself does so."""
    trials = len(batch.trials)
    rows = torch.arange(1, trials, 2).flip(0)

    def some(value: Any) -> Any:
        return of_trials(value, trials, lambda x: x[rows.to(x.device)])

    got, wanted = list(tensors_in(call(some(batch), some(noise)))), list(tensors_in(some(result)))
    if len(got) != len(wanted) or not all(one.shape == other.shape and torch.allclose(one, other) for one, other in zip(got, wanted, strict=True)):
        yield "must change each trial by itself, as its attribute by_trial says, but changes it otherwise when other trials are beside it"


def _weigh(method: Method, given: Mapping[str, Any], _result: Any, _sizes: Sizes) -> Iterator[str]:
    yield from weigh_faults(method.call, given["loss"], given["batch"])


def weigh_faults(call: Callable[[Tensor, Batch], Any], loss: Tensor, batch: Batch) -> Iterator[str]:
    """Whether what costs more counts more."""
    with torch.enable_grad():
        at = loss.detach().clone().requires_grad_()
        total = call(at, batch).sum()
        slope = torch.autograd.grad(total, at, allow_unused=True)[0] if total.requires_grad else None
    if slope is not None and bool((slope < 0).any()):
        yield f"must count a value that costs more no less, but its slope is {slope.min().item():.3g}: training would seek what is worst"


def _kl(method: Method, given: Mapping[str, Any], _result: Any, _sizes: Sizes) -> Iterator[str]:
    yield from divergence_faults(method.part, given["mean"].detach(), given["std"].detach(), method.call)


def divergence_faults(part: AbstractPrior, mean: Tensor, std: Tensor, call: Callable[[Tensor, Tensor, Any], Tensor] | None = None) -> Iterator[str]:
    """Whether the divergence is below 0, over samples if it is an estimate; ``call`` is the prior's ``kl``, if something stands in for it."""
    rng, kl = stream(0, "trial", device=mean.device), part.kl if call is None else call
    with torch.no_grad():
        found = [kl(mean, std, type(part).draw(part, mean, rng)) for _ in range(2)]
        if not torch.equal(*found):  # one estimate may be below 0, but not their mean
            found += [kl(mean, std, type(part).draw(part, mean, rng)) for _ in range(_DRAWS - 2)]
    each = torch.stack(found)
    least, doubt = each.mean(0), each.std(0) / len(found) ** 0.5
    if bool((least < -(5 * doubt + 1e-4 * mean[0].numel())).any()):
        yield f"must be 0 or more over samples of the posterior, for it is the mean of ln q - ln p, got {least.min().item():.4g}"


def batch_faults(before: Batch, after: Batch) -> Iterator[str]:
    """What an augmentation must leave as it is in a batch."""
    for field in _KEPT:
        was, now = getattr(before, field), getattr(after, field)
        if not isinstance(now, Tensor):
            yield f"{field} must stay a tensor, got {a_value(now)}"
            return
        if (was.shape, was.dtype) != (now.shape, now.dtype):
            yield f"{field} must keep its shape {tuple(was.shape)} and type {was.dtype}, got {tuple(now.shape)} of {now.dtype}"
    if not torch.equal(before.trials, after.trials) or before.ic_bins != after.ic_bins or not same(dict(before.extras), dict(after.extras)):
        yield "trials, ic_bins and extras must stay as they are"


def mask_faults(before: Batch, after: Batch, name: str) -> Iterator[str]:
    """Masks that an augmentation took away, or left under a name that is not its own."""
    for key, mask in before.masks.items():
        if key not in after.masks or not same(mask, after.masks[key]):
            yield f"masks of others must stay, but {key!r} did not. Write masks={{**batch.masks, ...}}"
    for key in sorted(after.masks.keys() - before.masks.keys()):
        if not key.startswith(f"{name}/"):
            yield f"masks must be named '{name}/...', got {key!r}"


def _measure(_method: Method, _given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    if not isinstance(result, Mapping):
        yield f"must give tensors of one number by name, got {a_value(result)}"
        return
    for name, value in result.items():
        if not isinstance(value, Tensor) or value.ndim:
            yield f"must give tensors of one number by name, got {a_value(value)} for {name!r}"
        elif not _is_word(name):
            yield f"must name numbers by words without spaces and slashes, got {name!r}"


def _terms(method: Method, given: Mapping[str, Any], result: Any, sizes: Sizes) -> Iterator[str]:
    if isinstance(result, Mapping) and not result:
        yield "must give one term at least, 0 where it costs nothing, got none"
    yield from _means(method, given, result, sizes)


def _means(method: Method, given: Mapping[str, Any], result: Any, sizes: Sizes) -> Iterator[str]:
    """Of a loss: numbers, and none that grows with the number of trials."""
    faults = list(_measure(method, given, result, sizes))
    yield from faults or sum_faults(method.call, given["seen"], result)


def sum_faults(call: Callable[[Any], Any], seen: Any, result: Mapping[str, Tensor]) -> Iterator[str]:
    """Terms of a loss that are sums over trials: the settings' scale would mean something else in the last batch of an epoch."""
    try:
        twice = call(of_trials(seen, len(seen.batch.trials), lambda x: torch.cat([x, x])))
    except (Exception, SystemExit):  # noqa: BLE001 - what it draws may have a form of its own
        return
    for name, value in result.items():
        once, both = value.item(), twice[name].item() if name in twice else 0.0
        if abs(once) > 1e-6 and abs(both - 2 * once) < 1e-3 * abs(once):
            yield f"must give means over trials, but {name!r} of twice the trials is twice as much"


def _scalars(_method: Method, _given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    faults = list(number_faults(result))
    yield from faults or (f"must give finite numbers, got {value} for {key!r}" for key, value in result.items() if not math.isfinite(value))


def number_faults(found: object) -> Iterator[str]:
    """What keeps something from being numbers by name, as logs take them."""
    if not isinstance(found, Mapping):
        yield f"must give numbers by name, got {a_value(found)}"
        return
    for key, value in found.items():
        if not _is_word(key):
            yield f"must name numbers by words without spaces and slashes, got {key!r}"
        elif isinstance(value, bool) or not isinstance(value, Real):
            yield f"must give a plain number for {key!r}, got {a_value(value)}"


def _is_word(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name) is not None


def _one_bin_at_a_time(method: Method, given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    """Read-ins and read-outs see each bin by itself."""
    yield from bin_faults(method.call, next(iter(given.values())), result)


def bin_faults(call: Callable[[Tensor], Any], values: Tensor, result: Tensor) -> Iterator[str]:
    """Whether other bins change with the second one."""
    bins = values.shape[-2]
    if bins < 2:
        return
    other = values.detach().clone()
    other[..., 1, :] = 2 * other[..., 1, :] + 1
    with torch.no_grad():
        got = call(other)
    rest = [i for i in range(bins) if i != 1]
    wanted = result.detach()[..., rest, :]
    if not torch.allclose(got[..., rest, :], wanted, rtol=1e-3, atol=1e-5 * float(wanted.abs().max()) + 1e-12):
        yield "must not mix bins, but others change with the second one"


_KINDS: Mapping[tuple[str, str], Callable[[Method, Mapping[str, Any], Any, Sizes], Iterator[str]]] = {
    ("AbstractPrior", "draw"): _draw,
    ("AbstractPrior", "kl"): _kl,
    ("AbstractPrior", "standardise"): _standardise,
    ("AbstractPrior", "scalars"): _scalars,
    ("AbstractReconstruction", "distribution_params"): _distribution,
    ("AbstractAugmentation", "draw"): _noise,
    ("AbstractAugmentation", "augment"): _augment,
    ("AbstractAugmentation", "weigh"): _weigh,
    ("AbstractAugmentation", "measure"): _measure,
    ("AbstractLoss", "draw"): _noise,
    ("AbstractLoss", "forward"): _terms,
    ("AbstractLoss", "measure"): _means,
    ("AbstractAlignment", "draw"): _noise,
    ("AbstractAlignment", "forward"): _terms,
    ("AbstractAlignment", "measure"): _measure,
    ("AbstractEncoder", "forward"): dynamics.states_faults,
    ("AbstractEncoder", "kernels"): dynamics.kernels_faults,
    ("AbstractGenerator", "run"): dynamics.run_faults,
    ("AbstractGenerator", "gru"): dynamics.gru_faults,
    ("AbstractGenerator", "kernels"): dynamics.kernels_faults,
    ("AbstractLatent", "forward"): dynamics.posterior_faults,
    ("AbstractReadin", "forward"): _one_bin_at_a_time,
    ("AbstractReadout", "forward"): _one_bin_at_a_time,
}


def _tensors_by_name(found: object) -> bool:
    return isinstance(found, Mapping) and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items())
