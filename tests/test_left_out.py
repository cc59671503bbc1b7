"""Packages of this project that are not loaded: their verbs say why, their settings are passed over with a note, the rest goes on."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import yaml

import lfads_core
from foreign_site import lfads, write_tiny
from lfads_core.config import groups
from lfads_core.plugins import load_registry
from old_runs import unpack

VERBS = {
    "search": "lfads-plugins-tune",
    "search random data.h5": "lfads-plugins-tune",
    "collection": "lfads-plugins-tune",
    "bundle data.h5": "lfads-plugins-tune",
    "ui": "lfads-plugins-tune",
    "eval runs/a": "lfads-plugins-lab",
    "report runs/a": "lfads-plugins-lab",
    "export runs/a": "lfads-plugins-lab",
    "data make a.nwb -o a.h5": "lfads-plugins-lab",
    "config import theirs.yaml": "lfads-plugins-lab",
}


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch):
    """Nothing that an earlier test loaded, and no figures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lfads_core.infer.run.draw_reports", lambda *_: [])
    groups._say_once.cache_clear()
    load_registry.cache_clear()
    yield
    load_registry.cache_clear()


def named(line):
    """The words of a command's name."""
    words = line.split()
    return " ".join(words[:2] if words[0] in {"data", "config"} else words[:1])


@pytest.mark.parametrize("line", VERBS)
def test_a_verb_of_a_package_that_is_left_out_says_so_in_one_line(line, monkeypatch):
    monkeypatch.setenv("LFADS_PLUGINS", "std,calcium")
    result = lfads(*line.split(), code=2)
    assert (result.stdout, result.stderr) == ("", f"error: lfads {named(line)}: {VERBS[line]} offers it, but LFADS_PLUGINS leaves it out.\n")


@pytest.mark.parametrize("line", VERBS)
def test_a_verb_of_a_package_that_is_broken_says_why(line, monkeypatch):
    monkeypatch.delenv("LFADS_PLUGINS", raising=False)
    for name in ("tune", "lab"):
        monkeypatch.setitem(sys.modules, f"lfads_plugins_{name}.plugin", None)
    result = lfads(*line.split(), code=2)
    module = VERBS[line].replace("-", "_") + ".plugin"
    assert result.stderr == (
        f"error: lfads {named(line)}: {VERBS[line]} offers it, but is broken: ModuleNotFoundError: import of {module} halted; None in sys.modules\n"
    )


@pytest.mark.parametrize("line", VERBS)
def test_a_verb_of_a_package_that_is_not_installed_says_how_to_get_it(line, monkeypatch):
    from lfads_core.plugins import loading

    there = loading._entry_points
    monkeypatch.delenv("LFADS_PLUGINS", raising=False)
    monkeypatch.setattr(loading, "_entry_points", lambda: ([pair for pair in there()[0] if pair[0].entry_point == "std"], []))
    result = lfads(*line.split(), code=2)
    assert result.stderr == f"error: lfads {named(line)}: {VERBS[line]} offers it: pip install {VERBS[line]}\n"


@pytest.fixture
def only_std(monkeypatch):
    monkeypatch.setenv("LFADS_PLUGINS", "std")


@pytest.mark.usefixtures("only_std")
def test_the_help_and_the_doctor_work_with_std_alone(tmp_path):
    assert "run      Train a model on recordings" in lfads("--help").stdout
    assert "check  Show what recordings hold" in lfads("data", "--help").stdout
    assert "auto takes" in lfads("doctor", "--runs", tmp_path, code=None).stdout


@pytest.mark.usefixtures("only_std")
def test_a_run_works_with_std_alone_and_reads_settings_of_absent_packages_with_a_note(tmp_path):
    tiny = write_tiny(tmp_path)
    said = lfads("run", tiny.data, tiny.yaml, "--name", "run").output
    for name in ("track", "search"):
        assert said.count(f"settings '{name}': left out, for lfads-plugins-tune, which reads them, is not loaded\n") == 1
    settings = yaml.safe_load((tmp_path / "runs/run/config.yaml").read_text())
    assert not {"track", "search"} & settings.keys()
    assert json.loads((tmp_path / "runs/run/run.json").read_text())["status"] == "finished"
    lfads("config", "check", tiny.yaml)


@pytest.mark.usefixtures("only_std")
def test_an_old_run_loads_and_goes_on_with_std_alone(tmp_path):
    old = unpack(tmp_path)
    loaded = lfads_core.load(old / "runs/finished")
    assert not hasattr(loaded.config, "track")
    assert loaded.outputs()["valid_factors"].shape == (6, 10, 2)
    shutil.rmtree(old / "runs/search")
    lfads("run", "--resume", old / "runs/stopped")
    assert json.loads((old / "runs/stopped/run.json").read_text())["status"] == "finished"
