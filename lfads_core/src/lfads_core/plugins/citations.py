"""BibTeX of what a model is made of: entries of packages' ``citations.bib``, and those that records bring along in ``cites``."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterable, Mapping
from importlib import resources

from attrs import frozen

_START = re.compile(r"@\s*\w+\s*\{\s*([^\s,{}\"#%~\\]+)\s*,")

FILE = "citations.bib"
"""Where a plugin's package may keep entries that it and others cite by key."""

LFADS = ("sussillo2016", "pandarinath2018")
"""What every use of LFADS cites."""


@frozen
class Cited:
    """One citation: a key, or a whole entry; and by whom."""

    cite: str
    by: str


def citation_key(cite: str) -> str:
    """The key of a BibTeX entry; a bare key is its own.

    Raises:
        ValueError: it begins as an entry does, but is not exactly one.
    """
    if not cite.lstrip().startswith("@"):
        return cite
    (key,) = parse_bibtex(cite) or [""]
    if not key:
        raise ValueError(f"must be one BibTeX entry such as '@article{{doe2025, title = {{...}}}}', got {cite[:60]!r}")
    return key


def parse_bibtex(text: str) -> dict[str, str]:
    """Split a BibTeX file into entries by key, as they are written.

    Raises:
        ValueError: a key stands twice, or braces do not match.
    """
    entries: dict[str, str] = {}
    at = 0
    while start := _START.search(text, at):
        depth, at = 0, start.start()
        for end in range(text.index("{", at), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                break
        else:
            raise ValueError(f"every '{{' must have its '}}', got an open end in the entry {start[1]!r}")
        if start[1] in entries:
            raise ValueError(f"every key must stand once, got {start[1]!r} twice")
        entries[start[1]] = text[at : end + 1]
        at = end + 1
    return entries


@functools.cache
def bibliography(packages: tuple[str, ...]) -> Mapping[str, str]:
    """Entries by key of the file ``citations.bib`` of each Python package that has one; earlier packages win, a broken file is one warning."""
    entries: dict[str, str] = {}
    for package in packages:
        try:
            file = resources.files(package) / FILE
            found = parse_bibtex(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except TypeError:  # a plugin of one module has no folder
            continue
        except (ValueError, OSError) as err:
            logging.getLogger("lfads").warning("%s of %s: left out (%s)", FILE, package, err)
            continue
        entries = {**found, **entries}
    return entries


def bibtex(cited: Iterable[Cited], known: Mapping[str, str]) -> str:
    """BibTeX of everything that is cited, each entry once, led by a comment that says by whom; ``known`` are entries by key.

    A key without an entry becomes a comment that says so.
    """
    by: dict[str, list[str]] = {}
    entries = dict(known)
    for item in cited:
        key = citation_key(item.cite)
        if key != item.cite:
            entries.setdefault(key, item.cite.strip())
        by.setdefault(key, [])
        if item.by not in by[key]:
            by[key].append(item.by)
    blocks = [f"% {', '.join(names)}\n{entries.get(key, f'% {key}: there is no BibTeX entry of this key')}" for key, names in by.items()]
    return "\n\n".join(blocks)
