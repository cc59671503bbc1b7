"""Every component by kind and name, and who provides it. It fails loudly: no renaming, no last one wins."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from attrs import frozen

from lfads_core.errors import LfadsError, PluginError
from lfads_core.plugins.citations import bibliography
from lfads_core.plugins.hooks import Hook
from lfads_core.plugins.loading import VARIABLE, BrokenPlugin, Installed, Plugin, Provider, core_plugin, inspect_plugins, load_installed
from lfads_core.plugins.missing import explain_missing, who_offers
from lfads_core.plugins.specs import ComponentSpec, RecipeSpec, Spec
from lfads_core.wording import a, one_line, shown

TRACEBACKS = "lfads.tracebacks"
"""Logger of where it was that something failed of which a warning says no more than what; ``--debug`` shows it."""

T = TypeVar("T")
S = TypeVar("S", bound=Spec)


@frozen
class Registered:
    """One record and who provides it."""

    spec: Spec
    provider: Provider

    @property
    def kind(self) -> str:
        """What it is, as a noun: ``prior``, ``reader``."""
        return self.spec.kind


@frozen
class Clash:
    """One name of one kind that several plugins offer."""

    kind: str
    name: str
    providers: tuple[Provider, ...]
    asked_for: bool = True  # by name, so that one of them can be meant

    def __str__(self) -> str:
        """Name every provider, and the ways out."""
        which = " or ".join(repr(f"{provider.distribution}:{self.name}") for provider in self.providers)
        ways = f"Say which, {which}, uninstall one of them" if self.asked_for else "Uninstall one of them"
        return (
            f"{len(self.providers)} plugins offer the {self.kind} {self.name!r}: {' and '.join(map(str, self.providers))}. "
            f"{ways}, or leave one out by listing the entry points you want in {VARIABLE}."
        )


class Registry:
    """What is installed. Made by :meth:`from_installed`, or in tests by :meth:`from_plugins`; read-only afterwards."""

    def __init__(self, installed: Installed) -> None:
        self._installed = installed
        self._warned: set[Provider] = set()
        self._told: set[str] = set()
        entries = [Registered(s, p.provider) for p in installed.plugins for specs in p.specs.values() for s in specs]
        order = {record: i for i, record in enumerate(self.records)}
        self._entries = tuple(sorted(entries, key=lambda e: (order[type(e.spec)], e.spec.name)))

    @classmethod
    def from_installed(cls) -> Registry:
        """Load the installed plugins. Names that clash do so when they are used."""
        return cls(load_installed())

    @classmethod
    def from_plugins(cls, plugins: Mapping[str, object]) -> Registry:
        """Make a registry of plugin objects in memory, by entry-point name; their distribution has the same name, version 0."""
        return cls(inspect_plugins((Provider(name, "0", name), plugin) for name, plugin in plugins.items()))

    def with_plugins(self, given: Sequence[object]) -> Registry:
        """The same, and plugins that are no package: modules or objects with hooks, records, classes of components.

        Raises:
            PluginError: one of them is no plugin, or has a fault.
        """
        if isinstance(given, Sequence) and not given:
            return self
        from lfads_core.plugins.in_memory import installed_with

        return Registry(installed_with(self._installed, given))

    @property
    def entries(self) -> tuple[Registered, ...]:
        """Every component, by kind and then by name; clashing ones too."""
        return self._entries

    @property
    def bare(self) -> bool:
        """Whether no component is installed beside core's own, so that nothing can be trained."""
        return all(entry.provider.distribution == "lfads-core" for entry in self.entries if entry.spec.pickable)

    @property
    def bibliography(self) -> Mapping[str, str]:
        """BibTeX entries by key, of core and of every plugin's package that has a ``citations.bib``."""
        return bibliography(tuple(dict.fromkeys(["lfads_core", *(plugin.package for plugin in self.plugins if plugin.package)])))

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """Every hook there is: core's, then those that plugins declare."""
        return self._installed.hooks

    @property
    def records(self) -> tuple[type[Spec], ...]:
        """Record class of every kind there is, in the order in which their hooks are declared."""
        return tuple(hook.record for hook in self.hooks if hook.record is not None)

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every loaded plugin, with its notification hooks."""
        return self._installed.plugins

    @property
    def providers(self) -> tuple[Provider, ...]:
        """Every plugin that loaded, whether or not it offers a component."""
        return tuple(plugin.provider for plugin in self._installed.plugins)

    @property
    def faults(self) -> tuple[BrokenPlugin, ...]:
        """Every plugin that was left out because it is broken."""
        return self._installed.faults

    @property
    def remarks(self) -> tuple[tuple[Provider, str], ...]:
        """What there is to say about plugins that work: that they print, or are slow."""
        return self._installed.remarks

    @property
    def left_out(self) -> tuple[Provider, ...]:
        """Every plugin that ``LFADS_PLUGINS`` does not name."""
        return self._installed.left_out

    @property
    def clashes(self) -> tuple[Clash, ...]:
        """Every name that two plugins offer."""
        by_name: dict[tuple[type[Spec], str], list[Provider]] = {}
        for entry in self._entries:
            by_name.setdefault((type(entry.spec), entry.spec.name), []).append(entry.provider)
        return tuple(
            Clash(record.kind, name, tuple(providers), asked_for=not record.all_are_used)
            for (record, name), providers in by_name.items()
            if len(providers) > 1
        )

    def get(self, record: type[S], name: str) -> S:
        """Return the one entry of a kind, given by its record class, and name; ``distribution:name`` says whose, where several offer it.

        Raises:
            PluginError: nothing or more than one thing has this name; the message says what comes near, what is installed, and
                which distribution of this project offers it.
        """
        return self._entry(record, name).spec  # type: ignore[return-value]  # its class is what was asked for

    def all(self, record: type[S]) -> list[S]:
        """Every entry of one kind, by name.

        Raises:
            PluginError: two have one name, and the kind is one of which all are used.
        """
        if _a_record(record).all_are_used:
            for clash in self.clashes:
                if clash.kind == record.kind:
                    raise PluginError(str(clash))
        return [entry.spec for entry in self._of(record)]  # type: ignore[misc]  # their class is what was asked for

    def as_offered(self, record: type[S]) -> list[tuple[S, Provider]]:
        """Every entry of one kind with who offers it, by provider and in the order in which each offers them."""
        return [(cast("S", spec), plugin.provider) for plugin in self._installed.plugins for spec in plugin.specs.get(_a_record(record), ())]

    def owner(self, record: type[Spec], name: str) -> Provider:
        """Who provides an entry; raises as :meth:`get` does."""
        return self._entry(record, name).provider

    def who_offers(self, distribution: str) -> str:
        """Say that a distribution of this project offers something, and why it is not here all the same: absent, left out, broken or too old."""
        return who_offers(distribution, self._installed)

    def find(self, name: str, *, any_kind: bool = False) -> list[Spec]:
        """Every entry with this name: recipes first, then components, as ``--plugin NAME`` takes them; with ``any_kind`` all others too.

        Raises:
            PluginError: nothing of these kinds has this name.
        """
        wanted = [record for record in self.records if any_kind or record.pickable]
        here = [record for record in wanted if self._called(record, name)]
        if not here:
            raise self._miss("plugin", wanted, name, any_kind=any_kind)
        return [self.get(record, name) for record in sorted(here, key=lambda record: record is not RecipeSpec)]

    def notify(self, hook: str, **arguments: Any) -> None:
        """Tell every plugin that listens, one by one; one that raises is logged as a warning once and stops nobody.

        Each gets a row of its own, so that what one changes in it reaches nobody else.
        """
        for plugin in self._installed.plugins:
            listener = plugin.listeners.get(hook)
            if listener is None:
                continue
            try:
                listener({name: dict(value) if isinstance(value, dict) else value for name, value in arguments.items()})
            except (Exception, SystemExit) as err:  # noqa: BLE001 - anything a stranger's hook raises
                self._warn(plugin.provider, f"{hook} failed and the run goes on ({one_line(err)})", err)

    def shield(self, record: type[Spec], name: str, call: Callable[[], T], then: str = "the run goes on") -> T | None:
        """Call something of a plugin's that must not stop the run; what it raises is logged as a warning once and gives None."""
        try:
            return call()
        except (Exception, SystemExit) as err:  # noqa: BLE001 - anything a stranger's code raises
            self._warn(self.owner(record, name), f"the {record.kind} {name!r} failed and {then} ({one_line(err)})", err)
            return None

    def tell_once(self, record: type[Spec], name: str, text: str) -> None:
        """Log a warning about something of a plugin's, unless the same has been said."""
        told = f"{self.owner(record, name)}: {text}"
        if told not in self._told:
            self._told.add(told)
            logging.getLogger("lfads").warning("%s", told)

    def blame(self, record: type[Spec], name: str, call: Callable[[], T]) -> T:
        """Call something of a plugin's that nothing can stand in for.

        Raises:
            PluginError: it raised something that is not told to users, or cannot be imported; in one sentence that names the plugin.
        """
        try:
            return call()
        except (Exception, SystemExit) as err:
            if isinstance(err, LfadsError) and not isinstance(err, PluginError):
                raise
            text = str(err) if isinstance(err, PluginError) else one_line(err)
            raise PluginError(
                f"{self.owner(record, name)}: the {record.kind} {name!r} failed ({text}). --debug shows where; tell its authors."
            ) from err

    def _warn(self, provider: Provider, text: str, err: BaseException) -> None:
        logging.getLogger(TRACEBACKS).debug("%s: %s", provider, text, exc_info=err)
        if provider not in self._warned:
            self._warned.add(provider)
            logging.getLogger("lfads").warning("%s: %s", provider, text)

    def _of(self, record: type[Spec]) -> list[Registered]:
        return [entry for entry in self._entries if type(entry.spec) is _a_record(record)]

    def _entry(self, record: type[Spec], name: str) -> Registered:
        if not isinstance(name, str):
            raise PluginError(f"{a(record.kind)} must be called by its name, got {shown(name)}.")
        found = self._called(record, name)
        if not found:
            raise self._miss(record.kind, [record], name)
        if len(found) > 1:
            providers = tuple(entry.provider for entry in found)
            raise PluginError(str(Clash(record.kind, found[0].spec.name, providers, asked_for=not record.all_are_used)))
        return found[0]

    def _called(self, record: type[Spec], name: str) -> list[Registered]:
        """Entries by this name, or by ``distribution:name``."""
        whose, colon, own = name.rpartition(":")
        of = [entry for entry in self._of(record) if entry.spec.name == own]
        if not of and issubclass(record, ComponentSpec):  # the parts that are LFADS are there even in a registry that a test made without them
            of = [entry for entry in _parts_of_core() if type(entry.spec) is record and entry.spec.name == own]
        return [entry for entry in of if _plain(entry.provider.distribution) == _plain(whose)] if colon else of

    def _miss(self, noun: str, records: Sequence[type[Spec]], name: str, *, any_kind: bool = False) -> PluginError:
        names = sorted({entry.spec.name for record in records for entry in self._of(record)})
        kinds = None if any_kind else [record.kind for record in records]
        error = PluginError(explain_missing(noun, kinds, name, names=names, installed=self._installed))
        error.__cause__ = next((fault.cause for fault in self.faults if fault.cause is not None), None)  # it may be why nothing is found
        return error


@functools.cache
def _parts_of_core() -> tuple[Registered, ...]:
    (core,) = inspect_plugins([core_plugin()]).plugins
    return tuple(Registered(spec, core.provider) for specs in core.specs.values() for spec in specs if isinstance(spec, ComponentSpec))


def _plain(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


def _a_record(record: type[S]) -> type[S]:
    if not (isinstance(record, type) and issubclass(record, Spec)):
        raise TypeError(f"a registry is asked by the record class of a kind, such as PriorSpec, got {record!r}")
    return record
