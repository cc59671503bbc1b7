"""The page on the architecture: its drawing of imports is made from the code, and names every layer of core."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SPEC = importlib.util.spec_from_file_location("imports", ROOT / "scripts" / "imports.py")
SCRIPT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SCRIPT)


@pytest.mark.long
def test_the_drawing_of_imports_is_up_to_date():
    assert SCRIPT.BEGIN in PAGE
    assert SCRIPT.page(PAGE) == PAGE, "run: python scripts/imports.py"


def test_an_arrow_is_left_out_only_where_others_lead_there():
    assert SCRIPT.reduced({"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}


def test_every_folder_of_core_is_in_the_drawing_and_every_single_file_in_the_sentence_above_it():
    before, _, rest = PAGE.partition(SCRIPT.BEGIN)
    drawn = re.findall(r"^(\w+)", rest.partition(SCRIPT.END)[0], flags=re.MULTILINE)
    assert {name for layer in SCRIPT.LAYERS[1:] for name in layer} <= set(drawn)
    assert [name for name in SCRIPT.LAYERS[0] if f"`{name}`" not in before] == []
