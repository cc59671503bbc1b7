"""Every link in the documentation leads somewhere, and every page can be found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/hooks/*.md"), *ROOT.glob("docs/tutorials/*.md"), *ROOT.glob("lfads_*/README.md")]
)
LARGEST_FIGURE = 150_000


def prose(path: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Names of a page's headings as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(path: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page):
    dead = []
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_every_page_is_linked_from_the_index_and_the_index_from_the_readme():
    linked = {link.partition("#")[0] for link in links(ROOT / "docs" / "index.md")}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= linked
    assert "docs/index.md" in links(ROOT / "README.md")


def test_every_page_has_its_place_in_the_site():
    listed: list[str] = []
    for page in [ROOT / "docs" / f"{name}.md" for name in ("index", "tutorials", "plugins")]:
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE):
            listed += [line for line in block.splitlines() if line and not line.startswith(":")]
    pages = [page for folder in ("", "tutorials", "hooks") for page in (ROOT / "docs" / folder).glob("*.md")]
    assert sorted(listed) == sorted(str(page.relative_to(ROOT / "docs").with_suffix("")) for page in pages if page.name != "index.md")


def test_figures_are_small_and_shown_somewhere():
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    for figure in (ROOT / "docs" / "img").iterdir():
        assert figure.stat().st_size < LARGEST_FIGURE, figure
        assert figure in shown, figure


def test_every_module_that_a_page_names_exists():
    sources = [ROOT, *ROOT.glob("lfads_*/src/lfads_*")]
    missing = []
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "hooks").glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        files = re.findall(r"(?<![\w/<])([a-z_]+/[a-z_]+\.py)\b", text)
        folders = [name for name in re.findall(r"`([a-z_]+)/`", text) if name not in {"plots", "docs"}]
        named = [*files, *folders]
        missing += [f"{page.name}: {name}" for name in named if not any((at / name.removeprefix("lfads_core/")).exists() for at in sources)]
    assert missing == []


def exists(name: str) -> bool:
    """Whether a dotted name is a module of ours, or stands in one."""
    package, *parts = name.split(".")
    place = ROOT / package / "src" / package
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    if parts and place.joinpath(f"{parts[0]}.py").is_file():
        place = place / f"{parts.pop(0)}.py"
    text = (place / "__init__.py" if place.is_dir() else place).read_text(encoding="utf-8")
    return all(re.search(rf"\b{part}\b", text) for part in parts)


def test_every_dotted_name_of_ours_on_a_page_leads_to_a_module_and_what_is_in_it():
    missing = []
    for page in PAGES:
        for name in re.findall(r"\blfads_(?:core|plugins_[a-z]+)(?:\.\w+)+", page.read_text(encoding="utf-8")):
            if not exists(name):
                missing.append(f"{page.name}: {name}")
    assert missing == []


def test_a_dotted_name_that_leads_nowhere_would_be_noticed():
    assert exists("lfads_core.plugins.specs.PriorSpec")
    assert not exists("lfads_core.plugins.nowhere")
    assert not exists("lfads_core.plugins.specs.NoSuchSpec")
