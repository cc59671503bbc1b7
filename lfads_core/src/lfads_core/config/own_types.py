"""Types that plugins bring for settings (``lfads_setting_types``): a quantity with its unit, an Enum, an array."""

from __future__ import annotations

import math
import typing
from typing import Any

from attrs import frozen

from lfads_core.config.faults import said
from lfads_core.config.values import Misfit
from lfads_core.errors import PluginError
from lfads_core.plugins.specs import SettingTypeSpec
from lfads_core.wording import a, one_line, shown


@frozen
class OwnType:
    """One such type, and who brings it."""

    spec: SettingTypeSpec
    provider: Any

    def structured(self, value: Any, _type: Any = None) -> Any:
        """An instance made of plain data; one that is there already stays as it is. Raises Misfit."""
        if isinstance(value, self.spec.cls):
            return value
        try:
            found = self.spec.structure(value)
        except ValueError as err:
            raise Misfit(because=said(err) if err.args else "") from err
        except (Exception, SystemExit) as err:
            raise self._blame(f"fails over it ({one_line(err)})") from err
        if not isinstance(found, self.spec.cls):
            raise self._blame(f"makes {a(type(found).__name__)} of it and no {self.spec.cls.__name__}")
        return found

    def unstructured(self, value: Any) -> Any:
        """Plain data for an instance.

        Raises:
            PluginError: the plugin's function fails, or gives something that a settings file cannot hold.
        """
        where = f"{self.provider}: unstructure of the setting type {self.spec.name!r}"
        try:
            found = self.spec.unstructure(value)
        except (Exception, SystemExit) as err:
            raise PluginError(f"{where} must take {shown(value)}, got {one_line(err)}") from err
        if not _is_plain(found):
            raise PluginError(f"{where} must give plain data (null, true, finite numbers, text, lists, mappings by text), got {shown(found)}")
        return found

    def _blame(self, what: str) -> Misfit:
        return Misfit(because=f"{self.provider} {what}, which is the plugin's to mend")


Types = tuple[OwnType, ...]
"""The own types in force; a class of settings made for a registry carries them."""


def own_type(t: Any, types: Types) -> OwnType | None:
    """What a plugin says of a type; ``NDArray[...]`` is a ``numpy.ndarray``."""
    return next((own for own in types if own.spec.cls is base(t)), None)


def base(t: Any) -> Any:
    """What a type with arguments is made of: ``tuple`` of ``tuple[int, ...]``; others stay as they are."""
    origin: Any = typing.get_origin(t)
    return t if origin is None else origin


def _is_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if type(value) is list:
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value))
