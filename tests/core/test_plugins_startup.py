"""What is quick to start stays quick: importing and listing load none of the heavy packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "ray", "mlflow", "matplotlib", "scipy", "h5py")

IMPORTS = ["lfads_core", "lfads_core.plugins", "lfads_core.cli.main"]
PLUGIN_MODULES = ["lfads_plugins_std.plugin", "lfads_plugins_calcium.plugin", "lfads_plugins_emg.plugin"]
COMMAND_LINES = ["--help", "--version", "plugins --help", "plugins list", "plugins list --json", "plugins show poisson"]


def loaded(statements: str) -> str:
    """The heavy packages in a fresh process after these statements."""
    code = f"import sys\n{statements}\nprint('heavy:', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("module", IMPORTS)
def test_importing_loads_nothing_heavy(module):
    assert loaded(f"import {module}") == "heavy:"


@pytest.mark.parametrize("module", PLUGIN_MODULES)
def test_importing_the_plugin_module_loads_nothing_heavy(module):
    pytest.importorskip(module.split(".")[0], reason="this distribution is not installed")
    assert loaded(f"import {module}") == "heavy:"


@pytest.mark.long
@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_light_command_loads_nothing_heavy(line):
    if "poisson" in line:
        pytest.importorskip("lfads_plugins_std", reason="lfads-plugins-std is not installed")
    assert loaded(f"from lfads_core.cli.main import cli\ncli({line.split()!r}, standalone_mode=False)") == "heavy:"


def test_listing_as_json_does_not_load_rich():
    code = "from lfads_core.cli.main import cli\ncli(['plugins', 'list', '--json'], standalone_mode=False)\nHEAVY = None"
    assert loaded(code + "\nif 'rich' in sys.modules: raise SystemExit('rich was loaded')") == "heavy:"
