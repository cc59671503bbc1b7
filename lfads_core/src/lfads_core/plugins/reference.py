"""Markdown page of every hook and of the records they return, from docstrings and fields; ``docs/hooks.md`` is this text."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

import attrs

from lfads_core.plugins.hookspecs import PROJECT
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import NoSettings


def reference_page() -> str:
    """The page, ended by a newline."""
    lines = [
        "# Hooks",
        "",
        "Every door a plugin can come through, those of this project's packages included, and the records that are handed through it; made by",
        "`python -m lfads_core.plugins.reference > docs/hooks.md`. [Plugins](plugins.md) shows how to write one, and leads to a page for each hook",
        "with an example and its contract. [What plugins are given](given.md) has batches, sessions, settings, spaces and noise.",
    ]
    hooks = Registry.from_installed().hooks
    modules = list(dict.fromkeys(hook.module for hook in hooks))
    for module in modules:
        lines += ["", f"## Hooks of {module.__name__.partition('.')[0]}", "", inspect.cleandoc(module.__doc__ or "").split("\n\n")[0]]
        for name, function in vars(module).items():
            if inspect.isfunction(function) and hasattr(function, f"{PROJECT}_spec"):
                lines += ["", f"### {name}", "", "```py", f"def {name}{_signature(function)}: ...", "```", "", *_text(function)]
    lines += ["", "## Records", "", "Frozen and checked when they are made; every field is given by name."]
    records: list[type] = [NoSettings, *(hook.record for hook in hooks if hook.record is not None)]
    for record in dict.fromkeys(records):
        lines += [
            "",
            f"### {record.__name__}",
            "",
            *_text(record),
            "",
            "| field | type | default |",
            "|---|---|---|",
            *map(_row, attrs.fields(record)),
        ]
    return "\n".join(lines) + "\n"


def _signature(hook: Any) -> str:
    return str(inspect.signature(hook)).replace("'", "")


def _text(thing: Any) -> list[str]:
    """A docstring, with its indented example as a block of code."""
    lines: list[str] = []
    text, _, example = inspect.cleandoc(thing.__doc__ or "").partition("\n\nExample::\n\n")
    lines += text.replace("``", "`").splitlines()
    if example:
        lines += ["", "```py", *textwrap.dedent(example).splitlines(), "```"]
    return lines


def _row(field: attrs.Attribute[Any]) -> str:
    kind = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
    default = "must be given" if field.default is attrs.NOTHING else f"`{_shown(field.default)}`"
    return f"| `{field.name}` | `{kind}` | {default} |".replace(" | None`", r" \| None`")


def _shown(value: Any) -> Any:
    return value.factory.__name__ + "()" if isinstance(value, attrs.Factory) else value  # type: ignore[arg-type]


if __name__ == "__main__":  # pragma: no cover - covered as a process of its own
    print(reference_page(), end="")  # noqa: T201 - this is what the module prints
