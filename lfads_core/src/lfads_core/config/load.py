"""One set of settings from all places that may say something: defaults, plugins, files, command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from lfads_core.config.faults import Origin, Path, SettingsFault, dotted
from lfads_core.config.groups import run_config_class
from lfads_core.config.kinds import Specs, types_in
from lfads_core.config.merge import PlaceShape, merge, numbered, plain, put
from lfads_core.config.places import is_list, slots
from lfads_core.config.renamed import renamed_way, renamed_within
from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import structure, unstructure
from lfads_core.config.yaml_io import Layer, parse_value, read_yaml
from lfads_core.errors import ConfigError, PluginError
from lfads_core.plugins.specs import ReadinSpec, ReadoutSpec, RecipeSpec, Spec
from lfads_core.wording import a, listed


def resolve(
    files: Sequence[FilePath | Layer],
    plugins: Sequence[str],
    overrides: Sequence[str],
    registry: Specs,
    *,
    said: str = "--set",
    defaults: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Settle the settings of a run.

    The defaults come first, those of a purpose (``defaults``) laid on the schema's; then recipes and components by name, in
    order; then the YAML files, in order; then ``a.b=value`` overrides, in order. What comes later wins. In place of a file there
    may be the settings read from one. ``said`` is how messages call the overrides.

    Raises:
        ConfigError: one line for each fault, with the place it came from.
    """
    stack = _Stack(run_config_class(registry), said)
    if defaults:
        stack.data = merge(stack.data, defaults, stack.shape)
    for name in plugins:
        stack.add_plugin(name, registry)
    for file in files:
        if isinstance(file, Layer):
            stack.add(file)
        else:
            stack.add_file(file)
    for text in overrides:
        stack.add_override(text)
    return structure(stack.data, registry, origins=stack.origins, earlier=stack.faults)


BEFORE: Mapping[str, Any] = {"data": {"passes": 1}, "train": {"average": 0}}
"""What settings stood for before there was a word for it: a run's own file that lacks them was trained so."""


def resolve_saved(path: FilePath | Layer, registry: Specs, overrides: Sequence[str] = ()) -> RunConfig:
    """The settings that a run or search keeps in its folder, changed by ``overrides``: they mean what they meant when they were written.

    Raises:
        ConfigError: one line for each fault.
    """
    return resolve([path], (), overrides, registry, defaults=BEFORE)


class _Stack:
    """Settings so far, where each came from, and what could not be added."""

    def __init__(self, cls: type[RunConfig], said: str) -> None:
        self.shape, self.said, self.cls = PlaceShape(cls), said, cls
        self.as_plugin = "--plugin" if said.startswith("--") else "plugin"  # as the command line or Python calls it
        self.data: dict[str, Any] = unstructure(cls())
        self.origins: dict[Path, Origin] = {}
        self.faults: list[SettingsFault] = []

    def add(self, layer: Layer) -> None:
        data = renamed_within(layer.data, self.cls, types_in(self.cls))
        self.data = merge(self.data, data, self.shape)
        self.note(layer.origins, _replaced(data))

    def note(self, origins: Mapping[Path, Origin], replaced: Iterable[Path]) -> None:
        gone = set(replaced)
        kept = {path: origin for path, origin in self.origins.items() if not any(path[:n] in gone for n in range(1, len(path) + 1))}
        self.origins = {**kept, **origins}

    def add_file(self, path: FilePath) -> None:
        try:
            self.add(read_yaml(path))
        except ConfigError as err:
            self.faults.append(SettingsFault((), str(err)))

    def add_plugin(self, name: str, registry: Specs) -> None:
        try:
            found = {type(spec): spec for spec in registry.find(name)}
        except PluginError as err:
            self.faults.append(SettingsFault((), str(err), Origin(self.as_plugin)))
            return
        recipe = found.get(RecipeSpec)
        if isinstance(recipe, RecipeSpec):  # a recipe is what its name means first; it names components of the same name itself
            settings = plain(recipe.settings)
            whose = next((str(provider) for spec, provider in registry.as_offered(RecipeSpec) if spec is recipe), "")
            self.add(Layer(settings, _spread(settings, Origin(f"recipe {name} of {whose}"))))
        elif len(found) == 1 or found.keys() == {ReadinSpec, ReadoutSpec}:
            for record in found:
                self.add_component(record, name)
        else:
            self.ask(list(found), name)

    def add_component(self, record: type[Spec], name: str) -> None:
        first, *others = slots(record)
        if others and not is_list(first):
            self.ask([record], name)
            return
        value: Any = {"name": name}
        way, path = [str(part) for part in first.path], first.path
        if is_list(first):
            before = _at(self.data, path)
            before = before if isinstance(before, list) else []
            if any(isinstance(item, dict) and item.get("name") == name for item in before):
                return
            value, path = [*before, value], (*path, len(before))
        self.data = put(self.data, way, value, self.shape)
        self.note({path: Origin(f"{self.as_plugin} {name}")}, [path])

    def ask(self, records: Sequence[type[Spec]], name: str) -> None:
        options = [f"--set {dotted(place.path)}={name if not is_list(place) else f'[{name}]'}" for record in records for place in slots(record)]
        text = f"must have one place, got {' and '.join(a(record.kind) for record in records)}. Say which: {listed(options)}"
        self.faults.append(SettingsFault((), text, Origin(f"{self.as_plugin} {name}")))

    def add_override(self, text: str) -> None:
        key, equals, written = (part.strip() for part in text.partition("="))
        way = key.split(".")
        origin = Origin(self.said)
        if not equals or not all(way) or not written:
            self.faults.append(SettingsFault((), f"must be KEY=VALUE such as optim.lr=1e-3, or KEY=null for off, got {text!r}", origin))
            return
        if equals and all(way):
            way = numbered(self.data, renamed_way(way, self.cls, types_in(self.cls)))
        path = tuple(int(part) if part.isdecimal() else part for part in way)
        try:
            value = parse_value(written, f"{self.said}: {key}")
        except ConfigError as err:
            self.faults.append(SettingsFault((), str(err)))
            return
        try:
            self.data = put(self.data, way, value, self.shape)
        except ConfigError as err:
            self.faults.append(SettingsFault(path, str(err), origin))
            return
        self.note({path: origin}, _replaced(value, path))


def _at(data: Any, path: Path) -> Any:
    """What stands at ``path``, or None."""
    for part in path:
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def _spread(settings: Any, origin: Origin, path: Path = ()) -> dict[Path, Origin]:
    """The same origin for everything in ``settings``."""
    found = {path: origin} if path else {}
    pairs = settings.items() if isinstance(settings, dict) else enumerate(settings) if isinstance(settings, list) else ()
    for key, value in pairs:
        found |= _spread(value, origin, (*path, key))
    return found


def _replaced(data: Any, path: Path = ()) -> Iterator[Path]:
    """Where ``data`` holds no mapping: what it is laid on is gone there, with everything below."""
    if not isinstance(data, Mapping):
        yield path
        return
    for key, value in data.items():
        yield from _replaced(value, (*path, key))
