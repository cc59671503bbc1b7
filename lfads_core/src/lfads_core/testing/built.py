"""Laws of everything that is built from settings: settings go round, building is repeatable, what is built can be copied."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import torch
from torch import nn

from lfads_core.config.groups import types_of
from lfads_core.config.kinds import settings_of
from lfads_core.config.structure import structure_as, unstructure
from lfads_core.config.yaml_io import dump_plain, parse_yaml
from lfads_core.errors import LfadsError
from lfads_core.plugins.registry import Registry
from lfads_core.trial.compare import no_shared_chance, same


def settings_faults(config: type, settings: Any, registry: Registry) -> Iterator[str]:
    """Settings survive a config file, and no field is called ``name``."""
    own = types_of(registry)
    fields = settings_of(config, own)
    if "name" in fields:
        yield f"{config.__qualname__}: no setting may be called 'name', which is the component's own"
    for name, kept in ((field.name, field.default) for field in attrs.fields(config)):
        if isinstance(kept, list | dict | set | bytearray):
            yield f"{config.__qualname__}: the default of {name!r} must not be mutable, for all settings share it, got {kept!r}. Give a tuple"
    required = [name for name, setting in fields.items() if setting.default() is attrs.NOTHING]
    if required and settings is None:
        yield f"{config.__qualname__}: every setting must have a default, got none for {', '.join(required)}"
        return
    chosen = config() if settings is None else settings
    plain = unstructure(chosen, own)
    try:
        back: Any = structure_as(config, plain, registry)
        read = structure_as(config, parse_yaml(dump_plain(plain), "settings").data, registry) if plain else back
    except LfadsError as err:
        yield " ".join(str(err).split())
        return
    for way, value in (("plain data", back), ("YAML", read)):
        if not same(value, chosen):
            yield f"must come back from {way} as they were ({chosen!r}), got {value!r}"


def build_faults(build: Callable[[], Any], contract: type) -> Iterator[str]:
    """Building gives what the contract says, the same thing each time, without chance that all of the process shares."""
    faults: list[str] = []
    with no_shared_chance("building", faults):
        first = build()
        torch.rand(3)
        second = build()
    if not isinstance(first, contract):
        yield f"must give an {contract.__name__} (lfads_core.components), got a {type(first).__name__}"
        return
    yield from (fault for fault in faults if "torch" not in fault)
    # Our own draw between the two has moved torch's generator, so that weights drawn from it differ.
    if not same(first, second) and not _equal_states(first, second):
        yield "two components built from the same settings must be equal. Draw random weights from lfads_core.rng.stream(session.seed, ...)"


def _equal_states(first: Any, second: Any) -> bool:
    return isinstance(first, nn.Module) and isinstance(second, nn.Module) and same(dict(first.state_dict()), dict(second.state_dict()))


def copy_faults(build: Callable[[], Any], use: Callable[[Any], Any]) -> Iterator[str]:
    """A deep copy, and a fresh one with the state loaded, give what the original gives. ``use`` is handed each."""
    part = build()
    if isinstance(part, nn.Module):
        with torch.no_grad():
            for value in part.parameters():
                value.mul_(1.25)
    wanted = use(part)
    if not same(use(copy.deepcopy(part)), wanted):
        yield "a copy must give the same"
    if isinstance(part, nn.Module):
        with torch.no_grad():
            validated = use(copy.deepcopy(part).eval())
        if not same(validated, wanted):
            yield "in eval mode and without gradients, as trained models are used, it must give the same"
        fresh = build()
        fresh.load_state_dict(part.state_dict())
        if not same(use(fresh), wanted):
            yield "a fresh one with state_dict() loaded must give the same; hold everything that changes in parameters or buffers"


def memory_faults(part: Any, use: Callable[[Any], Any], disturb: Callable[[Any], Any]) -> Iterator[str]:
    """The same call gives the same, whatever was called in between, and nothing stays behind in the component."""
    kept = copy.deepcopy(vars(part))
    first = use(part)
    disturb(part)
    again = use(part)
    if not same(first, again):
        yield "the same call must give the same after other calls, got something else"
    if not same(kept, vars(part)):
        changed = sorted(
            key for key in kept.keys() | vars(part).keys() if key not in kept or key not in vars(part) or not same(kept[key], vars(part)[key])
        )
        yield f"nothing may be kept between calls, but changed: {', '.join(changed)}"
