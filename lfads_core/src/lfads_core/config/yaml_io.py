"""YAML in, with the line of every value; YAML out, so that it reads back exactly.

Only what settings need is understood: mappings, lists, and plain values. Dates, octal and sexagesimal numbers stay text, because
``010`` is 8 and ``12:30`` is 750 only to YAML 1.1. Quoting on the way out follows YAML 1.1, so that other readers agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import yaml
from attrs import frozen

from lfads_core.config.faults import Origin, Path, SettingsFault, refuse
from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import unstructure
from lfads_core.errors import ConfigError

_TAG = "tag:yaml.org,2002:"
_LINE_ENDS = "\r\x85\u2028\u2029\ufeff"


@frozen
class Layer:
    """Plain settings from one place, and where each of them was written."""

    data: Mapping[str, Any]
    origins: Mapping[Path, Origin]


def read_yaml(path: FilePath) -> Layer:
    """Read a settings file. An empty one is an empty layer.

    Raises:
        ConfigError: it cannot be read, is no YAML, is no mapping, or says a key twice; with the file and the lines.
    """
    try:
        content = path.read_bytes()
    except OSError as err:
        raise ConfigError(f"{path}: must be a readable file, got: {err.strerror}. Check the path.") from err
    return parse_yaml(content, str(path))


def parse_yaml(content: str | bytes, source: str) -> Layer:
    """As :func:`read_yaml`, of a text; ``source`` stands for the file's name in origins and messages."""
    root = _compose(content, source)
    if root is None or root.tag == _TAG + "null":
        return Layer({}, {})
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{source}:{root.start_mark.line + 1}: must be groups of settings such as 'optim:', got {_noun(root)}.")
    reading = _Reading(source)
    data = reading.plain(root, ())
    refuse(reading.faults)
    return Layer(data, reading.origins)


def parse_value(text: str, source: str) -> Any:
    """Read one value as it would stand in a file: a scalar, ``[a, b]`` or ``{a: 1}``. Raises ConfigError."""
    root = _compose(text, source, lines=False)
    if root is None:
        return None
    reading = _Reading(source, lines=False)
    value = reading.plain(root, ())
    refuse(reading.faults)
    return value


def dump(config: RunConfig) -> str:
    """Write settings as YAML, one block for each group, in the order of the schema; reads back to an equal object."""
    return dump_plain(unstructure(config))


def dump_plain(data: Mapping[str, Any]) -> str:
    """As :func:`dump`, of plain data."""
    blocks = [yaml.dump({key: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120) for key, value in data.items()]
    return "\n".join(blocks)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - filled below, read by pyyaml

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="an alias (*name), which is not understood here; write the value out", problem_mark=mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)  # lists stand further in than their key


def _list(dumper: _Dumper, items: list[Any]) -> yaml.Node:
    short = not any(isinstance(item, list | dict) for item in items)
    return dumper.represent_sequence(_TAG + "seq", items, flow_style=short)


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    quoted = any(mark in text for mark in _LINE_ENDS)  # folded like spaces in any other style
    return dumper.represent_scalar(_TAG + "str", text, style='"' if quoted else None)


_FORMS = {  # how a plain scalar must be spelled, as a whole, to be more than text
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", list("yYnNtTfFoO")),
    "int": (r"[-+]?(0|[1-9][0-9_]*)", list("-+0123456789")),
    "float": (
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
}
for _name, (_form, _first) in _FORMS.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_form})\Z"), _first)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(str, _text)


def _compose(content: str | bytes, source: str, *, lines: bool = True) -> yaml.Node | None:
    try:
        return yaml.compose(content, Loader=_Loader)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        place = f"{source}:{mark.line + 1}" if lines and mark else source
        text = ", ".join(part for part in (err.context, err.problem) if part)
        raise ConfigError(f"{place}: must be YAML, got: {text}{_tab_hint(content, mark)}.") from err
    except yaml.YAMLError as err:
        raise ConfigError(f"{source}: must be YAML text in UTF-8, got: {' '.join(str(err).split())}.") from err
    except RecursionError as err:
        raise ConfigError(f"{source}: must not be nested so deeply.") from err


def _tab_hint(content: str | bytes, mark: yaml.Mark | None) -> str:
    text = content if isinstance(content, str) else content.decode("utf-8", "replace")
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    return ". Indent with spaces instead of tabs" if "\t" in line[: len(line) - len(line.lstrip())] else ""


def _noun(node: yaml.Node) -> str:
    return "a list" if isinstance(node, yaml.SequenceNode) else "a single value"


class _Reading:
    """Turns nodes into plain data and notes where each came from; faults gather in ``faults``."""

    def __init__(self, source: str, *, lines: bool = True) -> None:
        self.source, self.lines = source, lines
        self.origins: dict[Path, Origin] = {}
        self.faults: list[SettingsFault] = []
        self.scalars = yaml.SafeLoader("")

    def plain(self, node: yaml.Node, path: Path) -> Any:
        origin = self.origins.setdefault(path, self.origin(node))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.plain(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in {_TAG + t for t in ("null", "bool", "int", "float", "str")}:
            try:
                return self.scalars.construct_object(node)
            except (ValueError, LookupError):
                self.faults.append(SettingsFault(path, f"must be a value that its tag or length allows, got {node.value[:40]!r}", origin))
                return None
        self.faults.append(SettingsFault(path, f"must be a plain value, list or mapping, got the tag {node.tag!r}", origin))
        return None

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            origin = self.origin(key)
            if not isinstance(key, yaml.ScalarNode):
                self.faults.append(SettingsFault(path, f"a setting's name must be a word, got {_noun(key)}", origin))
                continue
            name, here = key.value, (*path, key.value)  # as written: 'on' and '1' are words here
            if name in found:
                self.faults.append(SettingsFault(here, f"must stand once, got it again after {self.origins[here]}. Keep one", origin))
                continue
            self.origins[here] = origin
            found[name] = self.plain(value, here)
        return found

    def origin(self, node: yaml.Node) -> Origin:
        return Origin(self.source, node.start_mark.line + 1 if self.lines else None)
