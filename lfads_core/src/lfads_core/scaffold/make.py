"""A plugin's repository from templates: installs, passes its own tests and ``lfads plugins check`` as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from lfads_core import __version__
from lfads_core.errors import PluginError

KINDS = ("prior", "reconstruction", "augmentation", "readin", "metric", "reader", "recipe")
"""Kinds that have a template."""

_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "lfads-"
_ENDING = ".tmpl"


def make_plugin(name: str, kind: str, folder: Path) -> Path:
    """Write the repository ``lfads-NAME`` into a folder and return its path.

    Raises:
        PluginError: the name is none for a component, there is no template of that kind, something of that name is there
            already, or the folder cannot be written.
    """
    name = name.removeprefix(_PREFIX)
    if not _SLUG.fullmatch(name):
        raise PluginError(f"NAME: must be lower-case words joined by '-', such as 'my-{kind}', got {name!r}.")
    if kind not in KINDS:
        raise PluginError(f"--kind: must be one of {', '.join(KINDS)}, got {kind!r}.")
    root = folder / f"{_PREFIX}{name}"
    if root.exists():
        raise PluginError(f"{root}: a new plugin needs a folder of its own, but something is there already. Choose another name, or another -o.")
    words = _words(name, kind)
    try:
        for path, text in _files(kind):
            file = root / Template(path).substitute(words)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template(text).substitute(words), encoding="utf-8")
    except OSError as err:
        raise PluginError(f"{folder}: must be a folder that can be written, got: {err.strerror or err}. Choose another with -o.") from err
    return root


def _words(name: str, kind: str) -> Mapping[str, str]:
    major, minor = __version__.split(".")[:2]
    needs = f">={major}.{minor},<{major}.{int(minor) + 1}"
    others = f', "lfads-plugins-std{needs}"' if kind == "recipe" else ""  # components that the recipe names
    return {
        "name": name,
        "kind": kind,
        "dist": f"{_PREFIX}{name}",
        "package": f"{_PREFIX}{name}".replace("-", "_"),
        "cls": "".join(word.capitalize() for word in name.split("-")),
        "core": f"lfads-core{needs}",
        "others": others,
    }


def _files(kind: str) -> Iterator[tuple[str, str]]:
    """Relative path and text of every file, both with ``$words`` to fill in; a kind's own files come after the shared ones."""
    templates = resources.files("lfads_core") / "scaffold"
    for part in ("common", kind):
        yield from _walk(templates / part, "")


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for item in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if item.is_dir():
            yield from _walk(item, f"{prefix}{item.name}/")
        elif item.name.endswith(_ENDING):
            # '.' stands as 'dot-' and '$package' as 'package' in names of templates, so that tools do not take them for what they make.
            path = f"{prefix}{item.name.removesuffix(_ENDING)}".replace("dot-", ".").replace("src/package/", "src/$package/")
            yield path, item.read_text(encoding="utf-8")
