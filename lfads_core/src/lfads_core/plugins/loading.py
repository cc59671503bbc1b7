"""From installed distributions to checked plugins, one entry point at a time: none can take another down."""

from __future__ import annotations

import configparser
import difflib
import functools
import importlib
import importlib.metadata
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from attrs import field, frozen

from lfads_core import __version__
from lfads_core.errors import PluginError
from lfads_core.origin import know_package
from lfads_core.plugins import hookspecs
from lfads_core.plugins.collecting import call, collect, short
from lfads_core.plugins.compatible import incompatibility
from lfads_core.plugins.hook_names import check_names
from lfads_core.plugins.hooks import CORE_HOOKS, Hook, hooks_in
from lfads_core.plugins.hookspecs import DECLARES, PROJECT
from lfads_core.plugins.offers import OFFERS
from lfads_core.plugins.remarks import noticing
from lfads_core.plugins.single_files import load_file, wanted_files
from lfads_core.plugins.specs import Spec
from lfads_core.wording import one_line

OURS = frozenset(["lfads-core", *OFFERS])
"""Distributions of this project."""

VARIABLE = "LFADS_PLUGINS"
"""Environment variable that limits what is loaded: entry-point names joined by commas; empty loads none."""


_said: dict["Provider", list[str]] = {}
"""What there was to say when a plugin was first loaded: its module is imported once a process."""


@frozen
class EntryPoint:
    """A line of a distribution's ``entry_points.txt``, read by the standard library whoever found the distribution.

    The backport of ``importlib.metadata`` takes the search over once somebody imports it, and its versions part over malformed lines.
    """

    name: str
    value: str
    dist: Any = field(eq=False, repr=False)

    def load(self) -> object:
        """Import what it names."""
        return importlib.metadata.EntryPoint(self.name, self.value, PROJECT).load()


@frozen
class Provider:
    """Where a component comes from."""

    distribution: str
    version: str
    entry_point: str  # empty for a file, whose version is the beginning of its hash

    def __str__(self) -> str:
        """Read ``my-plugin 1.0 (entry point 'mine')``, for a distribution may have several entry points, or ``my.py (sha256 1a2b3c4d)``."""
        if not self.entry_point:
            return f"{self.distribution} (sha256 {self.version})"
        return f"{self.distribution} {self.version} (entry point {self.entry_point!r})"


@frozen
class BrokenPlugin:
    """A plugin that was left out as a whole, and the reason in one line."""

    provider: Provider
    reason: str
    cause: BaseException | None = field(default=None, eq=False, repr=False)  # what was raised, for --debug

    def __str__(self) -> str:
        """Read ``my-plugin 1.0 (entry point 'mine'): ImportError: ...``."""
        return f"{self.provider}: {self.reason}"


@frozen(kw_only=True)
class Plugin:
    """One loaded entry point: the records it offers by their class, as it gives them, and its notification hooks by name."""

    provider: Provider
    specs: Mapping[type[Spec], tuple[Spec, ...]]
    listeners: Mapping[str, Callable[[Mapping[str, Any]], None]]
    package: str = ""  # the Python package it lies in, whose log messages are shown; empty for an object in memory


@frozen(kw_only=True)
class Installed:
    """What loading found."""

    plugins: tuple[Plugin, ...] = ()
    faults: tuple[BrokenPlugin, ...] = ()
    left_out: tuple[Provider, ...] = ()  # not named in LFADS_PLUGINS
    hooks: tuple[Hook, ...] = CORE_HOOKS
    remarks: tuple[tuple[Provider, str], ...] = ()  # of plugins that work, but print or are slow


def core_plugin() -> tuple[Provider, object]:
    """Core's own: always there, whatever is installed or left out."""
    return Provider("lfads-core", __version__, "core"), importlib.import_module("lfads_core.builtin")


def load_installed(more: Iterable[tuple[Provider, object]] = ()) -> Installed:
    """Load core's own plugin, every installed one that ``LFADS_PLUGINS`` allows, files that are asked for, and ``more``.

    Raises:
        PluginError: ``LFADS_PLUGINS`` names an entry point that is not installed, or a file or one of ``more`` is broken. Broken plugins
            that are installed do not raise; they are reported in ``faults``.
    """
    found, faults = _entry_points()
    allowed = _allowed([provider.entry_point for provider, _ in found])
    left_out = [provider for provider, _ in found if allowed is not None and provider.entry_point not in allowed]
    loaded = [core_plugin()]
    remarks: list[tuple[Provider, str]] = []
    for provider, entry_point in found:
        if provider not in left_out:
            said: list[str] = []
            try:
                with noticing(said):
                    plugin = _load(entry_point)
                loaded.append((provider, plugin))
            except PluginError as err:
                faults.append(BrokenPlugin(provider, str(err), err))
            remarks += [(provider, text) for text in _said.setdefault(provider, said)]
    files = [_loaded_file(path, remarks) for path in wanted_files()]
    asked = [*files, *more]
    made = inspect_plugins([*loaded, *asked])
    for fault in made.faults:
        if fault.provider in [provider for provider, _ in asked]:
            raise PluginError(str(fault)) from fault.cause
    offering = [plugin.provider for plugin in made.plugins if plugin.listeners or any(plugin.specs.values())]
    for provider, module in files:
        if provider not in offering and not hasattr(module, DECLARES):
            raise PluginError(f"{provider}: must offer something by a hook, such as lfads_priors marked with @hookimpl, but offers nothing")
    return Installed(
        plugins=made.plugins, faults=(*faults, *made.faults), left_out=tuple(left_out), hooks=made.hooks, remarks=(*remarks, *made.remarks)
    )


def _loaded_file(path: Path, remarks: list[tuple[Provider, str]]) -> tuple[Provider, object]:
    said: list[str] = []
    try:
        with noticing(said, slow=False):  # it may import torch as it stands there, for it is loaded for what it is used in
            digest, module = load_file(path)
    except PluginError as err:
        if "--plugin-file" in str(err):
            raise
        raise PluginError(f"--plugin-file: {path}: {err}") from err
    provider = Provider(path.name, digest[:8], "")
    remarks += [(provider, text) for text in _said.setdefault(provider, said)]
    return provider, module


def inspect_plugins(loaded: Iterable[tuple[Provider, object]]) -> Installed:
    """Check plugins, each by itself, and collect what they offer; first the hooks that they declare, which any of them may use."""
    loaded = list(loaded)
    hooks, plugins, faults = list(CORE_HOOKS), list[Plugin](), list[BrokenPlugin]()
    sound: list[tuple[Provider, object]] = []
    for provider, plugin in loaded:
        try:
            hooks += _declared_hooks(plugin, hooks)
        except PluginError as err:
            faults.append(BrokenPlugin(provider, str(err), err))
        else:
            sound.append((provider, plugin))
    remarks: list[tuple[Provider, str]] = []
    for provider, plugin in sound:
        said: list[str] = []
        try:
            with noticing(said):
                found = inspect_plugin(plugin, provider, hooks)
            plugins.append(found)
        except PluginError as err:
            faults.append(BrokenPlugin(provider, str(err), err))
        remarks += [(provider, text) for text in said]
    return Installed(plugins=tuple(plugins), faults=tuple(faults), hooks=tuple(hooks), remarks=tuple(remarks))


def inspect_plugin(plugin: object, provider: Provider, hooks: Sequence[Hook] = CORE_HOOKS) -> Plugin:
    """Check one plugin and collect what it offers.

    A plugin is alone in its manager while it is looked at, so that nothing it does can reach another one.

    Raises:
        PluginError: a hook is misspelt, takes other arguments than its spec, raises, or returns something else than its records.
    """
    modules = tuple(dict.fromkeys([hookspecs, *(hook.module for hook in hooks)]))
    manager = _manager(modules)
    try:
        manager.register(plugin, name=provider.entry_point)
    except (Exception, SystemExit) as err:
        _manager.cache_clear()  # what was registered of it stays in this one
        raise PluginError(one_line(err)) from err
    try:
        callers = manager.get_hookcallers(plugin) or []
        check_names(plugin, callers, [hook.name for hook in hooks])
        impls = {caller.name: impl for caller in callers for impl in caller.get_hookimpls()}
    finally:
        manager.unregister(plugin)
    for name, impl in impls.items():
        if impl.hookwrapper or impl.wrapper:
            raise PluginError(f"{name}: must be a plain hook, because every plugin is called by itself, got a wrapper")
    specs = {hook.record: collect(impls[hook.name], hook.name, hook.record) for hook in hooks if hook.record and hook.name in impls}
    listeners = {hook.name: functools.partial(call, impls[hook.name]) for hook in hooks if hook.record is None and hook.name in impls}
    package = plugin.__name__.partition(".")[0] if isinstance(plugin, ModuleType) else ""
    if package and package.replace("_", "-") not in OURS:  # ours is ours, whatever it is registered as
        know_package(package, str(provider))
    return Plugin(provider=provider, specs=specs, listeners=listeners, package=package)


@functools.lru_cache(maxsize=2)
def _manager(modules: tuple[ModuleType, ...]) -> pluggy.PluginManager:
    """One that knows the hooks of these modules and no plugin: reading the hooks is a third of what loading costs."""
    manager = pluggy.PluginManager(PROJECT)
    for module in modules:
        manager.add_hookspecs(module)
    return manager


def _declared_hooks(plugin: object, known: Sequence[Hook]) -> list[Hook]:
    """The hooks that a plugin declares.

    Raises:
        PluginError: ``lfads_hooks`` fails or gives something else than modules, or declares a hook that there is already.
    """
    function = getattr(plugin, DECLARES, None)
    if function is None:
        return []
    try:
        modules = list(function())
    except (Exception, SystemExit) as err:
        raise PluginError(f"{DECLARES}: {one_line(err)}") from err
    found: list[Hook] = []
    for module in modules:
        if not isinstance(module, ModuleType):
            raise PluginError(f"{DECLARES}: must yield modules, got {short(module)}")
        found += hooks_in(module)
    taken = {hook.name: hook.module.__name__ for hook in known}
    for hook in found:
        if hook.name in taken:
            raise PluginError(f"{DECLARES}: {hook.name} is declared already, by {taken[hook.name]}. Give yours another name.")
    return found


def _entry_points() -> tuple[list[tuple[Provider, EntryPoint]], list[BrokenPlugin]]:
    """List our entry points by distribution; a distribution whose own file is malformed becomes a fault, not a crash."""
    found: dict[str, list[tuple[Provider, EntryPoint]]] = {}
    faults: list[BrokenPlugin] = []
    for dist in importlib.metadata.distributions():
        text = dist.read_text("entry_points.txt") or ""
        if f"[{PROJECT}]" not in text:
            continue
        name, version = _name_and_version(dist)
        key = name.lower().replace("_", "-")
        if key in found:  # an earlier place on the path wins, as for imports
            continue
        found[key] = []
        try:
            found[key] = [(Provider(name, version, entry.name), entry) for entry in _declared(dist, text)]
        except configparser.Error as err:
            faults.append(BrokenPlugin(Provider(name, version, "?"), f"entry_points.txt cannot be read ({one_line(err)})"))
    return [pair for _, pairs in sorted(found.items()) for pair in sorted(pairs, key=lambda p: p[0].entry_point)], faults


def _declared(dist: Any, text: str) -> list[EntryPoint]:
    """Our group of a distribution's entry points, from the text of its file.

    Raises:
        configparser.Error: its file is malformed.
    """
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False, default_section="")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text, source="entry_points.txt")
    return [EntryPoint(name, value, dist) for name, value in parser.items(PROJECT)] if parser.has_section(PROJECT) else []


def _name_and_version(dist: Any) -> tuple[str, str]:
    """Words in their place where a distribution has none; the backport raises then."""
    try:
        metadata = dist.metadata
        return metadata["Name"] or "(unnamed)", metadata["Version"] or "(no version)"
    except Exception:  # noqa: BLE001 - its exception is a class of its own
        return "(unnamed)", "(no version)"


def _allowed(installed: Iterable[str]) -> frozenset[str] | None:
    text = os.environ.get(VARIABLE)
    if text is None:
        return None
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    known = sorted(set(installed))
    for name in sorted(names):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise PluginError(
                f"{VARIABLE}: every name must be an installed entry point, got {name!r}.{hint} Installed: {', '.join(known) or 'none'}."
            )
    return names


def _load(entry_point: EntryPoint) -> object:
    if refusal := incompatibility(entry_point.dist):
        raise PluginError(refusal)
    try:
        return entry_point.load()
    except (Exception, SystemExit) as err:
        raise PluginError(one_line(err)) from err
