"""What a setting means: its type, default, rule, unit, and how often people change it; one by one, or as a page."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen

from lfads_core.config.chosen import Component
from lfads_core.config.faults import dotted
from lfads_core.config.groups import run_config_class, types_of
from lfads_core.config.kinds import Setting, Specs, settings_of, words
from lfads_core.config.own_types import Types
from lfads_core.config.places import SettingPlace, elsewhere, places, slots
from lfads_core.config.structure import unstructure
from lfads_core.errors import ConfigError, PluginError
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import RecipeSpec
from lfads_core.wording import a, listed, near, shown


@frozen(kw_only=True)
class Explanation:
    """One setting or group, in words. ``rule``, ``unit`` and ``meaning`` are empty where there is none."""

    key: str
    type: str
    default: str
    rule: str = ""
    unit: str = ""
    meaning: str = ""
    tuning: str = "rarely"
    is_group: bool = False

    @property
    def must_be(self) -> str:
        """Type and rule together."""
        return ", ".join(dict.fromkeys(part for part in (self.type, self.rule) if part))


def explain(key: str | None, registry: Specs) -> list[Explanation]:
    """Explain one setting, everything in a group, the settings of a plugin by name, or all there is (None).

    The last parts of a path are enough where they say which: ``lr``, ``controller.hidden``, ``autoregressive.tau``.

    Raises:
        ConfigError: nothing is called so; near misses are listed.
    """
    root: type = run_config_class(registry)
    if key is None:
        return [entry(place) for place in places(root)]
    way = tuple(key.split("."))
    found = _of_schema(way, root) or _below_slot(way, registry)
    if found:
        return found
    try:
        return list(_of_plugin(way, registry))
    except PluginError as err:
        raise _miss(key, err, root) from err


def entry(place: SettingPlace) -> Explanation:
    """Put one place of the schema, or of a plugin's settings, into words."""
    setting = place.setting
    metadata: Mapping[str, Any] = setting.attribute.metadata
    group = setting.group is not None
    return Explanation(
        key=dotted(place.path),
        type=words(setting.type, setting.own),
        default=_default(setting),
        rule=setting.rule(),
        unit=metadata.get("unit") or "",
        meaning=metadata.get("meaning") or "",
        tuning="" if group else metadata.get("tune") or "rarely",
        is_group=group,
    )


def reference_page() -> str:
    """Markdown page of every setting of a run, those of installed plugins included; ``docs/config.md`` is this text."""
    cls: type = run_config_class(Registry.from_installed())
    lines = [
        "# Settings",
        "",
        "Every setting of a run, those of this project's packages included; made by `python -m lfads_core.config.explain > docs/config.md`.",
        "`lfads config explain KEY` prints the same, and the settings of installed plugins too. In a YAML file each heading is a group;",
        'on the command line a setting is given as `--set optim.lr=1e-3`. "Off" is `null`. Sizes of the data are inferred.',
    ]
    for group in (place for place in places(cls) if place.setting.group):
        about = inspect.cleandoc(group.setting.group.__doc__ or "").split("\n\n")[0]
        lines += ["", f"{'#' * (len(group.path) + 1)} {dotted(group.path)}", "", about, ""]
        here = [place for place in places(cls) if place.path[:-1] == group.path]
        lines += ["| setting | default | must be | unit | tuned | meaning |", "|---|---|---|---|---|---|"]
        lines += [_row(entry(place)) for place in here]
    return "\n".join(lines) + "\n"


def _row(e: Explanation) -> str:
    key = e.key.rpartition(".")[2]
    cells = (f"`{key}`", f"`{e.default}`", e.must_be, e.unit, e.tuning, e.meaning)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _default(setting: Setting) -> str:
    default = setting.default()
    if default is attrs.NOTHING:
        return "none: must be given"
    if setting.group is not None and isinstance(default, setting.group):
        return "on"
    return _brief(default, setting.own)


def _brief(value: Any, own: Types = ()) -> str:
    if isinstance(value, Component):
        return value.name if value.settings is None else shown(unstructure(value, own))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_brief(item, own) for item in value)}]"
    value = unstructure(value, own)
    return value if isinstance(value, str) and value else shown(value)


def _of_schema(way: Sequence[str], cls: type) -> list[Explanation]:
    exact = [place for place in places(cls) if place.path == way]
    found = exact or [place for place in places(cls) if place.path[-len(way) :] == way]
    return [entry(p) for place in found for p in places(cls) if p.path[: len(place.path)] == place.path]


def _below_slot(way: Sequence[str], registry: Specs) -> list[Explanation]:
    """``components.reconstruction.zig.gamma_loc``, and the same without ``gamma_loc``."""
    root: type = run_config_class(registry)
    for place in places(root):
        rest = way[len(place.path) :]
        if place.setting.component is not None and tuple(way[: len(place.path)]) == place.path and rest:
            try:
                return _of_spec(place, registry.get(place.setting.component, rest[0]), rest[1:], types_of(registry))
            except PluginError as err:
                raise ConfigError(f"{dotted(place.path)}: {err}") from err
    return []


def _of_plugin(way: Sequence[str], registry: Specs) -> Iterator[Explanation]:
    """Everything called ``way[0]``: a component in each slot it fits, a recipe as what it sets."""
    found = registry.find(way[0])
    if len(way) > 1 and all(isinstance(spec, RecipeSpec) for spec in found):
        raise ConfigError(f"{'.'.join(way)}: a recipe has no settings of its own, its components have. `lfads config explain {way[0]}` names them.")
    for spec in found:
        if isinstance(spec, RecipeSpec) and len(way) == 1:
            yield Explanation(key=f"--plugin {spec.name}", type="a recipe", default="", meaning=spec.summary, tuning="", is_group=True)
            yield from _of_recipe(spec.settings, spec.name)
        for place in slots(type(spec)):
            yield from _of_spec(place, spec, way[1:], types_of(registry))


def _of_recipe(settings: Mapping[str, Any], name: str, path: tuple[str, ...] = ()) -> Iterator[Explanation]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and "name" not in value:
            yield from _of_recipe(value, name, (*path, key))
        else:
            yield Explanation(key=dotted((*path, key)), type="", default=_brief(value), meaning=f"set by the recipe {name}", tuning="")


def _of_spec(place: SettingPlace, spec: Any, rest: Sequence[str], own: Types) -> list[Explanation]:
    path = (*place.path, spec.name)
    fields = settings_of(spec.config, own)
    if not rest:
        head = Explanation(key=dotted(path), type=a(spec.kind), default="", meaning=spec.summary, tuning="", is_group=True)
        return [head, *(entry(SettingPlace((*path, *p.path), p.setting)) for p in places(spec.config, own))]
    found = [entry(SettingPlace((*path, *p.path), p.setting)) for p in places(spec.config, own) if p.path[: len(rest)] == tuple(rest)]
    if not found:
        like = near(rest[0], fields)
        hint = f"Did you mean {listed(like)}?" if like else f"Known here: {', '.join(fields) or 'nothing'}"
        raise ConfigError(f"{dotted((*path, *rest))}: no such setting. {hint}")
    return found


def _miss(key: str, err: PluginError, cls: type) -> ConfigError:
    like = near(key, [dotted(place.path) for place in places(cls)], cutoff=0.75) or elsewhere(cls, key.rpartition(".")[2], cutoff=0.75)
    hint = f"Did you mean {listed(like)}?" if like else f"As a plugin: {err}"
    return ConfigError(f"{key}: no setting is called so. {hint}")


if __name__ == "__main__":  # pragma: no cover - covered as a process of its own
    print(reference_page(), end="")  # noqa: T201 - this is what the module prints
