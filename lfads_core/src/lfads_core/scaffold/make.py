"""A plugin's repository from templates: installs, passes its own tests and ``lfads plugins check`` as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from string import Template

from lfads_core import __version__
from lfads_core.errors import PluginError

KINDS = (
    "prior",
    "reconstruction",
    "augmentation",
    "readin",
    "readout",
    "encoder",
    "generator",
    "latent",
    "loss",
    "alignment",
    "recurrence",
    "recipe",
    "settings",
    "setting-type",
    "synthetic",
    "reader",
    "recording",
    "metric",
    "report",
    "section",
    "exporter",
    "function",
    "tracker",
    "listener",
    "command",
    "doctor-check",
    "foreign-settings",
    "search",
    "executor",
    "hooks",
    "several",
)
"""Kinds that have a template; every hook is filled by one. ``several`` is a prior, a metric and a recipe, with a searched setting and a citation."""

_NEEDS = {
    "recipe": "lfads-plugins-std",
    "several": "lfads-plugins-std",
    "settings": "lfads-plugins-std",
    "setting-type": "lfads-plugins-std",
    "foreign-settings": "lfads-plugins-lab",
    "search": "lfads-plugins-tune",
    "executor": "lfads-plugins-tune",
}
"""Packages of this project that a kind needs beside core: settings name their components, or their records are made."""

_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "lfads-"


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
    others = f', "{_NEEDS[kind]}{needs}"' if kind in _NEEDS else ""
    return {
        "name": name,
        "kind": kind,
        "What": "Components" if kind == "several" else f"The {kind.replace('-', ' ')}",
        "dist": f"{_PREFIX}{name}",
        "package": f"{_PREFIX}{name}".replace("-", "_"),
        "cls": "".join(word.capitalize() for word in (name.removesuffix(f"-{kind}") or name).split("-")),  # the class adds its kind
        "key": name.replace("-", "_"),
        "core": f"lfads-core{needs}",
        "others": others,
    }


def _files(kind: str) -> Iterator[tuple[str, str]]:
    """Relative path and text of every file, both with ``$words`` to fill in; a kind's own files come after the shared ones.

    A template holds several files, each after a line ``=== PATH``.
    """
    for part in ("common", kind):
        template = (resources.files("lfads_core") / "scaffold" / f"{part}.tmpl").read_text(encoding="utf-8")
        _, *pieces = re.split(r"^=== (.*)\n", template, flags=re.MULTILINE)
        yield from zip(pieces[::2], pieces[1::2], strict=True)
