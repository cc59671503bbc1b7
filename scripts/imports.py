"""Draw who imports whom, in docs/architecture.md: the distributions, and the folders of core from the top downwards.

``python scripts/imports.py`` puts the drawing between its marks; a test compares the page with what it would write. Imports are read as
``tests/test_import_rules.py`` reads them, which holds the rules.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from test_import_rules import ABOVE_ALL, LAYERS, PACKAGES, imported  # noqa: E402 - tests are no package

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- made by python scripts/imports.py -->\n", "<!-- end -->\n"
Arrows = Mapping[str, set[str]]


def between_distributions() -> Arrows:
    """Packages that each package imports."""
    found = {package: {name.partition(".")[0] for path in _files(ROOT / package / "src") for _, name in imported(path)} for package in PACKAGES}
    return {package: names - {package} for package, names in found.items()}


def within_core() -> Arrows:
    """Folders that each folder of core imports; the single files below them are left out, for everything may import those."""
    core = ROOT / "lfads_core" / "src" / "lfads_core"
    folders = [name for layer in LAYERS[1:] for name in layer]
    found = {folder: {name.split(".")[1] for path in _files(core / folder) for _, name in imported(path) if "." in name} for folder in folders}
    return {folder: names & set(folders) - {folder} - ABOVE_ALL for folder, names in found.items()}


def reduced(arrows: Arrows) -> Arrows:
    """Without arrows to what another arrow leads to anyway."""

    def beyond(name: str) -> set[str]:
        return arrows[name].union(*map(beyond, arrows[name]))

    return {name: to - {far for near in to for far in beyond(near)} for name, to in arrows.items()}


def drawing() -> str:
    """The whole block of text."""
    packages = _rows(reduced(between_distributions()), sorted(PACKAGES, reverse=True))
    folders = _rows(reduced(within_core()), [name for layer in reversed(LAYERS[1:]) for name in sorted(layer)])
    return f"```text\n{packages}\n{folders}```\n"


def _rows(arrows: Arrows, names: Iterable[str]) -> str:
    width = max(map(len, arrows))
    lines = (f"{name:<{width}}  {'-> ' + ', '.join(sorted(arrows[name])) if arrows[name] else ''}" for name in names)
    return "".join(line.rstrip() + "\n" for line in lines)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def page(text: str) -> str:
    """The page with the drawing as it is now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + drawing() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
