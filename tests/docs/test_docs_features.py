"""Every capability of the predecessors has its row, a command that is accepted, and tests that exist."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

import pytest

from lfads_core.config.explain import explain
from lfads_core.config.load import resolve
from lfads_core.plugins.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = Registry.from_installed()
HOW_MANY = {"M": 15, "P": 20, "D": 13, "S": 7, "O": 12, "I": 11, "H": 13, "E": 6, "X": 12}
"""Capabilities of each group, counted when the list was drawn up: a row that is taken out is noticed."""
LACKING: set[str] = set()
"""Rows of which a part is not here; the page says which part."""
GROUPS = r"(?:data|model|components|optim|regularisation|train|validation|infer|search)"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


SCRIPT = load(ROOT / "scripts" / "coming_from.py")
COMMANDS = load(ROOT / "tests" / "docs" / "test_docs_commands.py")
FEATURES = SCRIPT.read_features()
EACH = pytest.mark.parametrize("code", FEATURES)


@cache
def names_in(path: str) -> set[str]:
    """Names of the test functions of a file, without running it."""
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_capability_has_its_row():
    assert list(FEATURES) == [f"{letter}{number}" for letter, count in HOW_MANY.items() for number in range(1, count + 1)]
    assert {code for code, entry in FEATURES.items() if "lacking" in entry} == LACKING
    assert {code for code, entry in FEATURES.items() if not entry["from"]} == {f"X{number}" for number in range(1, HOW_MANY["X"] + 1)}


def test_the_rows_are_those_of_the_list_they_were_drawn_from(shared):
    path = shared / "FEATURES.md"
    if not path.is_file():
        pytest.skip("no list of capabilities beside the repository")
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"\b([MPDSOIHEX]\d+)\b", text)) == set(FEATURES)
    tags = dict(re.findall(r"\b([MP]\d+) ([TRL2NB]+) [A-Zac-z]", text))
    assert len(tags) > 10
    assert {code: tag for code, tag in tags.items() if set(tag) != set(FEATURES[code]["from"])} == {}


@EACH
def test_a_row_is_whole_and_its_tests_exist(code):
    entry = FEATURES[code]
    assert entry.keys() - {"lacking"} == {"from", "was", "here", "tests"}
    assert set(entry["from"]) <= set(SCRIPT.PREDECESSORS)
    assert entry["was"]
    assert entry["tests"]
    missing = [test for test in entry["tests"] if test.partition("::")[2] not in names_in(test.partition("::")[0])]
    assert missing == []


@EACH
def test_what_a_row_names_is_accepted(code):
    """Commands are parsed, settings resolved or explained; a row names at least one thing or page."""
    here = FEATURES[code]["here"]
    for span in SCRIPT.spans(here):
        if span.startswith("lfads "):
            command, params = COMMANDS.parsed(span)
            if {"plugins", "overrides"} <= params.keys() and not params.get("resume"):
                resolve([], params["plugins"], params["overrides"], REGISTRY)
            if command.name == "show" and params.get("name"):
                assert any(found.spec.name == params["name"] for found in REGISTRY.entries)
            if command.name == "synth":
                assert any(found.kind == "synthetic" and found.spec.name == params["name"] for found in REGISTRY.entries)
        elif re.match(rf"{GROUPS}\.[\w.]+=", span):
            resolve([], [], [span], REGISTRY)
        elif re.fullmatch(rf"{GROUPS}\.[\w.]+", span) and span != "data.min_trials":  # a key of collections
            assert explain(span, REGISTRY), span
    assert SCRIPT.spans(here) or "](" in here


def test_the_pages_are_up_to_date():
    stale = [name for name, text in SCRIPT.pages(FEATURES).items() if (ROOT / "docs" / name).read_text(encoding="utf-8") != text]
    assert stale == [], "run: python scripts/coming_from.py"


def test_a_test_that_is_gone_would_be_noticed():
    assert "test_the_pages_are_up_to_date" in names_in("docs/test_docs_features.py")
    assert "test_that_nobody_wrote" not in names_in("docs/test_docs_features.py")
