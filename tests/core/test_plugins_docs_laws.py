"""The examples of docs/plugins.md obey the laws of their kinds, and the page says how to make and check a plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lfads_core.plugins import Registry
from lfads_core.plugins.registry import Entry
from lfads_core.scaffold.make import KINDS, make_plugin
from lfads_core.testing import Given, try_laws

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
COPIES = "copies give the same"
"""The law that a class defined inside of a function cannot obey; the page says so."""


def entries() -> dict[str, Entry]:
    found = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        name = block.splitlines()[0].removeprefix("# ")
        if name.startswith("test_"):
            continue
        module = ModuleType(name.removesuffix(".py"))
        sys.modules[module.__name__] = module  # where pickle looks for a class
        exec(compile(block, name, "exec"), module.__dict__)
        for entry in Registry.from_plugins({name: module}).entries:
            found[f"{entry.kind} {entry.spec.name}"] = entry
    return found


ENTRIES = entries()


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_an_example_of_the_page_obeys_the_laws_of_its_kind(entry):
    findings = try_laws(entry.spec, Given())
    broken = {finding.law: finding.faults for finding in findings if not finding.ok}
    copies = broken.pop(COPIES, ("Define its class at the top of a module",))
    assert broken == {}
    assert "Define its class at the top of a module" in copies[0]


def test_the_test_of_the_page_passes_in_the_repository_that_the_page_makes(tmp_path):
    root = make_plugin("laplace", "prior", tmp_path)
    (block,) = re.findall(r"```python\n# test_laplace.py\n(.*?)```", PAGE, flags=re.DOTALL)
    (root / "tests" / "test_laplace.py").write_text(block, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=root, capture_output=True, text=True, check=False, env=environment)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_the_page_names_every_kind_that_has_a_template():
    (line,) = re.findall(r"`--kind` is one of (.*)\.", PAGE)
    assert re.findall(r"`(\w+)`", line) == list(KINDS)
