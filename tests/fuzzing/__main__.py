"""Run the session: ``python -m fuzzing --count 5000 --seed 1``; every fault's kind is told once, with what reproduces it."""

from __future__ import annotations

import argparse
import collections
import gc
import importlib.util
import os
import resource
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

_LIGHT = ("click.testing", "h5py", "scipy.io", "lfads_core.data.checks", "lfads_core.data.read", "lfads_plugins_lab.recordings", "rich.table")
_WITH_RUNS = {"run", "search", "collection", "options", "nwb-odd", "nwb-damaged"}

_LOADED = (
    "click.testing",
    "matplotlib.pyplot",
    "scipy.io",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.linear_model",
    "lfads_core.pipeline.run",
    "lfads_plugins_lab.evaluate",
    "lfads_plugins_lab.recordings",
    "lfads_plugins_tune.search.run",
)


def main() -> int:
    """Play inputs of all kinds in turn; the exit code is 1 if there was any fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="Inputs to play, over all kinds.")
    parser.add_argument("--seed", type=int, help="First seed; drawn from the clock, and printed, if it is not given.")
    parser.add_argument("--kind", action="append", help="Only this kind; may be repeated.")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="Stop after so long.")
    parser.add_argument("--keep", type=Path, help="Folder for the inputs that found a fault.")
    parser.add_argument("--cheap", action="store_true", help="Only verbs that neither train nor draw.")
    parser.add_argument("--light", action="store_true", help="Only files, and verbs that need neither a run nor torch: seconds.")
    parser.add_argument("--verbose", action="store_true", help="Show what each input came to.")
    options = parser.parse_args()
    os.environ.update({"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "NO_COLOR": "1"})
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 10**9, 2 * 10**9))
    _warm_up(light=options.light)
    from fuzzing.inputs import KINDS, is_cheap, is_light

    wanted = is_light if options.light else is_cheap if options.cheap else lambda _: True
    there = [kind for kind, of in KINDS.items() if any(map(wanted, of.verbs)) and not (options.light and kind in _WITH_RUNS)]
    kinds = options.kind or there
    first = int(time.time()) % 10**8 if options.seed is None else options.seed
    print(f"seeds from {first}; kinds: {', '.join(kinds)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        return _session(Path(folder), kinds, first, options, wanted)


def _session(folder: Path, kinds: list[str], first: int, options: argparse.Namespace, wanted: Callable[[Sequence[str]], bool]) -> int:
    from fuzzing.harness import play
    from fuzzing.inputs import build

    material = folder / "material"
    _in_a_child(material, runs=not options.light)
    _rehearse(material, folder / "rehearsal", kinds, wanted)
    end = time.monotonic() + 60 * options.minutes
    found: dict[str, list[str]] = collections.defaultdict(list)
    played, slowest = 0, (0.0, "")
    for number in range(options.count):
        kind, seed = kinds[number % len(kinds)], first + number // len(kinds)
        if time.monotonic() > end:
            break
        if number and not number % 200:
            print(f"... {number} inputs, {sum(map(len, found.values()))} faults of {len(found)} kinds", flush=True)
        place = folder / "here"
        place.mkdir()
        try:
            words = build(kind, seed, material, place, wanted=wanted)
            if options.verbose:
                print(f"{kind} {seed}: lfads {shlex.join(words)}", flush=True)
            outcome = play(words, place)
            played += 1
            slowest = max(slowest, (outcome.seconds, f"{kind} {seed}"))
            if options.verbose:
                print(f"    {outcome.fault or 'ok'}: {outcome.text.strip()[-300:]}", flush=True)
            if outcome.fault:
                _tell(found, outcome.fault, f"--kind {kind} --seed {seed}", words, outcome.text)
                if options.keep and len(found[outcome.fault]) == 1:
                    shutil.copytree(place, options.keep / f"{kind}-{seed}", dirs_exist_ok=True, symlinks=True, ignore_dangling_symlinks=True)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    faults = sum(map(len, found.values()))
    print(f"{played} inputs, {faults} faults of {len(found)} kinds; the slowest took {slowest[0]:.1f} s ({slowest[1]})")
    for fault, seeds in sorted(found.items(), key=lambda item: -len(item[1])):
        print(f"{len(seeds):5}  {fault}   {seeds[0]}")
    return int(bool(found))


def _tell(found: dict[str, list[str]], fault: str, seed: str, words: list[str], text: str) -> None:
    found[fault].append(seed)
    if len(found[fault]) == 1:
        print(f"\n== {fault}\n   {seed} --count 1: lfads {shlex.join(words)[:300]}\n{text.strip()[-1500:]}", flush=True)


def _warm_up(*, light: bool) -> None:
    """Load once what every input would load."""
    if light:
        for name in _LIGHT:
            importlib.import_module(name)
        return
    import torch

    torch.set_num_threads(1)
    for name in _LOADED:
        importlib.import_module(name)
    if importlib.util.find_spec("pynwb") is None:
        print("without pynwb: NWB files are not tried")
    else:
        importlib.import_module("pynwb")


def _rehearse(material: Path, place: Path, kinds: list[str], wanted: Callable[[Sequence[str]], bool]) -> None:
    """Read each kind once in this process, so that what is read once need not be read again after every fork."""
    import numpy as np
    from click.testing import CliRunner

    from fuzzing.inputs import KINDS, is_cheap, lay_out
    from lfads_core.cli.main import cli

    here = Path.cwd()
    rng = np.random.default_rng(0)
    for kind in kinds:
        of = KINDS[kind]
        verbs = [verb for verb in of.verbs if is_cheap(verb) and wanted(verb)][:1]
        if verbs and not kind.endswith("-damaged"):
            faultless = replace(of, change=lambda _path, _rng: None)
            place.mkdir()
            words = lay_out(faultless, kind, material, place, rng, verbs)
            os.chdir(place)
            CliRunner().invoke(cli, words)
            os.chdir(here)
            shutil.rmtree(place)
    gc.collect()
    gc.freeze()


def _in_a_child(material: Path, *, runs: bool) -> None:
    """Make the material in another process, so that this one has trained nothing when it forks."""
    if process := os.fork():
        if os.waitpid(process, 0)[1]:
            raise SystemExit("the material could not be made")
        return
    status = 1
    try:
        from fuzzing.material import make

        material.mkdir()
        make(material, runs=runs)
        status = 0
    except BaseException:  # noqa: BLE001 - the child ends here whatever it was
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
