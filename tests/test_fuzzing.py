"""A few inputs of the fuzzing session (``nox -s fuzz``) in each run of the tests, and what the session itself promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzzing.inputs import build

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read from Linux")


@pytest.fixture(scope="module")
def session(root):
    """``session("--count", "5")`` in a process of its own, which forks for each input."""

    def run(*words):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "tests"), *filter(None, sys.path)])}
        command = [sys.executable, "-m", "fuzzing", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=280)

    return run


@pytest.mark.long
def test_a_few_files_of_every_kind_end_in_sentences(session):
    done = session("--light", "--seed", "7", "--count", "26")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "26 inputs, 0 faults of 0 kinds" in done.stdout


@pytest.mark.slow
def test_a_few_inputs_of_every_kind_end_in_sentences(session):
    done = session("--cheap", "--seed", "7", "--count", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 inputs, 0 faults of 0 kinds" in done.stdout


def test_the_same_seed_is_the_same_input(tmp_path):
    (tmp_path / "tiny.h5").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "other.h5").write_bytes(b"")
    (tmp_path / "runs").mkdir()
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        words = build("hdf5-damaged", 3, tmp_path, tmp_path / name)
        made.append((words, (tmp_path / name / "tiny.h5").read_bytes()))
    assert made[0] == made[1]
    assert made[0][1] != bytes(range(256)) * 20


FAULTS = {
    "raise ZeroDivisionError('mine')": "ZeroDivisionError at ",
    "import os; os.abort()": "crash: signal 6 at ",
    "while True: pass": "hang: ",
    "x = bytearray(300_000_000); x[::1000] = b'1' * len(x[::1000])": "memory: 0.",
    "print('\\x1b[2J')": "control character '\\x1b' in the output of ",
    "print('Traceback (most recent call last)')": "traceback in the output",
    "raise SystemExit(3)": "exit code 3 of ",
    "raise SystemExit(2)": "exit code 2 without a word of ",
    "print('fine')": "",
}


@pytest.mark.long
@pytest.mark.parametrize(("code", "fault"), FAULTS.items(), ids=[fault.split(" at ")[0] or "none" for fault in FAULTS.values()])
def test_every_kind_of_fault_is_seen(code, fault, tmp_path):
    """In another process, which has loaded no torch and can fork."""
    script = f"""
import click
from pathlib import Path
from fuzzing import harness
from lfads_core.cli import main
@main.cli.command("own")
def own():
    exec({code!r})
print(harness.play(["own"], Path({str(tmp_path)!r}), seconds=2, memory=200_000_000).fault)
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
    found = done.stdout.rstrip("\n")
    assert found.startswith(fault) if fault else found == ""
