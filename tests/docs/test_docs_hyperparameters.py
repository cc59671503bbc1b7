"""The page of hyperparameters holds every setting under how often it is tuned, and the page of hooks every hook."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path

import attrs
import pytest

from lfads_core.cli.given import RECORDS, given_page
from lfads_core.config.explain import explain
from lfads_core.plugins import reference
from lfads_core.plugins.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "hyperparameters.md").read_text(encoding="utf-8")
REGISTRY = Registry.from_installed()
KINDS = ("reconstruction", "prior", "augmentation", "readin", "readout", "encoder", "generator", "latent", "loss", "alignment")


def sections():
    """Names of settings by the heading they stand under."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:]
    return {title.lower(): re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE) for title, text in zip(parts[::2], parts[1::2], strict=True)}


def test_the_page_holds_every_setting_and_component_setting_once_with_its_label():
    wanted = {e.key: e.tuning for e in explain(None, REGISTRY) if not e.is_group and not e.key.startswith(("search.", "track.", "infer."))}
    for found in REGISTRY.entries:
        if found.kind in KINDS:
            for field in attrs.fields(found.spec.config):
                wanted[f"{found.kind} {found.spec.name}: {field.name}"] = field.metadata.get("tune") or "rarely"
    stand = {title: names for title, names in sections().items() if title in {"often", "sometimes", "rarely"}}
    assert sorted(name for names in stand.values() for name in names) == sorted(wanted)
    assert {name: title for title, names in stand.items() for name in names} == wanted


def test_what_a_search_suggests_is_on_the_page():
    row = next(line for line in PAGE.splitlines() if line.startswith("| `model.dropout` |"))
    assert "| `uniform:0:0.6` |" in row


def test_the_page_of_hyperparameters_is_up_to_date():
    spec = importlib.util.spec_from_file_location("hyperparameters", ROOT / "scripts" / "hyperparameters.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.page(REGISTRY) == PAGE, "run: python scripts/hyperparameters.py > docs/hyperparameters.md"


def test_the_page_of_hooks_is_up_to_date():
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    assert reference.reference_page() == page, "run: python -m lfads_core.plugins.reference > docs/hooks.md"


def test_the_page_of_what_plugins_are_given_is_up_to_date():
    assert given_page() == (ROOT / "docs" / "given.md").read_text(encoding="utf-8"), "run: python -m lfads_core.cli.given > docs/given.md"


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_every_field_of_what_plugins_are_given_has_its_row(cls):
    section = given_page().split(f"\n### {cls.__name__}\n")[1].split("\n##")[0]
    assert re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE) == [field.name for field in dataclasses.fields(cls)]
