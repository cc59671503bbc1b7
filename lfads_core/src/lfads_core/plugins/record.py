"""What every record of a plugin is made of: a name, a summary, and functions given by themselves or as ``"module:name"``."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import attrs
from attrs import field, frozen
from attrs import validators as v

from lfads_core.errors import PluginError
from lfads_core.plugins.citations import citation_key

_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*(\.\w+)*")
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@frozen
class Imported:
    """What ``"module:name"`` names, imported when it is first called, so that declaring it costs nothing."""

    path: str

    def load(self) -> Any:
        """The thing itself.

        Raises:
            PluginError: there is no such module, or nothing of that name in it.
        """
        module, _, names = self.path.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for name in names.split("."):
                found = getattr(found, name)
        except (Exception, SystemExit) as err:  # a module may raise anything while it is imported
            raise PluginError(f"{self.path!r}: must be 'module:name' of something that can be imported, got {type(err).__name__}: {err}") from err
        return found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self.load()(*args, **kwargs)


def imported(value: Callable[..., Any] | str) -> Any:
    """Converter of fields that take a callable, or ``"module:name"`` of one; what is neither is left to the validator."""
    return Imported(value) if isinstance(value, str) and _PATH.fullmatch(value) else value


def imported_or_none(value: Callable[..., Any] | str | None) -> Any:
    """The same for a field that may be None."""
    return None if value is None else imported(value)


def strings(value: Iterable[str]) -> tuple[str, ...]:
    """Converter of fields that hold words."""
    return tuple(value)


def is_function(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Validator of such fields."""
    if not callable(value):
        raise ValueError(f"'{attribute.name}' must be a function, or 'module:name' of one, got {value!r}")


def _is_slug(_instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not SLUG.fullmatch(value):
        raise ValueError(f"'{attribute.name}' must be lower-case words joined by '-', such as 'my-prior', got {value!r}")


def is_settings_class(_instance: object, attribute: attrs.Attribute[type], value: type) -> None:
    """Validator of fields that hold a class of settings."""
    if not (isinstance(value, type) and attrs.has(value)):
        raise ValueError(f"'{attribute.name}' must be an attrs class that holds the component's settings, got {value!r}")


def _name() -> Any:
    return field(validator=_is_slug)


def _summary() -> Any:
    return field(validator=v.and_(v.instance_of(str), v.min_len(1)))


def settings_class() -> Any:
    """A field for an attrs class that holds settings."""
    return field(validator=is_settings_class)


def _are_citations(_instance: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for cite in value:
        try:
            citation_key(cite)
        except ValueError as err:
            raise ValueError(f"'{attribute.name}': {err}") from err


def citations() -> Any:
    """BibTeX keys of an installed package's ``citations.bib``, or whole entries (``"@article{doe2025, ...}"``), mixed as needed."""
    return field(default=(), converter=tuple, validator=v.and_(v.deep_iterable(v.instance_of(str)), _are_citations))


@frozen(kw_only=True)
class NoSettings:
    """For components that have nothing to set."""


@frozen(kw_only=True)
class Spec:
    """What every record has: a name, and one line that says what it is.

    A kind of plugin is a subclass of this and one hook spec that returns ``Iterable`` of it (:mod:`lfads_core.plugins.hookspecs`, or a
    module that a plugin gives in ``lfads_hooks``); nothing else names it.
    """

    kind: ClassVar[str]  # the noun for it, in lists and messages
    pickable: ClassVar[bool] = False  # whether `--plugin NAME` looks through this kind
    all_are_used: ClassVar[bool] = False  # wherever it applies, rather than the one that is asked for by name
    name: str = _name()
    summary: str = _summary()

    def usage(self) -> str:
        """How a user uses it, as a command or a comment; what is chosen in settings (:class:`ComponentSpec`) is shown as YAML instead."""
        return "# nothing to do: used by itself wherever it applies"


@frozen(kw_only=True)
class ComponentSpec(Spec):
    """What the parts of a model have: settings of their own, a function that builds them, and whom to cite."""

    pickable: ClassVar[bool] = True
    contract: ClassVar[str] = ""  # "module:Class" of what ``build`` must give an instance of
    config: type = settings_class()
    cites: tuple[str, ...] = citations()
