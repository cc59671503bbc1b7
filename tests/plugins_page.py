"""The files that docs/plugins.md and docs/hooks show, as plugins in memory, and a registry that has them beside everything of this project."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from lfads_core.plugins import NoSettings, Registry, Spec

_DOCS = Path(__file__).resolve().parents[1] / "docs"
_HOOKS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((_DOCS / "hooks").glob("*.md")))
PAGE = (_DOCS / "plugins.md").read_text(encoding="utf-8") + re.sub(r"^##? (lfads_\w+)$", r"\n### \1", _HOOKS, flags=re.MULTILINE)
"""docs/plugins.md and the pages of hooks, each hook a section of its own."""
OURS = {"core": "lfads_core.builtin", **{name: f"lfads_plugins_{name}.plugin" for name in ("std", "calcium", "emg", "tune", "lab")}}
"""Entry point -> module of every plugin of this project."""


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code in one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


FILES = {block.splitlines()[0].removeprefix("# "): block for block in [*blocks(PAGE, "python"), *blocks(PAGE, "toml")]}
"""File name -> content, for every file on the page."""

PLUGINS = tuple(name for name, text in FILES.items() if "@hookimpl\n" in text)


def _run(name: str) -> ModuleType:
    """A file as a module, which others import by its name and where pickle looks for its classes."""
    module = ModuleType(name.removesuffix(".py"))
    sys.modules[module.__name__] = module
    exec(compile(FILES[name], name, "exec"), module.__dict__)
    return module


MODULES = {name: _run(name) for name in FILES if name.endswith(".py") and not name.startswith("test_")}
"""File name -> module: plugins, and what they import."""


def registry_with(*names: str, ours: tuple[str, ...] = tuple(OURS)) -> Registry:
    """Plugins of this project, and these files of the page."""
    return Registry.from_plugins({**{name: importlib.import_module(OURS[name]) for name in ours}, **{name: MODULES[name] for name in names}})


def only(name: str, record: type[Spec]) -> tuple[Any, Any]:
    """The one record of a class that a file offers, and its default settings."""
    registry = registry_with(name)
    assert registry.faults == ()
    (spec,) = [spec for spec, provider in registry.as_offered(record) if provider.entry_point == name]
    return spec, getattr(spec, "config", NoSettings)()
