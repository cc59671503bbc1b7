"""The page on Python shows everything that is public; its examples are run with those of all pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lfads_core as lf
from lfads_core.front.plots import RunPlots
from lfads_core.front.search import SearchPlots
from lfads_core.infer.loading import LoadedRun

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
CODE = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL))
INSIDE = {
    "of",
    "ensure_inferred",
    "registry",
    "run",
    "description",
    "checkpoint",
    "chosen",
    "infer_stack",
    "default_samples",
    "output_attributes",
    "search",
}
"""What other code uses of these classes."""


def public(cls):
    return {name for name in vars(cls) if not name.startswith("_")}


@pytest.mark.parametrize("cls", [lf.Recording, lf.TrainedRun, LoadedRun, RunPlots, lf.SearchResult, SearchPlots], ids=lambda cls: cls.__name__)
def test_every_public_member_is_in_an_example(cls):
    used = set(re.findall(r"\.(\w+)", CODE))
    assert public(cls) - used - INSIDE == set()


def test_every_public_name_is_in_an_example_and_every_parameter_of_the_estimator_is_named():
    errors = {name for name in lf.__all__ if name.endswith("Error")}
    assert {name for name in lf.__all__ if f"lf.{name}" not in CODE} - errors == {"TrainedRun", "__version__"}
    assert {name for name in lf.LFADS().get_params() if f"`{name}`" not in PAGE} == set()
