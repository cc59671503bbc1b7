"""Every option of every command and every setting has a test that fails once it is ignored; ``acting.toml`` says which."""

from __future__ import annotations

import ast
import fnmatch
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from command_lines import every_command
from ignoring import ignoring, options, settings
from lfads_core.config.load import resolve
from lfads_core.plugins import load_registry
from proving import guards

ROOT = Path(__file__).resolve().parents[2]
NAMES = {*options(), *settings()}


def test_every_option_and_setting_is_guarded_by_one_test():
    named = Counter(name for names in guards().values() for pattern in names for name in fnmatch.filter(NAMES, pattern))
    assert sorted(NAMES - set(named)) == [], "write a test of what it does, and a line in tests/end_to_end/acting.toml"
    assert [name for name, times in named.items() if times > 1] == []
    assert [pattern for names in guards().values() for pattern in names if not fnmatch.filter(NAMES, pattern)] == []


def test_the_tests_that_are_named_are_there():
    for guard in guards():
        path, _, name = guard.partition("::")
        functions = [node.name for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
        assert functions.count(name) == 1, guard


def test_what_is_ignored_keeps_its_default_and_nothing_else_does():
    def resolved():
        config = resolve([], (), ["optim.lr=0.5", "optim.eps=0.1", "components.ic_prior={name: normal, mean: 3, variance: 2}"], load_registry())
        return config.optim.lr, config.optim.eps, config.components.ic_prior.settings.mean, config.components.ic_prior.settings.variance

    assert resolved() == (0.5, 0.1, 3, 2)
    with ignoring("optim.lr"):
        assert resolved() == (0.004, 0.1, 3, 2)
    with ignoring("prior normal: mean"):
        assert resolved() == (0.5, 0.1, 0, 2)
    assert resolved() == (0.5, 0.1, 3, 2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", sorted({guard.partition("::")[0] for guard in guards()}))
def test_once_it_is_ignored_its_test_fails(path):
    """Each test again with each of its options and settings ignored, one at a time, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "proving", "-p", "no:cacheprovider", "-o", "timeout=0", path]
    places = os.pathsep.join([str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": places}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_every_command_says_how_it_is_used(command, invoke):
    assert invoke(*command, "--help").startswith(f"Usage: cli {' '.join(command)}".rstrip())
