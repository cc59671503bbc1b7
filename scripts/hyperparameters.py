"""Write ``docs/hyperparameters.md``: every setting of a run and of its components, by how often people tune it.

``python scripts/hyperparameters.py > docs/hyperparameters.md``; a test compares the page with what it would write.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from lfads_core.config.explain import Explanation, explain
from lfads_core.config.places import places
from lfads_core.config.spaces import SpaceConfig
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import (
    AlignmentSpec,
    AugmentationSpec,
    EncoderSpec,
    GeneratorSpec,
    LatentSpec,
    LossSpec,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    ReconstructionSpec,
)
from lfads_plugins_tune.search.spaces_of import text_of

RECORDS = (ReconstructionSpec, PriorSpec, AugmentationSpec, ReadinSpec, ReadoutSpec, EncoderSpec, GeneratorSpec, LatentSpec, LossSpec, AlignmentSpec)
HEADINGS = {
    "often": ("Often", "What a search begins with. If you tune nothing else, tune these."),
    "sometimes": ("Sometimes", "Worth a look when data are small, large or unusual."),
    "rarely": ("Rarely", "The defaults are those of publications, or decide about other things than the fit."),
}
ELSEWHERE = ("search.", "track.", "infer.")
"""Groups that do not change what is trained."""


def rows(registry: Registry) -> Iterator[tuple[str, Explanation, SpaceConfig | None]]:
    """Name, explanation and suggested space of each setting; a component's are called ``component.setting``."""
    metadata: dict[str, Mapping[str, Any]] = {".".join(map(str, place.path)): place.setting.attribute.metadata for place in places()}
    for entry in explain(None, registry):
        if not entry.is_group and not entry.key.startswith(ELSEWHERE):
            yield entry.key, entry, _space(metadata[entry.key])
    seen = set()
    for found in registry.entries:
        if not isinstance(found.spec, RECORDS):
            continue
        fields = {field.name: field.metadata for field in attrs.fields(found.spec.config)}
        for entry in explain(found.spec.name, registry):
            setting = entry.key.rpartition(".")[2]
            name = f"{found.kind} {found.spec.name}: {setting}"
            if not entry.is_group and setting in fields and name not in seen and found.kind in entry.key.split(".")[1]:
                seen.add(name)
                yield name, entry, _space(fields[setting])


def _space(metadata: Mapping[str, Any]) -> SpaceConfig | None:
    space = metadata.get("search")
    return space if isinstance(space, SpaceConfig) else None


def page(registry: Registry) -> str:
    """The page, ended by a newline."""
    lines = [
        "# Hyperparameters",
        "",
        "What each does, its default, what it may be, where [a search](searching.md) looks for it by itself, and how often people tune it.",
        "The tables are made by",
        "`python scripts/hyperparameters.py > docs/hyperparameters.md` from the same source as `lfads config explain KEY` and",
        "`lfads plugins show NAME`.",
        "Settings of components are written `kind component: setting`. [Settings](settings.md) says what the scales mean, [questions](faq.md)",
        "what to try first.",
    ]
    every = list(rows(registry))
    for label, (title, about) in HEADINGS.items():
        lines += ["", f"## {title}", "", about, "", "| setting | default | must be | searched | unit | meaning |", "|---|---|---|---|---|---|"]
        lines += [_row(*row) for row in every if row[1].tuning == label]
    return "\n".join(lines) + "\n"


def _row(name: str, entry: Explanation, space: SpaceConfig | None) -> str:
    searched = f"`{text_of(space)}`" if space else ""
    cells = (f"`{name}`", f"`{entry.default}`", entry.must_be, searched, entry.unit, entry.meaning)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(page(Registry.from_installed()))
