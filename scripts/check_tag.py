"""``python scripts/check_tag.py v0.1.0``: is the tag the version of every package? Exits with a sentence and status 1 if not."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def versions() -> dict[str, str]:
    """Version of each package by its folder."""
    found = sorted(ROOT.glob("lfads_*/pyproject.toml"))
    return {path.parent.name: tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"] for path in found}


def main(tag: str) -> None:
    """Compare."""
    others = {name: version for name, version in versions().items() if f"v{version}" != tag}
    if others:
        sys.exit(f"check_tag: the tag must be 'v' and the version of every package, got {tag!r} where {others}.")


if __name__ == "__main__":
    main(sys.argv[1])
