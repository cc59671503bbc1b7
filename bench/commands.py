"""Commands of ``lfads``, each measured once and kept in a file of lines: what the comparisons of this folder have in common."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

REFUSED = 2
"""The status with which ``lfads`` says that something given does not go."""

ALIKE = ("train.threads=1", "infer.figures=false", "infer.samples=10", "track.mlflow=false")
"""Settings of every training that is compared."""

Row = dict[str, Any]


def options(text: str | None) -> argparse.ArgumentParser:
    """What the comparisons of recordings take; ``text`` is the script's own."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", metavar="FILE[=RECIPE]")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], dest="more", help="a setting for all of them")
    parser.add_argument("--keep", type=Path, required=True, help="results, a line each")
    return parser


def settings(*given: str) -> list[str]:
    """Options for settings, and for those that all trainings have."""
    return [part for setting in (*ALIKE, *given) for part in ("--set", setting)]


def of_recipe(recording: str) -> tuple[str, list[str]]:
    """The file of ``FILE[=RECIPE]``, and the options that choose the recipe."""
    file, _, recipe = recording.partition("=")
    return file, ["--plugin", recipe] if recipe else []


def kept(path: Path) -> list[Row]:
    """All rows so far."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def once(path: Path, key: Mapping[str, Any], arguments: Sequence[str], run: str = "run", read: Callable[[Path], Row] | None = None) -> Row:
    """The row of this key, which is measured if it is not kept: CPU seconds and most memory of the whole command, and what the run scores.

    ``arguments`` follow ``lfads``; the command writes into ``--runs`` a run or search called ``run``, and ``run`` is where the scores are; ``read``
    takes others from there. A row of what is refused has the sentence instead.
    """
    for row in kept(path):
        if key.items() <= row.items():
            return row
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lfads_core.cli.main", *arguments, "--runs", folder, "--name", "run"]
        code, used, errors = waited(command, Path(folder) / "said")
        said = (errors.splitlines() or [str(code)])[-1]
        if code not in {0, REFUSED}:
            raise SystemExit(f"{' '.join(command)}: {said}")
        found = {"refused": said} if code else (read or result)(Path(folder) / run)
    row = {**key, "cpu_s": round(used.ru_utime + used.ru_stime, 1), "peak_mb": used.ru_maxrss // 1024, **found}
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(row)}\n")
    return row


def waited(command: Sequence[str], said: Path) -> tuple[int, resource.struct_rusage, str]:
    """Exit code of a command on one thread, what it used of the machine, and what it wrote as errors, by way of the file ``said``."""
    with said.open("wb") as errors:
        process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
    return os.waitstatus_to_exitcode(status), used, said.read_text(encoding="utf-8", errors="replace").strip()


def result(run: Path) -> Row:
    """Scores of a finished run, its epochs, and how often it passes over all trials in one."""
    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    epochs = len((run / "fitlog.csv").read_text(encoding="utf-8").splitlines()) - 1
    scores = json.loads((run / "run.json").read_text(encoding="utf-8"))["scores"]
    return {"scores": scores, "epochs": epochs, "passes": settings["data"]["passes"]}


def synth(generator: str, to: Path, chosen: Sequence[str], seed: int = 0) -> Path:
    """Write a synthetic recording, or a folder of them, of these settings of a generator; returns where."""
    command = [sys.executable, "-m", "lfads_core.cli.main", "synth", generator, "-o", str(to), "--seed", str(seed), "--force"]
    done = subprocess.run([*command, *(part for setting in chosen for part in ("--set", setting))], check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{to}: {done.stderr.strip()}")
    return to


def held_out(row: Row) -> float | None:
    """How well values of held-out channels of validation trials are predicted: co-bps of counts, R2 of others."""
    return next((row["scores"][name] for name in ("valid/co_bps", "valid/co_r2") if name in row["scores"]), None)


def truth(row: Row) -> float | None:
    """How near rates of validation trials come to the true ones: R2, mean over channels."""
    return row["scores"].get("valid/r2_truth")


def behaviour(row: Row) -> float | None:
    """How well behaviour of validation trials is decoded: R2, mean over its dimensions."""
    found = [value for name, value in row["scores"].items() if name.startswith("valid/behaviour_r2_")]
    return statistics.mean(found) if found else None


def cell(values: Iterable[float | None]) -> str:
    """Mean, and standard deviation where there are several."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    spread = f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.3f}{spread}"


def table(rows: Sequence[Row], name: str, order: Sequence[str], columns: Mapping[str, Callable[[Row], float | None]]) -> Iterator[str]:
    """A line for each recording and each thing compared, which ``name`` is the key of; columns are means over seeds."""
    yield f"| recording | {name} | seeds | {' | '.join(columns)} | CPU s |"
    yield "|---" * (len(columns) + 4) + "|"
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["recording"], row[name]), []).append(row)
    recordings = list(dict.fromkeys(recording for recording, _ in found))
    for recording, which in sorted(found, key=lambda at: (recordings.index(at[0]), order.index(at[1]))):
        several = found[recording, which]
        if any("refused" in row for row in several):
            cells = ["does not go with it", *[""] * len(columns)]
        else:
            cells = [*(cell(map(of, several)) for of in columns.values()), f"{statistics.mean(row['cpu_s'] for row in several):.0f}"]
        yield f"| {recording} | {which} | {len(several)} | {' | '.join(cells)} |"
