"""Run the session: ``python -m mutants --only M1 --jobs 2``. Nothing is changed but copies of the tree, in a folder that has nothing beside it."""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import multiprocessing.connection
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mutants.faults import ROOT, Fault, guards, read_faults

SOURCES = [f"lfads_{name}/src" for name in ("core", "plugins_std", "plugins_calcium", "plugins_emg", "plugins_tune", "plugins_lab")]
ALIKE = {"OMP_NUM_THREADS": "1", "LFADS_SHAPE_CHECKS": "0", "CUDA_VISIBLE_DEVICES": ""}
"""What tests are run with, so that those which need more than a clone and a CPU are skipped."""
LOADED = ("attrs", "click", "h5py", "numpy", "pandas", "rich.table", "scipy.optimize", "scipy.stats", "sklearn.linear_model", "torch")
"""What most tests import and no fault is in: loaded once, and there in every process that is forked for a fault."""
PYTEST = 100
"""What is added to pytest's exit codes: Python itself ends with 1 after a fault of its own."""
SOUND, FOUND, NO_TESTS = PYTEST, PYTEST + 1, PYTEST + 5
"""Ends that mean something here; with any other the fault is one of the list, such as code that cannot be read."""


def main() -> int:
    """Put every fault in and run its row's tests; the exit code is 1 if any went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="ROW", help="Only the faults of this row, or this fault (M1-2); may be repeated."
    )
    parser.add_argument("--since", metavar="COMMIT", help="Only faults whose file, or a file of whose tests, has changed since then.")
    parser.add_argument("--jobs", type=int, default=1, help="Faults tried at the same time, each in a copy of its own.")
    options = parser.parse_args()
    tests, faults = guards(), chosen(options.only, options.since)
    if not faults:
        print("no fault is asked for: there is none of this row, or nothing has changed")
        return 2 if options.only else 0
    os.environ.update(ALIKE)
    for name in LOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [copy_tree(Path(folder) / str(number) / "tree") for number in range(options.jobs)]
        print(f"{len(faults)} faults in {len({fault.row for fault in faults})} rows; first their tests without any of them", flush=True)
        sound = Trial(copies[0], list(dict.fromkeys(test for fault in faults for test in tests[fault.row])))
        if sound.wait() != SOUND:
            print(sound.said())
            return 1
        missed = [trial.fault.name for trial in trials(faults, tests, copies) if trial.fault is not None and trial.process.exitcode != FOUND]
    print(f"{len(faults) - len(missed)} of {len(faults)} faults found" + (f"; not: {' '.join(sorted(missed))}" if missed else ""))
    return 1 if missed else 0


def chosen(only: Sequence[str], since: str | None) -> list[Fault]:
    """The faults that are asked for."""
    faults = [fault for fault in read_faults() if not only or {fault.row, fault.name}.intersection(only)]
    if since is None:
        return faults
    changed, tests = set(git("diff", "--name-only", since)), guards()
    return [fault for fault in faults if changed.intersection([fault.file, *(test.partition("::")[0] for test in tests[fault.row])])]


def copy_tree(to: Path) -> Path:
    """What git knows of and what it does not ignore."""
    for name in git("ls-files", "--cached", "--others", "--exclude-standard"):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


class Trial:
    """Tests that run in a copy of the tree, in a process of their own, with a fault in it or without."""

    def __init__(self, copy: Path, tests: Sequence[str], fault: Fault | None = None) -> None:
        self.copy, self.fault, self.began = copy, fault, time.monotonic()
        if fault is not None:
            self.path = copy / fault.file
            self.sound = self.path.read_text(encoding="utf-8")
            write(self.path, fault.put(self.sound))
        self.process = multiprocessing.get_context("fork").Process(target=run_tests, args=(copy, tests))
        self.process.start()

    def wait(self) -> int:
        """Wait for the end, and make the copy as it was; returns its exit code."""
        self.process.join()
        if self.fault is not None:
            write(self.path, self.sound)
        return int(self.process.exitcode or 0)

    def said(self) -> str:
        """What pytest printed."""
        return (self.copy.parent / "said").read_text(encoding="utf-8", errors="replace")


def trials(faults: Sequence[Fault], tests: dict[str, list[str]], copies: Sequence[Path]) -> Iterator[Trial]:
    """Try the faults, as many at a time as there are copies; each is told as soon as it has ended."""
    left, free, running = list(faults), list(copies), dict[int, Trial]()
    try:
        while left or running:
            while left and free:
                fault = left.pop(0)
                trial = Trial(free.pop(), tests[fault.row], fault)
                running[trial.process.sentinel] = trial
            for sentinel in multiprocessing.connection.wait(running):
                trial = running.pop(int(sentinel))  # type: ignore[call-overload]
                tell(trial, trial.wait())
                free.append(trial.copy)
                yield trial
    finally:
        for trial in running.values():
            trial.process.kill()


def tell(trial: Trial, code: int) -> None:
    """One line; all that pytest printed where it could not run the tests."""
    word = {FOUND: "found", SOUND: "NOT FOUND", NO_TESTS: "NOT FOUND"}.get(code, "BROKEN")
    if trial.fault is not None:
        print(f"{trial.fault.name:>7} {word:9} {time.monotonic() - trial.began:5.0f} s  {trial.fault.says}", flush=True)
    if word == "BROKEN":
        print(trial.said()[-3000:], flush=True)


def run_tests(copy: Path, tests: Sequence[str]) -> None:
    """Become pytest, with the copy's packages, and end with its exit code; a row must be guarded by what is quick."""
    with (copy.parent / "said").open("wb") as said:
        for number in (1, 2):
            os.dup2(said.fileno(), number)
    paths = [str(copy / source) for source in SOURCES]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # for processes that tests start
    ours = {ROOT, ROOT / "tests", *(ROOT / source for source in SOURCES)}
    sys.path[:] = [*paths, *(path for path in sys.path if Path(path).resolve() not in ours)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "mutants"]:
        del sys.modules[name]
    os.chdir(copy)
    pytest = importlib.import_module("pytest")
    sys.exit(PYTEST + int(pytest.main(["-x", "-q", "-m", "not slow", "--no-header", "--tb=short", "-p", "no:cacheprovider", *tests])))


def write(path: Path, text: str) -> None:
    """Write it, and forget what Python compiled from the other text: it goes by size and second."""
    path.write_text(text, encoding="utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink()


def git(*words: str) -> list[str]:
    """Names that git lists."""
    done = subprocess.run(["git", "-C", str(ROOT), *words, "-z"], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


if __name__ == "__main__":
    sys.exit(main())
