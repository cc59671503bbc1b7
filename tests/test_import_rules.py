"""Who may import whom: between the distributions, and between the folders of core. Lazy imports and ``"module:name"`` strings count too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = {
    "lfads_core": (),
    "lfads_plugins_std": ("lfads_core",),
    "lfads_plugins_calcium": ("lfads_core", "lfads_plugins_std"),
    "lfads_plugins_emg": ("lfads_core", "lfads_plugins_std"),
    "lfads_plugins_tune": ("lfads_core", "lfads_plugins_std"),
    "lfads_plugins_lab": ("lfads_core", "lfads_plugins_std"),
}
"""Distribution -> distributions that its code may import."""

LAYERS = (
    ("errors", "files", "wording", "dims", "rng", "locks", "screen", "runs", "origin", "output_file", "processes", "records", "world"),
    ("components",),
    ("plugins",),
    ("config", "data"),
    ("augment", "recurrence", "track"),
    ("model",),
    ("objective",),
    ("trial",),
    ("train",),
    ("infer",),
    ("synth",),
    ("testing",),
    ("pipeline",),
    ("front",),
    ("doctor", "scaffold"),
    ("cli",),
)
"""Folders and files of core, from the bottom upwards: nothing imports what stands after it."""

ABOVE_ALL = {"__init__", "builtin"}
"""Core's front door and core's own plugin: they reach into every folder. Only loading of plugins names the second."""

_MODULE = re.compile(r"lfads_\w+(\.\w+)+(:\w+(\.\w+)*)?")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every module of ours that a file imports, now, later or by a string; annotations alone do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    annotations = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in annotations:
            continue
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE.fullmatch(node.value):
            found = [node.value.replace(":", ".")]
        else:
            continue
        yield from ((node.lineno, name) for name in found if name.partition(".")[0] in PACKAGES)


def strings_of(path: Path) -> Iterator[tuple[int, str]]:
    """Pieces of text that name a package of ours, wherever in an f-string they stand."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from ((node.lineno, name) for name in re.findall(r"\blfads_(?:core|plugins_\w+)(?=[.:])", node.value))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_distribution_imports_only_those_it_needs(package, root):
    allowed = {package, *PACKAGES[package]}
    wrong = [
        f"{path.relative_to(root)}:{line}: {name}"
        for path in sorted((root / package / "src").rglob("*.py"))
        for line, name in {*imported(path), *strings_of(path)}
        if name.partition(".")[0] not in allowed
    ]
    assert wrong == []


def test_nothing_in_core_imports_upwards(root):
    rank = {name: level for level, names in enumerate(LAYERS) for name in names}
    core = root / "lfads_core" / "src" / "lfads_core"
    wrong = []
    for path in sorted(core.rglob("*.py")):
        here = path.relative_to(core).parts[0].removesuffix(".py")
        if here in ABOVE_ALL:
            continue
        for line, name in imported(path):
            there = name.split(".")[1] if "." in name else ""
            seam = (here, there) == ("plugins", "builtin")
            if not seam and there != "__version__" and rank.get(there, len(LAYERS)) > rank[here]:
                wrong.append(f"{path.relative_to(root)}:{line}: {name}")
    assert wrong == []


def test_every_folder_of_core_has_its_layer(root):
    core = root / "lfads_core" / "src" / "lfads_core"
    there = {path.name.removesuffix(".py") for path in core.iterdir() if path.suffix in {"", ".py"} and path.name != "__pycache__"}
    assert there - ABOVE_ALL == {name for names in LAYERS for name in names}


def test_reading_imports_sees_lazy_ones_and_strings_but_not_annotations(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from lfads_core.train import trainer\n"
        "def later():\n    import lfads_core.infer.run\n"
        'BUILD = "lfads_core.cli.main:main"\n'
        "from lfads_core import model\n"
    )
    assert sorted(imported(file)) == [(5, "lfads_core.infer.run"), (6, "lfads_core.cli.main.main"), (7, "lfads_core.model")]
