"""What must hold for the repository as a whole, whoever changes it."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
DISTS = ("lfads_core", *(f"lfads_plugins_{name}" for name in ("std", "calcium", "emg", "tune", "lab")))
SOURCES = sorted(path for dist in DISTS for path in (ROOT / dist / "src").rglob("*.py"))
PROJECTS = {dist: tomllib.loads((ROOT / dist / "pyproject.toml").read_text(encoding="utf-8"))["project"] for dist in DISTS}

# A folder of one machine, or the address of a package index.
OF_ONE_MACHINE = re.compile(r"(?<![\w.~])/(work|root|tmp|home|opt|mnt|Users)/|(extra-)?index-url|pypi\.(org|io)|pythonhosted")
HEAVY = {"ray", "mlflow", "matplotlib", "scipy", "pynwb"}


def _requirements(dist: str) -> list[Requirement]:
    project = PROJECTS[dist]
    extras = project.get("optional-dependencies", {})
    found = map(Requirement, [*project["dependencies"], *(line for lines in extras.values() for line in lines)])
    return [requirement for requirement in found if not requirement.name.startswith("lfads-")]


def _required_outright(path: Path, module: str) -> bool:
    """Whether the distribution a file belongs to cannot be installed without the module: lfads-plugins-emg filters with scipy."""
    dist = path.relative_to(ROOT).parts[0]
    return module in {Requirement(line).name for line in PROJECTS[dist]["dependencies"]}


def _lines(name: str) -> list[str]:
    lines = (line.strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _pins() -> dict[str, str]:
    pairs = (line.split("==") for line in _lines("constraints.txt"))
    return {canonicalize_name(name): version for name, version in pairs}


@functools.cache
def _imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """Names of imported top-level packages, and whether the import runs when the module loads; imports for type checkers are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {
        id(node) for block in ast.walk(tree) if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING" for node in ast.walk(block)
    }
    late = {id(node) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], id(node) not in late) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module.split(".")[0], id(node) not in late))
    return tuple(found)


def test_no_tracked_file_names_a_folder_of_one_machine_or_a_package_index():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, so there are no tracked files to read")
    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # figures and data; files deleted but not committed
            continue
        found += [f"{name}:{i}: {line.strip()}" for i, line in enumerate(text.splitlines(), 1) if OF_ONE_MACHINE.search(line)]
    assert [line for line in found if not line.startswith("tests/test_repository.py:")] == []


def test_no_source_file_is_longer_than_320_lines():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > 320} == {}


def test_no_class_name_stands_for_two_things():
    places = defaultdict(list)
    for file in SOURCES:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_the_six_packages_share_one_version_and_ask_for_each_other_in_its_window():
    versions = {project["version"] for project in PROJECTS.values()}
    assert len(versions) == 1
    (version,) = versions
    init = (ROOT / "lfads_core/src/lfads_core/__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{version}"' in init
    for dist in DISTS[1:]:
        ours = [Requirement(line) for line in PROJECTS[dist]["dependencies"] if line.startswith("lfads-")]
        assert ours
        assert all(version in requirement.specifier for requirement in ours)


@pytest.mark.parametrize("dist", DISTS)
def test_each_package_is_typed_and_carries_a_readme_and_the_licence(dist):
    assert (ROOT / dist / "src" / dist / "py.typed").is_file()
    readme = (ROOT / dist / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {PROJECTS[dist]['name']}\n")
    assert f"pip install {PROJECTS[dist]['name']}" in readme
    assert (ROOT / dist / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_constraints_pin_every_direct_dependency_and_nothing_else():
    packages = {requirement.name for dist in DISTS for requirement in _requirements(dist)}
    wanted = packages | {Requirement(line).name for line in _lines("requirements-dev.txt")}
    assert set(_pins()) == {canonicalize_name(name) for name in wanted}


@pytest.mark.parametrize("dist", DISTS)
def test_the_pinned_versions_are_ones_that_the_packages_accept(dist):
    pins = _pins()
    refused = [str(requirement) for requirement in _requirements(dist) if pins[canonicalize_name(requirement.name)] not in requirement.specifier]
    assert refused == []


@pytest.mark.parametrize("dist", DISTS)
def test_dependencies_have_floors_and_no_upper_bounds(dist):
    assert [str(requirement) for requirement in _requirements(dist) if [s.operator for s in requirement.specifier] != [">="]] == []


@pytest.mark.long
def test_extras_and_scipy_are_never_imported_when_a_module_loads():
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        for name, at_load in _imports(path)
        if name in HEAVY and at_load and not _required_outright(path, name)
    ]
    assert found == []


@pytest.mark.parametrize("module", sorted(HEAVY))
def test_each_extra_is_imported_in_one_module_at_most(module):
    using = {str(path.relative_to(ROOT)) for path in SOURCES if module in dict(_imports(path)) and not _required_outright(path, module)}
    assert len(using) <= 1, using


def test_setting_up_with_an_old_python_is_refused_with_one_line(tmp_path):
    old = tmp_path / "python3.8"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.10" && exit 0\nexit 1\n')
    old.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(old)}
    done = subprocess.run(["bash", str(ROOT / "scripts" / "setup")], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == ("scripts/setup: needs Python 3.11 or newer, got Python 3.8.10. Name one: PYTHON=/path/to/python3.11 scripts/setup\n")
