"""Every component by kind and name, and who provides it. It fails loudly: no renaming, no last one wins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, overload

from attrs import frozen

from lfads_core.errors import PluginError
from lfads_core.plugins.kinds import KINDS, PICKABLE, Kind, Notification, Spec
from lfads_core.plugins.loading import VARIABLE, Fault, Installed, Plugin, Provider, inspect_plugin, load_installed, one_line
from lfads_core.plugins.missing import explain_missing
from lfads_core.plugins.specs import (
    AugmentationSpec,
    DataReaderSpec,
    MetricSpec,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    RecipeSpec,
    ReconstructionSpec,
    ReportSpec,
    SyntheticSpec,
)

T = TypeVar("T")


@frozen
class Entry:
    """One component: its kind, its record, its provider."""

    kind: Kind
    spec: Spec
    provider: Provider


@frozen
class Clash:
    """One name of one kind that several plugins offer."""

    kind: Kind
    name: str
    providers: tuple[Provider, ...]

    def __str__(self) -> str:
        """Name every provider, and the ways out."""
        return (
            f"{len(self.providers)} plugins offer the {self.kind} {self.name!r}: {' and '.join(map(str, self.providers))}. "
            f"Uninstall one of them, or leave one out by listing the entry points you want in {VARIABLE}."
        )


class Registry:
    """What is installed. Made by :meth:`from_installed`, or in tests by :meth:`from_plugins`; read-only afterwards."""

    def __init__(self, installed: Installed) -> None:
        self._installed = installed
        self._warned: set[Provider] = set()
        entries = [Entry(kind, s, p.provider) for p in installed.plugins for kind, specs in p.specs.items() for s in specs]
        order = list(KINDS)
        self._entries = tuple(sorted(entries, key=lambda e: (order.index(e.kind), e.spec.name)))

    @classmethod
    def from_installed(cls) -> Registry:
        """Load the installed plugins. Clashes are kept for :meth:`check`, so that they can still be listed."""
        return cls(load_installed())

    @classmethod
    def from_plugins(cls, plugins: Mapping[str, object]) -> Registry:
        """Make a registry of plugin objects in memory, by entry-point name; their distribution has the same name, version 0.

        Raises:
            PluginError: two of them offer the same name.
        """
        good: list[Plugin] = []
        faults: list[Fault] = []
        for name, plugin in plugins.items():
            provider = Provider(name, "0", name)
            try:
                good.append(inspect_plugin(plugin, provider))
            except PluginError as err:
                faults.append(Fault(provider, str(err)))
        registry = cls(Installed(plugins=tuple(good), faults=tuple(faults)))
        registry.check()
        return registry

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every component, by kind and then by name; clashing ones too."""
        return self._entries

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every loaded plugin, with its notification hooks."""
        return self._installed.plugins

    @property
    def providers(self) -> tuple[Provider, ...]:
        """Every plugin that loaded, whether or not it offers a component."""
        return tuple(plugin.provider for plugin in self._installed.plugins)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Every plugin that was left out because it is broken."""
        return self._installed.faults

    @property
    def left_out(self) -> tuple[Provider, ...]:
        """Every plugin that ``LFADS_PLUGINS`` does not name."""
        return self._installed.left_out

    @property
    def clashes(self) -> tuple[Clash, ...]:
        """Every name that two plugins offer."""
        by_name: dict[tuple[Kind, str], list[Provider]] = {}
        for entry in self._entries:
            by_name.setdefault((entry.kind, entry.spec.name), []).append(entry.provider)
        return tuple(Clash(kind, name, tuple(providers)) for (kind, name), providers in by_name.items() if len(providers) > 1)

    def check(self) -> None:
        """Refuse to work with an ambiguous name.

        Raises:
            PluginError: two plugins offer the same name; the message has one line for each such name.
        """
        if self.clashes:
            raise PluginError("\n".join(map(str, self.clashes)))

    @overload
    def get(self, kind: Literal["prior"], name: str) -> PriorSpec: ...
    @overload
    def get(self, kind: Literal["reconstruction"], name: str) -> ReconstructionSpec: ...
    @overload
    def get(self, kind: Literal["augmentation"], name: str) -> AugmentationSpec: ...
    @overload
    def get(self, kind: Literal["readin"], name: str) -> ReadinSpec: ...
    @overload
    def get(self, kind: Literal["readout"], name: str) -> ReadoutSpec: ...
    @overload
    def get(self, kind: Literal["recipe"], name: str) -> RecipeSpec: ...
    @overload
    def get(self, kind: Literal["synthetic"], name: str) -> SyntheticSpec: ...
    @overload
    def get(self, kind: Literal["reader"], name: str) -> DataReaderSpec: ...
    @overload
    def get(self, kind: Literal["metric"], name: str) -> MetricSpec: ...
    @overload
    def get(self, kind: Literal["report"], name: str) -> ReportSpec: ...
    @overload
    def get(self, kind: str, name: str) -> Any: ...
    def get(self, kind: str, name: str) -> Any:
        """Return the one component of this kind and name.

        Raises:
            PluginError: nothing or more than one thing has this name; the message says what comes near, what is installed, and
                which distribution of this project offers it.
        """
        return self._entry(kind, name).spec

    @overload
    def all(self, kind: Literal["prior"]) -> list[PriorSpec]: ...
    @overload
    def all(self, kind: Literal["reconstruction"]) -> list[ReconstructionSpec]: ...
    @overload
    def all(self, kind: Literal["augmentation"]) -> list[AugmentationSpec]: ...
    @overload
    def all(self, kind: Literal["readin"]) -> list[ReadinSpec]: ...
    @overload
    def all(self, kind: Literal["readout"]) -> list[ReadoutSpec]: ...
    @overload
    def all(self, kind: Literal["recipe"]) -> list[RecipeSpec]: ...
    @overload
    def all(self, kind: Literal["synthetic"]) -> list[SyntheticSpec]: ...
    @overload
    def all(self, kind: Literal["reader"]) -> list[DataReaderSpec]: ...
    @overload
    def all(self, kind: Literal["metric"]) -> list[MetricSpec]: ...
    @overload
    def all(self, kind: Literal["report"]) -> list[ReportSpec]: ...
    @overload
    def all(self, kind: str) -> list[Any]: ...
    def all(self, kind: str) -> list[Any]:
        """Every component of one kind, by name."""
        return [entry.spec for entry in self._entries if entry.kind == kind]

    def owner(self, kind: str, name: str) -> Provider:
        """Who provides a component; raises as :meth:`get` does."""
        return self._entry(kind, name).provider

    def find(self, name: str, kinds: Sequence[Kind] = PICKABLE) -> list[tuple[str, Spec]]:
        """Every component with this name, whatever its kind: recipes first, then components, as ``--plugin NAME`` takes them.

        Raises:
            PluginError: nothing of these kinds has this name.
        """
        here = [kind for kind in kinds if any(entry.kind == kind and entry.spec.name == name for entry in self._entries)]
        if not here:
            raise self._miss("plugin", kinds, name)
        return [(kind, self.get(kind, name)) for kind in here]

    def notify(self, hook: Notification, **arguments: Any) -> None:
        """Tell every plugin that listens, one by one; one that raises is logged as a warning once and stops nobody.

        Each gets a row of its own, so that what one changes in it reaches nobody else.
        """
        for plugin in self._installed.plugins:
            listener = plugin.listeners.get(hook)
            if listener is None:
                continue
            try:
                listener({name: dict(value) if isinstance(value, dict) else value for name, value in arguments.items()})
            except Exception as err:  # noqa: BLE001 - anything a stranger's hook raises
                self._warn(plugin.provider, f"{hook} failed and the run goes on ({one_line(err)})")

    def shield(self, kind: Kind, name: str, call: Callable[[], T]) -> T | None:
        """Call something of a plugin's that must not stop the run; what it raises is logged as a warning once and gives None."""
        try:
            return call()
        except Exception as err:  # noqa: BLE001 - anything a stranger's code raises
            self._warn(self.owner(kind, name), f"the {kind} {name!r} failed and the run goes on ({one_line(err)})")
            return None

    def _warn(self, provider: Provider, text: str) -> None:
        if provider not in self._warned:
            self._warned.add(provider)
            logging.getLogger("lfads").warning("%s: %s", provider, text)

    def _entry(self, kind: str, name: str) -> Entry:
        found = [entry for entry in self._entries if entry.kind == kind and entry.spec.name == name]
        if not found:
            raise self._miss(kind, (kind,), name)
        if len(found) > 1:
            raise PluginError(str(Clash(found[0].kind, name, tuple(entry.provider for entry in found))))
        return found[0]

    def _miss(self, noun: str, kinds: Sequence[str], name: str) -> PluginError:
        names = sorted({entry.spec.name for entry in self._entries if entry.kind in kinds})
        return PluginError(explain_missing(noun, kinds, name, names=names, installed=self._installed))
