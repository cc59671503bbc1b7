"""A space as it is typed on the command line: ``optim.lr=log:1e-5:5e-3:init=4e-3``."""

from __future__ import annotations

from typing import Any

from lfads_core.config.values import Misfit, number
from lfads_core.config.yaml_io import parse_value
from lfads_core.errors import ConfigError
from lfads_core.wording import shown

_FORMS = "log:LOW:HIGH, uniform:LOW:HIGH, int:LOW:HIGH, choice:A,B,C, function:MODULE:NAME, or null"
_OPTIONS = {"init", "explore", "enforce"}


def parse_spaces(texts: tuple[str, ...]) -> dict[str, dict[str, Any] | None]:
    """Plain settings for ``search.spaces`` from ``PATH=SPACE`` texts, in order; what comes later wins.

    Raises:
        ConfigError: one of them is none.
    """
    return dict(map(parse_space, texts))


def parse_space(text: str) -> tuple[str, dict[str, Any] | None]:
    """One path and its space; None takes it out of the search.

    Raises:
        ConfigError: the text is no space.
    """
    path, equals, written = (part.strip() for part in text.partition("="))
    if not equals or not path or not written:
        raise _misfit(text)
    if written == "null":
        return path, None
    kind, _, rest = written.partition(":")
    parts = rest.split(":")
    options = {}
    while parts and "=" in parts[-1] and parts[-1].partition("=")[0] in _OPTIONS:
        name, _, value = parts.pop().partition("=")
        options[name] = _number(parse_value(value, f"--space: {path}"))
    if kind in {"log", "uniform", "int"} and len(parts) == 2:
        low, high = (_number(parse_value(part, f"--space: {path}")) for part in parts)
        return path, {"kind": kind, "low": low, "high": high, **options}
    if kind == "choice" and parts != [""]:
        values = parse_value(f"[{':'.join(parts)}]", f"--space: {path}")
        return path, {"kind": kind, "values": [_number(value) for value in values], **options}
    if kind == "function" and len(parts) == 2:
        return path, {"kind": kind, "function": ":".join(parts), **options}
    raise _misfit(text)


def _number(value: Any) -> Any:
    """``1e-3`` is a number here too, although YAML 1.1 takes it for text."""
    if isinstance(value, str):
        try:
            return number(value)
        except Misfit:
            return value
    return value


def _misfit(text: str) -> ConfigError:
    return ConfigError(
        f"--space: must be PATH=SPACE, with SPACE one of {_FORMS}; :init=VALUE, :explore=SHARE and :enforce=false may follow; got {shown(text)}."
    )
