"""What a plugin's ``build`` gives, looked at before anything is made of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor, nn

from lfads_core.components import (
    AbstractAugmentation,
    AbstractEncoder,
    AbstractLatent,
    AbstractLoss,
    AbstractPrior,
    AbstractReadin,
    AbstractReconstruction,
    Support,
)
from lfads_core.errors import PluginError
from lfads_core.origin import Provenance, failure, is_fault, mark, origin_of
from lfads_core.plugins.record import Imported
from lfads_core.plugins.specs import PriorSpec
from lfads_core.wording import one_line
from lfads_core.world import put_back, world


def built(origin: Provenance, build: Callable[[], Any]) -> Any:
    """Build a component, see that it is one of its kind, and have it remember where it comes from.

    Raises:
        PluginError: it is none, or building it fails.
    """
    before, shared = torch.get_rng_state(), world()
    part = _made(origin, build)
    if changed := put_back(shared):
        raise PluginError(f"{origin}: build must leave what all of a process shares as it is, but changed {changed}.")
    for fault in _faults(part, origin):
        raise PluginError(f"{origin}: build must {fault}. `lfads plugins check {origin.name}` tries all that must hold.")
    _require_copies(part, origin)
    if not torch.equal(before, torch.get_rng_state()) and not _equal(part, _made(origin, build)):
        raise PluginError(
            f"{origin}: build must give the same each time, but draws from the random generator that all of a process shares. "
            "Draw from lfads_core.rng.stream(session.seed, ..., session.name)."
        )
    mark(part, origin)
    if isinstance(part, AbstractLatent) and origin_of(part.prior) is None:
        mark(part.prior, replace(origin, contract=PriorSpec.contract))
    return part


@contextmanager
def keeping_parameters(part: nn.Module, doing: str) -> Iterator[None]:
    """A component may change its parameters and buffers here, and must keep their names and shapes: a trained run is built and then filled.

    Raises:
        PluginError: it has others afterwards.
    """
    before = {name: value.shape for name, value in part.state_dict().items()}
    yield
    after = {name: value.shape for name, value in part.state_dict().items()}
    if before != after:
        name = next(name for name in (*after, *before) if before.get(name) != after.get(name))
        shapes = [tuple(of[name]) if name in of else "none" for of in (before, after)]
        raise PluginError(
            f"{origin_of(part)}: {doing} must change parameters and buffers in place (under torch.no_grad, with copy_), for their names and shapes "
            f"are those of build, but {name!r} was {shapes[0]} and is {shapes[1]}."
        )


def _require_copies(part: Any, origin: Provenance) -> None:
    """Averages of weights, and members of a population, are copies."""
    if not isinstance(part, nn.Module):
        return
    try:
        copy.deepcopy(part)
    except (Exception, SystemExit) as err:
        raise PluginError(f"{origin}: build must give what copy.deepcopy can copy, got {one_line(err)}.") from err


def check_start(part: AbstractReconstruction, start: Any, channels: int) -> Tensor:
    """The parameters at which a reconstruction says that its read-out should start.

    Raises:
        PluginError: they are not finite numbers for each of its parameters and channels.
    """
    wanted = (channels, part.n_params)
    if isinstance(start, Tensor) and tuple(start.shape) == wanted and bool(torch.isfinite(start).all()):
        return start
    got = f"{tuple(start.shape)}" if isinstance(start, Tensor) and tuple(start.shape) != wanted else "others"
    raise PluginError(f"{origin_of(part)}: start_from and params_from_mean must give finite numbers of the shape (N, P) = {wanted}, got {got}.")


def _made(origin: Provenance, build: Callable[[], Any]) -> Any:
    try:
        return build()
    except PluginError as err:
        raise PluginError(f"{origin} cannot be built: {err}") from err
    except (Exception, SystemExit) as err:
        if not is_fault(err):
            raise
        raise failure(origin, " in build", err) from err


def _equal(one: Any, other: Any) -> bool:
    if not isinstance(one, nn.Module):
        return True
    mine, its = one.state_dict(), other.state_dict()
    return mine.keys() == its.keys() and all(torch.equal(mine[key], its[key]) for key in mine)


def _faults(part: Any, origin: Provenance) -> Iterator[str]:
    contract = origin.contract.rpartition(":")[2] or "component"
    if part is None or isinstance(part, type):
        yield f"give an instance of {contract}, got {'None' if part is None else f'the class {part.__qualname__} itself'}"
    elif origin.contract and not isinstance(part, Imported(origin.contract).load()):
        yield f"give an instance of {contract} (lfads_core.components), got a {type(part).__module__}.{type(part).__qualname__}"
    else:
        for cls, look in _ATTRIBUTES.items():
            if isinstance(part, cls):
                yield from look(part, origin)


def _of_reconstruction(part: Any, _origin: Provenance) -> Iterator[str]:
    yield from _whole_number(part, "n_params")
    yield from _one_of(part, "support", get_args(Support))


def _of_readin(part: Any, _origin: Provenance) -> Iterator[str]:
    yield from _whole_number(part, "size")


def _of_augmentation(part: Any, origin: Provenance) -> Iterator[str]:
    if getattr(part, "name", None) != origin.name:
        yield f"give it the 'name' it is registered under, {origin.name!r}, got {getattr(part, 'name', None)!r}"


def _of_encoder(part: Any, _origin: Provenance) -> Iterator[str]:
    yield from _whole_number(part, "size")
    if getattr(part, "directions", None) not in (1, 2):
        yield f"give it 'directions', 2, or 1 if it reads forwards alone, got {getattr(part, 'directions', None)!r}"


def _of_latent(part: Any, _origin: Provenance) -> Iterator[str]:
    yield from _whole_number(part, "size")
    yield from _one_of(part, "per", ("trial", "bin"))
    yield from _one_of(part, "enters", ("generator", "initial"))
    prior = getattr(part, "prior", None)
    if not isinstance(prior, AbstractPrior):
        yield f"give it a 'prior', an AbstractPrior, got {'None' if prior is None else f'a {type(prior).__qualname__}'}"


def _of_loss(part: Any, _origin: Provenance) -> Iterator[str]:
    if not isinstance(part.arrays, list | tuple) or not all(isinstance(key, str) for key in part.arrays):
        yield f"give it 'arrays', a tuple of keys, got {part.arrays!r}"


_ATTRIBUTES: Mapping[type, Callable[[Any, Provenance], Iterator[str]]] = {
    AbstractReconstruction: _of_reconstruction,
    AbstractReadin: _of_readin,
    AbstractAugmentation: _of_augmentation,
    AbstractEncoder: _of_encoder,
    AbstractLatent: _of_latent,
    AbstractLoss: _of_loss,
}
"""What a component must have beside its contract's methods."""


def _whole_number(part: object, name: str) -> Iterator[str]:
    value = getattr(part, name, None)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        yield f"give it a {name!r}, a whole number above 0, got {value!r}"


def _one_of(part: object, name: str, words: tuple[str, ...]) -> Iterator[str]:
    value = getattr(part, name, None)
    if value not in words:
        yield f"give it {name!r}, one of {', '.join(words)}, got {value!r}"
