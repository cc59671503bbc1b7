"""A disk that takes no more, whatever writes on it: one line that names the file, and nothing half written; and a user without a home."""

from __future__ import annotations

import json
import subprocess
import sys

import h5py
import pytest

CHILD = """
import json, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing beyond the limit fails as it does on a full disk
from click.testing import CliRunner
from lfads_core.cli.main import cli
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for words in json.loads(sys.argv[1]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
    done = CliRunner().invoke(cli, words)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(json.dumps([done.exit_code, done.output, repr(done.exception)]), flush=True)
"""
"""In a process of its own, for the limit holds for all that a process writes, and a crash would end the tests."""

COMMANDS = {
    "infer": ("infer", "RUN", "-o", "OUT"),
    "bound": ("bound", "RUN", "--samples", "2", "-o", "OUT"),
    "stream": ("stream", "RUN", "-o", "OUT"),
    "generate": ("generate", "RUN", "-o", "OUT/g.h5"),
    "export h5": ("export", "RUN", "--h5", "OUT/all.h5"),
    "export mat": ("export", "RUN", "--mat", "OUT/mats"),
    "export parameters": ("export", "RUN", "--parameters", "OUT/w.h5"),
    "report": ("report", "RUN", "-o", "OUT/page.html"),
    "split": ("data", "split", "DATA", "-o", "OUT/s.h5"),
    "smooth": ("data", "smooth", "DATA", "--width", "10", "-o", "OUT/m.h5"),
    "rebin": ("data", "rebin", "DATA", "--bin", "20", "-o", "OUT/r.h5"),
    "merge": ("data", "merge", "DATA", "-o", "OUT/w.h5"),
    "synth": ("synth", "emg", "-o", "OUT/e.h5"),
    "run": ("run", "DATA", "--runs", "OUT/runs", "SETS"),
    "search": ("search", "random", "DATA", "--members", "2", "--runs", "OUT/runs", "SETS"),
}


@pytest.fixture
def said(finished, run, tmp_path, sets):
    """What each command says and leaves on a disk with room for files of so many bytes."""

    def call(commands, room):
        words = []
        for name in commands:
            place = tmp_path / "out" / name
            place.mkdir(parents=True)
            known = {"RUN": str(run), "DATA": str(finished / "a.h5"), "OUT": str(place)}
            full = [known.get(word, word.replace("OUT/", f"{place}/")) for word in COMMANDS[name]]
            words.append([part for word in full for part in (sets if word == "SETS" else [word])])
        done = subprocess.run([sys.executable, "-c", CHILD, json.dumps(words), str(room)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return {name: json.loads(line) for name, line in zip(commands, done.stdout.splitlines(), strict=True)}

    return call


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 2500])
def test_every_command_says_in_one_line_what_could_not_be_written_and_leaves_no_part_of_it(said, room, tmp_path):
    for name, (code, output, exception) in said(list(COMMANDS), room).items():
        assert code == 2, (name, code, output, exception)
        errors = [line for line in output.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, (name, output)
        assert "File too large" in errors[0], (name, output)
        assert str(tmp_path) in errors[0], (name, output)
        assert "Traceback" not in output, name
        for path in (tmp_path / "out" / name).rglob("*.h5"):
            with h5py.File(path):  # what is there was written in full
                pass
        assert not list((tmp_path / "out" / name).rglob("*.tmp")), name


HOMELESS = """
import os, pwd
for name in ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
def nobody(_):
    raise KeyError("uid not found")
pwd.getpwuid = nobody
from lfads_core.cli.main import main
main()
"""


@pytest.mark.slow
def test_without_a_home_everything_works(finished, sets, tmp_path):
    for words in (["doctor", "--runs", str(tmp_path)], ["run", str(finished / "a.h5"), *sets], ["infer", "runs/a"], ["report", "runs/a"]):
        done = subprocess.run([sys.executable, "-c", HOMELESS, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        assert done.returncode == 0, (words, done.stdout, done.stderr)


@pytest.mark.long
@pytest.mark.parametrize("words", ["config explain", "--version", "--help"])
def test_an_output_that_is_closed_or_read_no_further_is_nothing_to_speak_of(words):
    lfads = f"{sys.executable} -c 'from lfads_core.cli.main import main; main()' {words}"
    for line, codes in ((f"{lfads} >&-", {0}), (f"set -o pipefail; {lfads} | true", {0, 1})):  # 1: as click ends where nobody reads
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode in codes, line
        assert done.stderr == "", line
