"""The examples of docs/plugins.md obey the laws of their kinds, and the page says how to make and check a plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from lfads_core.scaffold.make import KINDS, make_plugin
from lfads_core.testing import Given, try_laws
from plugins_page import PAGE, PLUGINS, registry_with

ENTRIES = {f"{entry.kind} {entry.spec.name}": entry for entry in registry_with(*PLUGINS).entries if entry.provider.entry_point in PLUGINS}


@pytest.mark.long
@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_an_example_of_the_page_obeys_the_laws_of_its_kind(entry):
    findings = try_laws(entry.spec, Given(registry=registry_with(*PLUGINS)))
    assert {finding.law: finding.faults for finding in findings if not finding.ok} == {}


@pytest.mark.long
def test_the_test_of_the_page_passes_in_the_repository_that_the_page_makes(tmp_path):
    root = make_plugin("laplace", "prior", tmp_path)
    (block,) = re.findall(r"```python\n# test_laplace.py\n(.*?)```", PAGE, flags=re.DOTALL)
    (root / "tests" / "test_laplace.py").write_text(block, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=root, capture_output=True, text=True, check=False, env=environment)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_the_page_names_every_kind_that_has_a_template():
    (line,) = re.findall(r"`--kind` is one of (.*)\.", PAGE)
    assert re.findall(r"`([\w-]+)`", line) == list(KINDS)
