"""Plugins without packaging: a file on the command line, which runs and searches keep, and classes of a notebook."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import subprocess
import sys
import textwrap
import zipfile

import pytest
import torch
from click.testing import CliRunner

import lfads_core
from lfads_core.cli.main import cli
from lfads_core.plugins import load_registry
from lfads_core.plugins.single_files import VARIABLE, want_files
from ray_searches import needs_ray
from tiny_runs import TINY

SPARSE = """
from attrs import frozen

from lfads_core.components import AbstractPrior
from lfads_core.config.fields import above, setting
from lfads_core.plugins import PriorSpec, hookimpl


@frozen(kw_only=True)
class Settings:
    scale: float = setting(1.0, "Width of the prior", rule=above(0))


class Sparse(AbstractPrior):
    def __init__(self, settings, dimensions):
        super().__init__()
        self.scale = settings.scale

    def kl(self, mean, std, draw):
        return (self.sample(mean, std, draw).abs() / self.scale - std.log()).flatten(1).sum(1)

    def generate(self, like, rng):
        return like.new_empty(like.shape).exponential_(1 / self.scale, generator=rng)


@hookimpl
def lfads_priors():
    yield PriorSpec(name="sparse", summary="Few large inputs", config=Settings, build="{name}:Sparse")
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    """No file is asked for before and after, and what was loaded is forgotten."""
    monkeypatch.setenv(VARIABLE, "")
    load_registry.cache_clear()
    before = set(sys.modules)
    yield
    load_registry.cache_clear()
    for name in set(sys.modules) - before:
        if hasattr(sys.modules[name], "__lfads_sha256__"):
            del sys.modules[name]


@pytest.fixture
def plugin(tmp_path):
    """Write a plugin file; by default the prior ``sparse``."""

    def write(name="my_sparse", source=SPARSE):
        path = tmp_path / "mine" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source).replace("{name}", name))
        return path

    return write


def lfads(*words, code=0):
    done = CliRunner().invoke(cli, list(map(str, words)))
    assert done.exit_code == code, done.output + repr(done.exception)
    return done


SET = [word for text in (*TINY, "train.epochs=2") for word in ("--set", text)]


@pytest.mark.long
def test_a_run_keeps_the_file_and_its_hash_and_is_loaded_resumed_and_inferred_without_the_original(plugin, write_tiny, tmp_path, end_state):
    path, data, runs = plugin(), write_tiny(), tmp_path / "runs"
    lfads("run", data, "--plugin-file", path, "--set", "components.input_prior={name: sparse, scale: 0.5}", *SET, "--runs", runs, "--name", "a")
    run = runs / "a"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert json.loads((run / "plugins/files.json").read_text()) == {"my_sparse.py": digest}
    assert (run / "plugins/my_sparse.py").read_bytes() == path.read_bytes()
    assert json.loads((run / "run.json").read_text())["versions"]["my_sparse.py"] == f"sha256 {digest[:8]}"
    path.unlink()
    code = f"import lfads_core; print(lfads_core.load({str(run)!r}).model.input_prior.scale)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout == "0.5\n", done.stderr
    lfads("infer", run)
    lfads("run", "--resume", run, "--set", "train.epochs=4")
    plugin()
    lfads(
        "--plugin-file",
        path,
        "run",
        data,
        "--set",
        "components.input_prior={name: sparse, scale: 0.5}",
        *SET,
        "--set",
        "train.epochs=4",
        "--runs",
        runs,
        "--name",
        "b",
    )
    assert end_state(run) == end_state(runs / "b")


def test_the_option_may_stand_anywhere_and_serves_every_command_that_loads_plugins(plugin):
    path = plugin()
    assert "sparse" in lfads("plugins", "list", "--plugin-file", path).stdout
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert f"from my_sparse.py (sha256 {digest})" in lfads(f"--plugin-file={path}", "plugins", "show", "sparse").stdout
    shown = lfads("config", "show", "--set", "components.input_prior=sparse", "--plugin-file", path).stdout
    assert "name: sparse" in shown
    assert "all 16 laws hold" not in lfads("plugins", "check", "sparse", "--plugin-file", path, code=2).stdout  # it is no density
    assert "sparse" not in lfads("plugins", "list").stdout


def test_a_file_that_cannot_be_loaded_is_one_sentence_with_its_line(plugin, tmp_path):
    broken = plugin("broken", "x = 1\ny = 1 // 0\n")
    said = lfads("plugins", "list", "--plugin-file", broken, code=2).stderr
    assert said == f"error: --plugin-file: {broken} must be imported, got ZeroDivisionError: integer division or modulo by zero, at broken.py:2.\n"
    command = [sys.executable, "-m", "lfads_core.cli.main", "--debug", "plugins", "list", "--plugin-file", str(broken)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert f'File "{broken}", line 2, in <module>' in shown
    assert "ZeroDivisionError" in shown
    beside = plugin("beside", "import helper_that_stands_beside\n")
    assert "A plugin file must stand alone" in lfads("plugins", "list", "--plugin-file", beside, code=2).stderr
    for path in (tmp_path / "none.py", tmp_path, plugin("not-a-name", "")):
        assert "must be a Python file named like a module" in lfads("plugins", "list", "--plugin-file", path, code=2).stderr
    assert (
        "must not be called like a module that is here already, got 'json'"
        in lfads("plugins", "list", "--plugin-file", plugin("json", ""), code=2).stderr
    )
    bad = plugin("bad_hook", "from lfads_core.plugins import hookimpl\n\n@hookimpl\ndef lfads_priors():\n    return [1]\n")
    assert "lfads_priors: must yield or return a list of PriorSpec, got 1 in it" in lfads("plugins", "list", "--plugin-file", bad, code=2).stderr


def test_a_file_that_offers_nothing_is_refused(plugin):
    path = plugin("forgetful", "x = 1\n")
    said = lfads("plugins", "list", "--plugin-file", path, code=2).stderr
    assert re.fullmatch(
        r"error: forgetful.py \(sha256 \w{8}\): must offer something by a hook, such as lfads_priors marked with @hookimpl, but offers nothing\n",
        said,
    )


def test_what_a_file_prints_is_kept_from_standard_output_and_told(plugin, caplog):
    path = plugin("loud", "print('hello')\n" + SPARSE)
    done = lfads("config", "show", "--set", "components.input_prior=sparse", "--plugin-file", path)
    assert done.stdout.splitlines()[0] != "hello"
    want_files([path])
    load_registry()
    assert any("loud.py" in message and "prints when it is loaded" in message and "'hello'" in message for message in caplog.messages)


def test_a_file_that_changes_what_all_share_is_refused_and_it_is_put_back(plugin):
    path = plugin("doubles", "import torch\ntorch.set_default_dtype(torch.float64)\n" + SPARSE)
    said = lfads("plugins", "list", "--plugin-file", path, code=2).stderr
    assert said == (
        f"error: --plugin-file: {path}: must leave what all of a process shares as it is when it is loaded, but changed torch.get_default_dtype\n"
    )
    assert torch.get_default_dtype() == torch.float32


def test_a_file_that_python_would_find_by_itself_is_no_clash(plugin, monkeypatch):
    path = plugin("found_here")
    monkeypatch.syspath_prepend(path.parent)
    assert "sparse" in lfads("plugins", "list", "--plugin-file", path).stdout


@pytest.mark.long
def test_the_original_beside_a_notebook_is_no_clash_with_the_file_that_a_run_keeps(plugin, write_tiny, tmp_path):
    path, run = plugin("kept_one"), tmp_path / "runs/a"
    lfads("run", write_tiny(), "--plugin-file", path, "--set", "components.input_prior=sparse", *SET, "--runs", run.parent, "--name", "a")
    original = path.read_text()
    for source in (original, original + "\nEDITED = True\n"):
        path.write_text(source)
        code = f"import lfads_core; print(lfads_core.load({str(run)!r}).model.input_prior.scale)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=path.parent)
        assert done.stdout == "1.0\n", done.stderr
    path.write_text(original)
    code = f"import kept_one, lfads_core; print(type(lfads_core.load({str(run)!r}).model.input_prior) is kept_one.Sparse)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=path.parent)
    assert done.stdout == "True\n", done.stderr


def test_a_kept_file_that_was_changed_or_is_gone_is_refused_and_another_can_be_given(plugin, write_tiny, tmp_path, caplog):
    path, run = plugin(), tmp_path / "runs/a"
    lfads("run", write_tiny(), "--plugin-file", path, "--set", "components.input_prior=sparse", *SET, "--runs", run.parent, "--name", "a")
    kept = run / "plugins/my_sparse.py"
    kept.write_text(kept.read_text() + "# more\n")
    said = lfads("infer", run, code=2).stderr
    assert said.startswith(f"error: {kept}: must be the plugin file that the run was made with (sha256 ")
    kept.unlink()
    assert "got none" in lfads("infer", run, code=2).stderr
    path.write_text(path.read_text() + "# a later version\n")
    logging.getLogger("lfads").propagate = True  # the run has sent it to its display
    lfads("infer", run, "--plugin-file", path)
    assert any(message.startswith(f"{path}: takes the place of the other my_sparse.py") for message in caplog.messages)


@pytest.mark.long
def test_a_search_keeps_the_file_for_its_members_and_its_best(plugin, write_tiny, tmp_path):
    path, folder = plugin(), tmp_path / "runs/s"
    words = ["search", "random", write_tiny(), "--members", 2, "--executor", "serial", "--plugin-file", path]
    lfads(*words, "--set", "components.input_prior=sparse", *SET, "--set", "search.min_improvement=null", "--runs", folder.parent, "--name", "s")
    path.unlink()
    kept = sorted(str(found.parent.parent.relative_to(folder)) for found in folder.rglob("plugins/my_sparse.py"))
    assert kept == [".", "best", "members/000", "members/001"]
    assert lfads_core.load(folder / "best").model.input_prior.scale == 1.0
    lfads("search", "best", folder)


def test_a_bundle_keeps_the_file_so_that_its_model_is_loaded_elsewhere(plugin, write_tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("lfads_plugins_tune.bundle.make._report", lambda *_: None)
    path, words = plugin(), ["--search", "none", "--work", tmp_path / "work", "-o", tmp_path / "a.zip"]
    (tmp_path / "tiny.yaml").write_text("")
    chosen = ["--set", "components.input_prior={name: sparse, scale: 0.5}", "--set", "train.epochs=1"]
    lfads("bundle", write_tiny(), tmp_path / "tiny.yaml", "--plugin-file", path, *SET, *chosen, *words)
    path.unlink()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "elsewhere")
    (state,) = (tmp_path / "elsewhere").rglob("run.json")
    assert lfads_core.load(state.parent).model.input_prior.scale == 0.5


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_workers_of_ray_find_the_file_that_the_search_keeps(plugin, write_tiny, tmp_path):
    path, folder = plugin(), tmp_path / "runs/s"
    words = ["search", "random", write_tiny(), "--members", 2, "--executor", "ray", "--per-worker", 1, "--plugin-file", path]
    words += ["--set", "components.input_prior=sparse", *SET, "--set", "search.min_improvement=null", "--runs", folder.parent, "--name", "s"]
    command = [sys.executable, "-m", "lfads_core.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    path.unlink()
    assert lfads_core.load(folder / "best").model.input_prior.scale == 1.0


@pytest.mark.long
def test_files_that_are_wanted_are_known_to_processes_that_are_started(plugin):
    want_files([plugin()])
    done = subprocess.run([sys.executable, "-m", "lfads_core.cli.main", "plugins", "list"], capture_output=True, text=True, check=False)
    assert "Few large inputs" in done.stdout
