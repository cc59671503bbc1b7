"""Functions of the front door that packages bring, found by name: core imports none of them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from lfads_core.errors import ConfigError
from lfads_core.plugins import FunctionSpec, Registry, load_registry
from lfads_core.wording import listed, near, shown

T = TypeVar("T")


def brought(name: str, registry: Registry | None = None) -> Callable[..., Any]:
    """The function of this name.

    Raises:
        PluginError: no package here offers it; the message says which one does.
    """
    return (registry or load_registry()).get(FunctionSpec, name).call


def as_names(what: str, names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several.

    Raises:
        ConfigError: they are none.
    """
    if wanted := _wanted(str | Sequence[str], names):
        raise ConfigError(f"{what}: must be {wanted}, got {shown(names)}.")
    return (names,) if isinstance(names, str) else tuple(names)


def as_path(what: str, given: Any) -> Path:
    """A path.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        with suppress(UnicodeEncodeError):
            if b"\0" not in os.fsencode(path):
                return path
    raise ConfigError(f"{what}: must be a path, got {shown(given)}.")


def as_files(what: str, files: str | Path | Sequence[str | Path]) -> list[Path]:
    """One path or several.

    Raises:
        ConfigError: one is none.
    """
    return [as_path(what, file) for file in (files if isinstance(files, list | tuple) else [files])]


def check_options(options: Mapping[str, Any], known: type, where: str) -> dict[str, Any]:
    """Options as a class of them declares them, numbers of any library as Python's own; None is not given.

    Raises:
        ConfigError: one is unknown, or no number, text or choice as it should be.
    """
    kinds, found = get_type_hints(known), {}
    for name, value in options.items():
        if name not in kinds:
            close = near(name, kinds)
            hint = f" Did you mean {listed(map(repr, close))}?" if close else ""
            raise ConfigError(f"{where}: must be given options that it has, got {name!r}.{hint} It has {', '.join(kinds)}.")
        if value is not None and (wanted := _wanted(kinds[name], value)):
            raise ConfigError(f"{where}: {name!r} must be {wanted}, got {value if isinstance(value, bool) else shown(value)}.")
        found[name] = kinds[name](value) if kinds[name] in (int, float, bool) and value is not None else value
    return found


def check_mapping(what: str, given: Any, example: Mapping[str, Any]) -> None:
    """Refuse settings or spaces that are not given by name.

    Raises:
        ConfigError: they are not.
    """
    if given is not None and not isinstance(given, Mapping):
        raise ConfigError(f"{what}: must be given by name, such as {example}, got {type(given).__name__}.")


def as_count(what: str, given: Any, least: int = 1) -> int:
    """A number of things, or of anything else that is counted.

    Raises:
        ConfigError: it is no whole number, or a smaller one than ``least``.
    """
    if _wanted(int, given) or given < least:
        raise ConfigError(f"{what}: must be a whole number {'> 0' if least == 1 else f'>= {least}'}, got {shown(given)}.")
    return int(given)


def as_one(what: str, kind: type[T], given: Any) -> T:
    """A value of this type, such as a text, or True or False.

    Raises:
        ConfigError: it is none.
    """
    if wanted := _wanted(kind, given):
        raise ConfigError(f"{what}: must be {wanted}, got {shown(given)}.")
    return kind(given)  # type: ignore[call-arg]  # NumPy's values as Python's own


def _wanted(kind: Any, value: Any) -> str:
    """What a value of this kind would be; nothing if it is one, or nobody can tell."""
    if get_origin(kind) is Literal:
        return "" if isinstance(value, str) and value in get_args(kind) else f"one of {', '.join(map(repr, get_args(kind)))}"
    if kind in (int, float) and (isinstance(value, bool | np.timedelta64) or (isinstance(value, Real) and not _is_finite(value))):
        return _KINDS[kind][1]
    if kind in _KINDS:
        return "" if isinstance(value, _KINDS[kind][0]) else _KINDS[kind][1]
    if kind == str | Sequence[str]:
        several = [value] if isinstance(value, str) else value if isinstance(value, Sequence) else [None]
        return "" if all(isinstance(one, str) for one in several) else "a text, or a list of some"
    return ""


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:  # whole numbers that no float holds
        return False


_KINDS: Mapping[Any, tuple[Any, str]] = {
    float: (Real, "a number"),
    int: (Integral, "a whole number"),
    bool: ((bool, np.bool_), "True or False"),
    str: (str, "a text"),
}
"""What types of options are called."""


def as_overrides(settings: Mapping[str, Any] | None, **shortcuts: Any) -> list[str]:
    """Settings as the command line has them, ``optim.lr=0.002``, from mappings that are nested or have dots in their keys.

    ``shortcuts`` follow, settings by their path with ``__`` for dots; None is not given.

    Raises:
        ConfigError: settings are no mapping.
    """
    check_mapping("settings", settings, {"optim.lr": 0.002})
    found = list(_flat(settings or {}, ()))
    return [*found, *(f"{path.replace('__', '.')}={_written(value)}" for path, value in shortcuts.items() if value is not None)]


def _flat(settings: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = []
    for key, value in settings.items():
        at = (*path, str(key))
        lines += _flat(value, at) if isinstance(value, Mapping) and value else [f"{'.'.join(at)}={_written(value)}"]
    return lines


def _written(value: Any) -> str:
    """A value as YAML reads it back: JSON is YAML, but for numbers that are no numbers there."""
    import json

    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays, paths and the like, as JSON has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, Sequence | set | frozenset) else str(value)
