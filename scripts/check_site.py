"""``python scripts/check_site.py docs docs/_build/html``: does every page show its own heading and whole docstrings, and fit a desk and a phone?

A page whose HTML another one overwrites is lost without a warning: ``search.md`` is, by the site's own search. A table that is too wide must scroll
inside itself, never the page; where there is no Chromium this is not looked at. Exits with a sentence and status 1.
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

WIDTHS = (1280, 390)
"""Of a window on a desk and on a phone, in px."""


def first_heading(page: Path) -> str:
    """Text of a Markdown page's first heading, without its marks."""
    text = re.sub(r"^---\n.*?\n---\n", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.search(r"^# (.+)$", text, flags=re.MULTILINE)
    return re.sub(r"[`*]", "", found.group(1)).strip() if found else ""


def shown_heading(page: Path) -> str:
    """Text of an HTML page's first heading."""
    found = re.search(r"<h1[^>]*>(.*?)<a class=\"headerlink\"", page.read_text(encoding="utf-8"), flags=re.DOTALL) if page.is_file() else None
    return html.unescape(re.sub(r"<[^>]+>", "", found.group(1))).strip() if found else "nothing"


def lost(sources: Path, site: Path) -> list[str]:
    """A sentence for each page of ``sources`` that ``site`` does not show."""
    faults = []
    for page in sorted(sources.rglob("*.md")):
        name = page.relative_to(sources)
        if name.parts[0].startswith("_"):
            continue
        wanted, shown = first_heading(page), shown_heading(site / name.with_suffix(".html"))
        if not wanted or shown != wanted:
            faults.append(f"{name}: its page must begin with {wanted!r}, got {shown!r}")
    return faults


def misread(site: Path) -> list[str]:
    """A sentence for each page on which a docstring was cut at its colon: of an attribute, what stands before one is taken for its type."""
    pages = [page for page in sorted(site.rglob("*.html")) if re.search(r'<dt class="field-\w+">Type<', page.read_text(encoding="utf-8"))]
    return [f"{page.relative_to(site)}: an attribute's docstring must have no colon in its first line, got one that was cut there" for page in pages]


def sideways(site: Path) -> list[str]:
    """A sentence for each page of ``site`` that must be moved sideways to be read."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
    import browser

    if (why := browser.missing()) is not None:
        print(f"check_site: whether pages fit a phone was not looked at: {why}")
        return []
    faults = []
    with browser.browsing() as window:
        for width in WIDTHS:
            window.size(width, 900)
            for page in sorted([*site.glob("*.html"), *site.glob("tutorials/*.html")]):
                window.go(page.resolve().as_uri())
                needed = int(window.script("return document.documentElement.scrollWidth"))
                if needed > width:
                    faults.append(f"{page.relative_to(site)}: must fit {width} px, needs {needed}. Let what is wide scroll inside itself.")
    return faults


if __name__ == "__main__":
    sources, site = map(Path, sys.argv[1:])
    sys.exit("\n".join([*lost(sources, site), *misread(site), *sideways(site)]) or 0)
