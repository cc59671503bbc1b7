"""The two files of docs/plugins.md, built and installed by pip as a stranger's package would be."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lfads_core.track.fitlog import read_fitlog

pytestmark = pytest.mark.slow

Lfads = Callable[..., subprocess.CompletedProcess[str]]


def write_files_of_the_tutorial(root: Path, folder: Path) -> None:
    """Write the prior and its pyproject as they stand on the page; a block's first line is its file's name."""
    page = (root / "docs" / "plugins.md").read_text(encoding="utf-8")
    for name in ("lfads_laplace.py", "pyproject.toml"):
        (content,) = re.findall(rf"```\w+\n# {re.escape(name)}\n(.*?)```", page, flags=re.DOTALL)
        (folder / name).write_text(content, encoding="utf-8")


@pytest.fixture(scope="module")
def lfads(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Lfads:
    """``lfads(*arguments, cwd=...)`` runs the command in a process of its own that sees the third-party package."""
    pytest.importorskip("setuptools", reason="setuptools builds the package; without build isolation it must be installed")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    write_files_of_the_tutorial(root, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index"]
    done = subprocess.run([*pip, "--target", target, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    environment = {name: value for name, value in os.environ.items() if name != "LFADS_PLUGINS"} | {"PYTHONPATH": str(target)}

    def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lfads_core.cli.main", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=cwd or source.parent)

    return run


def test_the_prior_is_listed_with_its_distribution(lfads):
    done = lfads("plugins", "list")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "laplace" in line]
    assert re.split(r"\s{2,}", line.strip()) == ["prior", "laplace", "Mostly small values, few large ones", "lfads-laplace 0.1"]


def test_the_prior_is_listed_as_json_without_faults(lfads):
    data = json.loads(lfads("plugins", "list", "--json").stdout)
    (entry,) = [entry for entry in data["components"] if entry["name"] == "laplace"]
    assert (entry["distribution"], entry["version"], entry["entry_point"]) == ("lfads-laplace", "0.1", "laplace")
    assert [fault for fault in data["faults"] if fault["distribution"] == "lfads-laplace"] == []


def test_the_prior_shows_its_setting(lfads):
    text = lfads("plugins", "show", "laplace").stdout
    assert "from lfads-laplace 0.1 (entry point 'laplace')" in text
    assert "mean distance from zero" in text


def test_the_prior_trains(lfads, write_tiny, tiny_settings, tmp_path):
    sets = [part for setting in (*tiny_settings, "components.input_prior=laplace", "components.input_prior.scale=0.3") for part in ("--set", setting)]
    done = lfads("run", str(write_tiny()), *sets, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = read_fitlog(tmp_path / "runs/tiny/fitlog.csv")
    assert len(log["epoch"]) == 5
    assert all(math.isfinite(value) and value > 0 for value in log["train/input_kl"])
    assert "name: laplace" in (tmp_path / "runs/tiny/config.yaml").read_text()
