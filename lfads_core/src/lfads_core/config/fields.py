"""How a setting is declared: default, rule, unit, meaning, and how often people tune it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeVar, get_args

import attrs
from attrs import frozen

from lfads_core.errors import ConfigError
from lfads_core.plugins.specs import ComponentSpec

T = TypeVar("T")

Auto = Literal["auto"]
AUTO: Final = "auto"
"""Stands for a number that is found from the recording when a training begins, and recorded with it (:mod:`lfads_core.train.auto`)."""

FigureFormat = Literal["png", "svg", "pdf"]
"""Of figures that are files: for the screen, to change in a drawing program, for papers."""

FIGURE_FORMATS: tuple[str, ...] = get_args(FigureFormat)

Tuning = Literal["often", "sometimes", "rarely"]


@frozen
class Rule:
    """A condition on one value with the words for it; None ("off") and "auto" always pass."""

    text: str
    holds: Callable[[Any], bool]

    def __call__(self, _instance: object, _attribute: attrs.Attribute[Any], value: Any) -> None:
        """Raise ValueError unless the condition holds."""
        if value is not None and value != AUTO and not self.holds(value):
            raise ValueError(f"must be {self.text}, got {value!r}")


def known(value: T | Auto, key: str) -> T:
    """The number that a setting has by the time a training begins.

    Raises:
        ConfigError: it is still "auto".
    """
    if value == AUTO:
        raise ConfigError(f"{key}: must be a number once the recordings are known, got auto. Resolve them with lfads_core.train.auto.")
    return value


def above(bound: float) -> Rule:
    """Greater than ``bound``."""
    return Rule(f"> {bound:g}", lambda x: x > bound)


def at_least(bound: float) -> Rule:
    """Not below ``bound``."""
    return Rule(f">= {bound:g}", lambda x: x >= bound)


def between(low: float, high: float) -> Rule:
    """From ``low`` to ``high``, both allowed."""
    return Rule(f"from {low:g} to {high:g}", lambda x: low <= x <= high)


def share() -> Rule:
    """A share that is not everything: 0 <= x < 1."""
    return Rule(">= 0 and < 1", lambda x: 0 <= x < 1)


def one_of(*options: str) -> Rule:
    """One of a few words."""
    return Rule("one of " + ", ".join(options), lambda x: x in options)


MOST_SAMPLES = 100_000
"""Of a posterior, for each trial; more take hours and change nothing that is seen."""

MOST_VALUES = 5 * 10**7
"""Of data that are made up; generators hold several arrays of so many at a time."""


def size_faults(what: str, *sizes: float, most: float = MOST_VALUES) -> list[str]:
    """A fault across fields where the product of sizes, ``what`` they are in words, is more than a machine should be asked for."""
    product = math.prod(sizes)
    return [] if product <= most else [f"{what}: must be at most {most:,.0f} together, got {min(product, 1e300):.3g}. Ask for less."]


def setting(  # noqa: PLR0913 - each is one fact about it
    default: Any,
    meaning: str,
    *,
    rule: Rule | None = None,
    unit: str = "",
    tune: Tuning = "rarely",
    component: type[ComponentSpec] | None = None,
    search: Any = None,
    was: str = "",
) -> Any:
    """Declare one setting.

    ``default`` may be an attrs class, which makes a nested group of its defaults. ``component`` is the record class of
    the plugins (``PriorSpec``, ``ReconstructionSpec``...) among which a setting is chosen by name. ``search`` says that it may change while a model
    trains, as population-based training needs: it shapes no weights, is no starting value, and leaves what validation costs
    mean. It is the space in which a search looks for it unless told otherwise (:mod:`lfads_core.config.spaces`), or ``LIVE``
    for one that is searched on demand only, or ``ELSEWHERE`` for one that says only where a run is computed or recorded. ``was`` is an
    old name, under which it is read too.
    """
    metadata: Mapping[str, Any] = {
        "meaning": meaning,
        "rule": rule,
        "unit": unit,
        "tune": tune,
        "component": component,
        "search": search,
        "was": was,
    }
    if isinstance(default, type):
        return attrs.field(factory=default, validator=rule, metadata=metadata)
    return attrs.field(default=default, validator=rule, metadata=metadata)
