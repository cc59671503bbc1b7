"""Write the pages for users of other implementations of LFADS, ``docs/coming-from*.md``, from ``docs/features.toml``.

``python scripts/coming_from.py`` writes them; a test compares them with what it would write.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
GROUPS = {
    "M": "Model",
    "P": "Priors, reconstructions, augmentations",
    "D": "Data",
    "S": "Synthetic data",
    "O": "Training",
    "I": "Inference and outputs",
    "H": "Hyperparameters at scale",
    "E": "Evaluation, plots, documentation",
    "X": "Beyond them",
}


@dataclass(frozen=True)
class Predecessor:
    """Whom a page is for: the end of its file's name, how it is called, and how to begin."""

    slug: str
    name: str
    begin: str


PREDECESSORS = {
    "T": Predecessor(
        "tf1",
        "LFADS in TensorFlow 1",
        "Files with `train_data` and `valid_data` are read as they are. `lfads config import hyperparameters-0.txt -o mine.yaml` turns the "
        "flags of a run into settings and says what has no counterpart.",
    ),
    "R": Predecessor(
        "run-manager",
        "LFADS Run Manager",
        "Datasets, run collections and sweeps are [collections](collections.md); alignment matrices are made by "
        "[`lfads data align`](stitching.md#alignment). `lfads config import hyperparameters-0.txt -o mine.yaml` takes over the parameters of a run; "
        "results go back to Matlab by [`lfads export`](outputs.md).",
    ),
    "L": Predecessor(
        "lfads-torch",
        "lfads-torch",
        "Files of data are read as they are, sizes come from them. `lfads config import model.yaml -o mine.yaml` turns the model's settings into "
        "ours and says what has no counterpart. Modules of your own become [plugins](plugins.md).",
    ),
    "2": Predecessor(
        "autolfads-tf2",
        "autolfads-tf2",
        "Files of data are read as they are. `lfads config import config.yaml -o mine.yaml` turns `MODEL` and `TRAIN` into our settings; searches "
        "are [`lfads search pbt`](searching.md), which needs no cluster.",
    ),
    "N": Predecessor(
        "autolfads-deploy",
        "AutoLFADS on NeuroCAAS and autolfads-deploy",
        "A file of data and a file of settings in, one zip out is [`lfads bundle`](bundle.md); clusters are in [launching](launch.md).",
    ),
    "B": Predecessor(
        "nlb-tools",
        "nlb_tools",
        "NWB files become data by [`lfads data make`](raw.md); the benchmark's scores, equal to its own to rounding, are in "
        "[`lfads eval`](evaluation.md).",
    ),
}


def read_features(path: Path = DOCS / "features.toml") -> dict[str, dict[str, object]]:
    """Entries by code, in the order of the file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def pages(features: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Text of every page by its file's name."""
    made = {f"coming-from-{who.slug}.md": _page(letter, who, features) for letter, who in PREDECESSORS.items()}
    beyond = {code: entry for code, entry in features.items() if not entry["from"]}
    lines = [
        "# Coming from another implementation",
        "",
        "What the implementation you know does, and the command, setting or call that does it here. The tests that would fail if a row were lost",
        "are listed at the end of each page.",
        "",
        *(
            f"- [{who.name}](coming-from-{who.slug}.md): {sum(letter in str(entry['from']) for entry in features.values())} rows."
            for letter, who in PREDECESSORS.items()
        ),
        "",
        "`lfads config import` reads the settings of three of them; [settings](settings.md#from-another-implementation) says how.",
        "These pages are generated from `docs/features.toml` by `python scripts/coming_from.py`.",
        *_tables(beyond),
    ]
    return {"coming-from.md": "\n".join(lines) + "\n", **made}


def _page(letter: str, who: Predecessor, features: Mapping[str, Mapping[str, object]]) -> str:
    rows = {code: entry for code, entry in features.items() if letter in str(entry["from"])}
    intro = [f"# Coming from {who.name}", "", who.begin, "", "Generated from `docs/features.toml`; [the other implementations](coming-from.md)."]
    return "\n".join([*intro, *_tables(rows)]) + "\n"


def _tables(rows: Mapping[str, Mapping[str, object]]) -> list[str]:
    lines: list[str] = []
    for letter, title in GROUPS.items():
        group = [_row(code, entry) for code, entry in rows.items() if code[0] == letter]
        if group:
            lines += ["", f"## {title}", "", "| | what it is | here |", "|---|---|---|", *group]
    return [*lines, *_guards(rows)]


def _row(code: str, entry: Mapping[str, object]) -> str:
    here = str(entry["here"]) + (f". Lacking: {entry['lacking']}" if "lacking" in entry else "")
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in (code, str(entry["was"]), here)) + " |"


def _guards(rows: Mapping[str, Mapping[str, object]]) -> list[str]:
    """The tests of every row, folded away: users read what is there, developers what holds it."""
    lines = ["", "<details>", "<summary>Tests that guard each row</summary>", ""]
    for code, entry in rows.items():
        tests = entry["tests"]
        assert isinstance(tests, list)
        lines += [f"- {code}", *(f"  - `tests/{test}`" for test in tests)]
    return [*lines, "", "</details>"]


def spans(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def main() -> int:
    """Write all pages."""
    for name, text in pages(read_features()).items():
        (DOCS / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{DOCS / name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
