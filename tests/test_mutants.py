"""The list of small faults (``nox -s mutants``): every row of docs/features.toml has some, and each can be put in."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib

import pytest

from mutants.faults import ROOT, guards, read_faults
from mutants.mutate import function_of, statuses, told

FAULTS = read_faults()


def test_every_row_has_a_fault_and_every_fault_a_row():
    assert list(dict.fromkeys(fault.row for fault in FAULTS)) == list(guards())


@pytest.mark.parametrize("row", guards())
def test_the_faults_of_a_row_stand_in_one_place_each_and_leave_files_that_can_be_read(row):
    for fault in (fault for fault in FAULTS if fault.row == row):
        text = fault.put((ROOT / fault.file).read_text(encoding="utf-8"))
        assert fault.old != fault.new, fault.name
        if fault.file.endswith(".py"):
            ast.parse(text)
        elif fault.file.endswith(".toml"):
            tomllib.loads(text)


def test_a_place_that_is_gone_or_there_twice_is_told():
    fault = next(fault for fault in FAULTS if fault.name == "M1-1")
    for text, times in (("", 0), (f"{fault.old} {fault.old}", 2)):
        with pytest.raises(ValueError, match=rf"^M1-1: its old text must occur once in {fault.file}, got {times} times\. Write it anew in tests/"):
            fault.put(text)


@pytest.mark.slow
def test_a_fault_that_is_found_and_one_that_no_test_sees_are_told_apart(tmp_path):
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-m", "mutants", "--only", "E5", "--jobs", "2"],
        capture_output=True,
        text=True,
        check=False,
        env=env,
        cwd=tmp_path,
        timeout=280,
    )
    assert done.stdout.splitlines()[-1] == "1 of 1 faults found", done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("text", [["--only", "nobody"], ["--since", "HEAD", "--only", "nobody"]])
def test_a_row_that_is_not_there_is_an_error(text, tmp_path):
    env = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run([sys.executable, "-m", "mutants", *text], capture_output=True, text=True, check=False, env=env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "no fault is asked for: there is none of this row, or nothing has changed\n")


def test_modules_and_tests_of_the_formulas_are_there():
    groups = tomllib.loads((ROOT / "tests/mutants/formulas.toml").read_text(encoding="utf-8"))
    for group in groups.values():
        for pattern in group["mutate"]:
            assert list(ROOT.glob(f"lfads_*/src/{pattern}")), pattern
        for pattern in group["tests"]:
            assert list((ROOT / "tests").glob(pattern)), pattern


def test_a_change_that_no_test_notices_needs_a_reason_and_such_must_be_few(capsys):
    lines = [f"    lfads.normal.x_kl__mutmut_{i}: {'survived' if i == 1 else 'killed'}" for i in range(1, 41)]
    found = statuses("\n".join(["noise", *lines]))
    assert len(found) == 40
    assert told("priors", found, {"lfads.normal.kl": "equal to rounding"})
    assert not told("priors", found, {})
    assert not told("priors", dict(list(found.items())[:10]), {"lfads.normal.kl": "equal to rounding"})
    assert capsys.readouterr().out.splitlines() == [
        "priors: 97.5% of 40 changes noticed (39 killed, 1 survived)",
        "priors: 97.5% of 40 changes noticed (39 killed, 1 survived)",
        "  survived without a reason in survivors.toml: lfads.normal.x_kl__mutmut_1",
        "priors: 90.0% of 10 changes noticed (9 killed, 1 survived)",
    ]
    assert function_of("a.b.xǁNormalǁkl__mutmut_12") == "a.b.Normal.kl"
