"""``python scripts/check_site.py docs docs/_build/html``: does every page of the sources show its own first heading in the site?

A page whose HTML another one overwrites is lost without a warning: ``search.md`` is, by the site's own search. Exits with a sentence and
status 1.
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path


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


if __name__ == "__main__":
    faults = lost(*map(Path, sys.argv[1:]))
    sys.exit("\n".join(faults) or 0)
