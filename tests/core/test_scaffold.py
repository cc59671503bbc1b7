"""`lfads plugins new`: the repository it makes installs, passes its own tests and `lfads plugins check`, as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from lfads_core import __version__
from lfads_core.cli.main import cli
from lfads_core.errors import PluginError
from lfads_core.plugins import load_registry
from lfads_core.plugins.hookspecs import DECLARES
from lfads_core.scaffold.make import KINDS, make_plugin


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_every_file_of_a_repository_and_nothing_is_left_to_fill_in(kind, tmp_path):
    root = make_plugin("red-tent", kind, tmp_path)
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    package = "src/lfads_red_tent"
    assert files >= {"pyproject.toml", "README.md", ".gitignore", ".github/workflows/tests.yml", "tests/test_conformance.py"}
    assert files >= {f"{package}/__init__.py", f"{package}/plugin.py", f"{package}/py.typed"}
    assert len(files) == {"recipe": 8, "settings": 8, "setting-type": 8, "listener": 8, "several": 10, "hooks": 10}.get(kind, 9)
    for path in root.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\$\{?(name|kind|dist|package|cls|core|others|key|What)\b", text), path
            if path.suffix == ".py":
                compile(text, str(path), "exec")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "lfads-red-tent"
    assert project["entry-points"]["lfads"] == {"red-tent": "lfads_red_tent.plugin"}
    assert project["dependencies"][0] == f"lfads-core>={'.'.join(__version__.split('.')[:2])},<0.2"


def test_the_command_says_what_comes_next(tmp_path):
    result = CliRunner().invoke(cli, ["plugins", "new", "lfads-tent", "--kind", "prior", "-o", str(tmp_path)])
    assert result.exit_code == 0
    root = tmp_path / "lfads-tent"
    assert result.stdout == f'wrote {root}\nnext: pip install -e "{root}[test]" && lfads plugins check lfads-tent && pytest {root}\n'


def test_wrong_names_kinds_and_places_are_refused(tmp_path):
    with pytest.raises(PluginError, match=re.escape("NAME: must be lower-case words joined by '-', such as 'my-prior', got 'My Tent'.")):
        make_plugin("My Tent", "prior", tmp_path)
    with pytest.raises(PluginError, match=re.escape(f"--kind: must be one of {', '.join(KINDS)}, got 'tent'.")):
        make_plugin("tent", "tent", tmp_path)
    make_plugin("tent", "prior", tmp_path)
    with pytest.raises(PluginError, match="a new plugin needs a folder of its own, but something is there already"):
        make_plugin("tent", "metric", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match="must be a folder that can be written, got: Not a directory"):
        make_plugin("tent", "prior", tmp_path / "file")


@pytest.mark.parametrize("kind", KINDS)
def test_names_say_their_kind_once(kind, tmp_path):
    root = make_plugin(f"my-{kind}", kind, tmp_path)
    text = "\n".join(path.read_text(encoding="utf-8") for path in root.rglob("*.py"))
    assert not re.search(rf"(?i){kind}{kind}", text.replace("_", ""))


def test_every_hook_is_filled_by_a_template(tmp_path):
    filled = set()
    for kind in KINDS:
        text = (make_plugin(f"my-{kind}", kind, tmp_path) / f"src/lfads_my_{kind.replace('-', '_')}/plugin.py").read_text(encoding="utf-8")
        filled |= set(re.findall(r"^def (lfads_\w+)\(", text, flags=re.MULTILINE))
    hooks = {hook.name for hook in load_registry().hooks} | {DECLARES}
    assert hooks - filled == set()


@pytest.mark.parametrize("name", ["x", "rather-long-name-of-words"])
def test_what_it_writes_has_nothing_to_lint_or_to_format_whatever_the_name(name, tmp_path):
    pytest.importorskip("ruff", reason="ruff is not installed: pip install ruff")
    for kind in KINDS:
        make_plugin(name, kind, tmp_path / kind)
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *words, "--no-cache", tmp_path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_installs_and_passes_its_tests_and_ours_at_once(kind, tmp_path):
    pytest.importorskip("setuptools", reason="setuptools builds the package; without build isolation it must be installed")
    root, site = make_plugin(f"my-{kind}", kind, tmp_path), tmp_path / "site"
    environment = {name: value for name, value in os.environ.items() if name != "LFADS_PLUGINS"} | {"PYTHONPATH": str(site)}

    def run(*arguments: str | Path, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, check=False, env=environment, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    run("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index", "--target", site, root)
    assert re.search(r"\d passed", run("pytest", "-q", cwd=root).stdout)
    checked = run("lfads_core.cli.main", "plugins", "check", root.name).stdout
    shown = {
        "recording": "recording format my-recording",
        "section": "report section my-section",
        "setting-type": "setting type my-setting-type",
        "doctor-check": "doctor check my-doctor-check",
        "foreign-settings": "foreign settings my-foreign-settings",
        "settings": "settings my_settings",
        "function": "function run-my-function",
        "hooks": "my-hooks largest",
        "listener": "plugin lfads-my-listener 0.1.0",
        "several": "prior my-several",
    }
    assert shown.get(kind, f"{kind} my-{kind}") in checked
    assert checked.splitlines()[-1].startswith("all ")


@pytest.mark.slow
def test_a_prior_made_so_trains_and_its_training_resumes(tmp_path, write_recording, counts):
    pytest.importorskip("setuptools", reason="setuptools builds the package; without build isolation it must be installed")
    root, site = make_plugin("tent", "prior", tmp_path), tmp_path / "site"
    environment = {name: value for name, value in os.environ.items() if name != "LFADS_PLUGINS"} | {"PYTHONPATH": str(site)}

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    run("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index", "--target", site, root)
    write_recording("data.h5", {**counts, **{key.replace("encod", "recon"): value for key, value in counts.items()}})
    main = "lfads_core.cli.main"
    chosen = (
        "--set",
        "components.input_prior=tent",
        "--set",
        "train.epochs=2",
        "--set",
        "infer.samples=2",
        "--set",
        "data.batch_size=6",
        "--set",
        "track.mlflow=false",
        "--set",
        "infer.figures=false",
    )
    run(main, "run", "data.h5", "--name", "first", *chosen)
    run(main, "run", "--resume", "runs/first", "--set", "train.epochs=4")
    rows = (tmp_path / "runs" / "first" / "fitlog.csv").read_text().splitlines()
    assert len(rows) == 5
