"""The session for a lent GPU goes every way on a CPU, with torch, Triton and the packages it names: no slip costs minutes of a device."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

SCRIPT = "bench/gpu_session.sh"


def named(root: Path) -> list[str]:
    """The packages that travel as wheels."""
    return re.search(r'^NEEDS="(.*)"$', (root / SCRIPT).read_text(encoding="utf-8"), re.MULTILINE)[1].split()


def and_what_they_need(names: list[str]) -> set[str]:
    """As pip would install them, extras left out."""
    found: set[str] = set()
    while names:
        name = names.pop()
        if name in found:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another system, or torch's own libraries of a device
        found.add(name)
        names += [need.name for need in map(Requirement, needs) if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def bare_python(folder: Path, names: set[str]) -> Path:
    """An interpreter that sees these packages and no others."""
    site = folder / "bare"
    site.mkdir()
    for name in names:
        for file in metadata.files(name) or []:
            top = file.parts[0]
            if top not in {"..", "__pycache__"} and not (site / top).exists():
                (site / top).symlink_to(file.locate().parents[len(file.parts) - 1] / top)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{site}" exec {sys.executable} -S "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return python


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_dry_session_goes_every_way_with_nothing_but_torch_and_what_it_names(root, tmp_path):
    pytest.importorskip("triton")
    python = bare_python(tmp_path, and_what_they_need([*named(root), "torch", "triton"]))
    lacks = subprocess.run([python, "-c", "import sklearn"], env=os.environ | {"PYTHONPATH": ""}, capture_output=True, check=False)
    assert lacks.returncode == 1
    env = {name: value for name, value in os.environ.items() if name not in {"TRITON_INTERPRET", "PYTHONPATH"}}
    env |= {"PY": str(python), "OUT": str(tmp_path / "out"), "BUDGET": "2900"}
    env["STAGES"] = "info right agree tiles tests kernels steps population inference quality trace whole table"
    done = subprocess.run(["bash", SCRIPT, "--dry"], cwd=root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert done.stdout.rstrip().endswith("failed: nothing")
    assert "no time left" not in done.stdout
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "out").glob("*.json")}
    assert set(found) == {"info", "right-0", "agree", "tiles", "tests", "kernels", "steps", "population", "inference", "quality", "trace", "whole"}
    assert len(found["right-0"]) == 14  # four loops in three arithmetics, two of them in float64 too
    assert len(found["steps"]) == 2 * 9 + 2 * 2  # two shapes, each path as it is and captured, the reference as it is; bf16 throughout
    assert {key for key, row in found["steps"].items() if "ran" in row} == set()
    text = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert "14 of 14 loops are right" in text
    for path in ("triton", "triton-bf16"):
        assert len(re.findall(rf"\| S1 {path}( captured)? \| ms .* \| [\d.]+ ms \|", text)) == 4  # one model and a population
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) < 4e6


@pytest.mark.slow
def test_a_session_without_its_packages_says_what_to_fetch(root, tmp_path):
    python = bare_python(tmp_path, and_what_they_need(["packaging", "numpy"]))
    done = subprocess.run(
        ["bash", SCRIPT, "--dry"],
        cwd=root,
        env=os.environ | {"PY": str(python), "OUT": str(tmp_path / "out")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert re.search(
        r"gpu_session: must have torch, Triton and the wheels, lacks attrs, .*torch, triton\. Run: bash bench/gpu_session\.sh wheels", done.stdout
    )


def test_what_travels_is_pinned_and_is_all_that_core_needs(root):
    pins = {line.partition("==")[0].lower() for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line}
    assert set(named(root)) <= pins
    core = {Requirement(line).name for line in metadata.requires("lfads-core") or [] if Requirement(line).marker is None}
    assert core - set(named(root)) == {"torch"}


def test_predictions_follow_from_the_numbers_they_name(root, monkeypatch):
    """S1 with kernels in float32: 100 bins of 1.9 + 3.4, 1.5 + 2.6 and 5 + 9 us, products, 250 operations of 2.5 us each in a graph."""
    monkeypatch.syspath_prepend(root / "bench" / "gpu")
    import predictions

    assert predictions.of_step("S1", "triton", 1, captured=True) == pytest.approx(2.34 + 0.3 + 0.625)
    assert predictions.of_step("S1", "triton-bf16", 1, captured=True) == pytest.approx(0.91 + 0.3 + 0.625)
    assert predictions.of_step("S1", "triton-bf16", 1, captured=False) == pytest.approx(2.5)  # 250 operations of 10 us on the host are more
    assert predictions.of_step("S1", "triton", 32, captured=True) == pytest.approx(2 * 2.34 + 4 + 391 * 0.0025)
    assert predictions.predicted("steps", "S1 triton captured") == "3.3 ms"
    assert predictions.predicted("steps", "S1 fused") == ""
    assert predictions.predicted("quality", "triton") == ""


def test_a_stage_goes_on_after_a_failure_and_names_what_failed_was_wrong_or_ran_elsewhere(root, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(root / "bench" / "gpu")
    from asked import Asked

    def breaks():
        raise RuntimeError("no such kernel")

    stage = Asked(out=tmp_path, dry=True, limit=1e9)
    work = {
        "breaks": breaks,
        "wrong": lambda: {"right": False},
        "elsewhere": lambda: {"ms": 1.0, "ran": "fused"},
        "fine": lambda: {"ms": 2.0},
    }
    stage.each("steps", work)
    assert stage.faults == ["breaks", "wrong", "elsewhere"]
    found = json.loads((tmp_path / "steps.json").read_text(encoding="utf-8"))
    assert found["breaks"] == {"error": "RuntimeError: no such kernel"}
    assert found["fine"] == {"ms": 2.0}
    late = Asked(out=tmp_path, dry=True, limit=0.0)
    late.each("steps", {"fine": lambda: {"ms": 2.0}})
    assert late.faults == []
    assert json.loads((tmp_path / "steps.json").read_text(encoding="utf-8")) == {"fine": {"left out": "no time left"}}
