"""What is tried: for each kind of input, how one is made from the material by a seed, and with which verb it is read."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from fuzzing.damage import damage_file, damaged, odd_value
from fuzzing.material import QUICK
from fuzzing.odd_arrays import make_odd_mat, make_odd_npz, make_odd_table, make_odd_zip
from fuzzing.odd_hdf5 import make_odd
from lfads_core.cli.main import cli
from raw_files import AROUND

Generator = np.random.Generator
SETTINGS = tuple(word for line in QUICK for word in ("--set", line))

_RECORDING = (
    ("data", "check", "F"),
    ("data", "check", "F", "--json"),
    ("run", "F", "--dry-run", *SETTINGS),
    ("run", "F", *SETTINGS),
    ("run", "F", *SETTINGS, "--set", "data.memory_gb=1e-7"),
    ("run", "F", *SETTINGS, "--set", "data.hold_out={fraction: 0.4}"),
    ("run", "F", "other.h5", *SETTINGS),
    ("infer", "runs/tiny", "F", "-o", "out.h5"),
    ("infer", "runs/tiny", "F", "-o", "out.h5"),
    ("data", "rebin", "F", "--bin", "20", "-o", "out.h5"),
    ("data", "smooth", "F", "--width", "20", "-o", "out.h5"),
    ("data", "split", "F", "-o", "out.h5"),
    ("data", "merge", "F", "-o", "out.h5"),
    ("data", "align", "F", "other.h5", "-o", "aligned"),
    ("data", "make", "F", "-o", "out.h5"),
    ("data", "chop", "F", "--window", "40", "-o", "out.h5"),
    ("bound", "runs/tiny", "F", "-o", "out.h5", "--samples", "2"),
    ("adapt", "runs/tiny", "F", "--set", "train.epochs=1"),
    ("bundle", "F", *SETTINGS, "--search", "none"),
    ("collection", "new", "another", "--data", "F", *SETTINGS),
)
_RUN = (
    ("infer", "R"),
    ("eval", "R"),
    ("report", "R"),
    ("export", "R", "--h5", "all.h5"),
    ("export", "R", "--mat", "all.mat"),
    ("export", "R", "--parameters", "p.h5"),
    ("compare", "R", "runs/tiny"),
    ("compare", "runs"),
    ("run", "--resume", "R", "--set", "train.epochs=3"),
    ("adapt", "R", "other.h5", "--set", "train.epochs=1"),
    ("generate", "R", "-n", "2"),
    ("bound", "R", "--samples", "2"),
    ("stream", "R"),
    ("cite", "R"),
    ("data", "merge", "R/lfads_output_tiny.h5", "-o", "out.h5"),
    ("infer", "R", "other.h5", "-o", "out.h5"),
    ("eval", "R", "--few-shot", "3"),
    ("eval", "R", "--json"),
)
_SEARCH = (
    ("search", "status", "R"),
    ("search", "resume", "R"),
    ("search", "best", "R"),
    ("search", "retry", "R"),
    ("compare", "R"),
    ("report", "R"),
    ("eval", "R"),
)
_COLLECTION = (
    ("collection", "status", "R"),
    ("collection", "prepare", "R"),
    ("collection", "list", "R"),
    ("collection", "table", "R"),
    ("collection", "info", "R"),
)
_YAML = (
    ("run", "tiny.h5", "F", "--dry-run"),
    ("config", "check", "F"),
    ("config", "show", "F"),
    ("config", "import", "F"),
    ("run", "tiny.h5", "F"),
    ("bundle", "tiny.h5", "F", "--search", "none"),
    ("search", "random", "tiny.h5", "F", "--members", "1", "--epochs", "1"),
)
_MAKE = (
    ("data", "make", "F", *AROUND, "-o", "out.h5"),
    ("data", "chop", "F", "--window", "500", "-o", "out.h5"),
    ("data", "make", "F", "-o", "out.h5", "--bin", "20"),
)
_CHOP = (("data", "chop", "F", "--window", "500", "-o", "out.h5"), ("data", "chop", "F", "--window", "500", "--bin", "66.6667", "-o", "out.h5"))
_OPTIONS = (
    ("synth", "lorenz"),
    ("synth", "rate-network"),
    ("run", "tiny.h5", *SETTINGS),
    ("infer", "runs/tiny"),
    ("data", "rebin", "tiny.h5", "-o", "out.h5"),
    ("data", "make", "csv/spikes.csv", "--trials", "csv/trials.csv", "-o", "out.h5"),
    ("generate", "runs/tiny"),
    ("config", "show"),
    ("data", "smooth", "tiny.h5", "-o", "out.h5"),
    ("data", "chop", "csv/spikes.csv", "-o", "out.h5"),
    ("bound", "runs/tiny"),
    ("export", "runs/tiny"),
    ("eval", "runs/tiny"),
    ("cite",),
    ("plugins", "show"),
)
_GENERATED = ("mean_rate", "trials_per_condition", "bins", "channels", "conditions", "bin_ms", "sessions", "x")
_SET = (
    "data.batch_size",
    "optim.lr",
    "infer.samples",
    "model.generator.hidden",
    "train.epochs",
    "train.seed",
    "data.memory_gb",
    "x",
    "train.device",
    "components.ic_prior",
    "model.encoder.read_bins",
    "data.hold_out",
    "regularisation.l2_ramp.increase_epochs",
)


_TRAIN = {("search", "random"), ("search", "resume"), ("search", "best"), ("search", "retry")}


@dataclass(frozen=True)
class Input:
    """A kind of input: what to copy of the material, what to do to it, and the verbs that read it."""

    copied: str
    change: Callable[[Path, Generator], None]
    verbs: tuple[tuple[str, ...], ...]
    beside: tuple[str, ...] = ()  # further material that the verbs name


def _damage(path: Path, rng: Generator) -> None:
    path.write_bytes(damaged(path.read_bytes(), rng))


def _odd_then_damaged(path: Path, rng: Generator) -> None:
    make_odd(path, rng)
    if rng.random() < 0.2:
        _damage(path, rng)


def _in_folder(folder: Path, rng: Generator) -> None:
    """Damage one file of a run's, a search's or a collection's folder, remove it, empty it, or put something else in its place."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != ".lock" and p.suffix != ".png")
    changed: set[Path] = set()  # of which HDF5 may make nothing any more
    for _ in range(1 if rng.random() < 0.8 else 2):
        path = files[rng.integers(len(files))]
        choice = rng.random()
        if not path.is_file():
            continue
        if choice < 0.06:
            path.unlink()
        elif choice < 0.12:
            path.write_bytes(b"")
        elif choice < 0.16:
            path.unlink()
            path.mkdir()
        elif choice < 0.2:
            other = files[rng.integers(len(files))]
            if other.is_file() and other != path:
                shutil.copyfile(other, path)
        elif path.suffix == ".h5" and choice < 0.6 and path not in changed:
            make_odd(path, rng)
        else:
            damage_file(path, rng)
        changed.add(path)


def _nothing(_path: Path, _rng: Generator) -> None:
    pass


KINDS = {
    "hdf5-odd": Input("tiny.h5", _odd_then_damaged, _RECORDING, ("other.h5", "runs")),
    "hdf5-damaged": Input("tiny.h5", _damage, _RECORDING, ("other.h5", "runs")),
    "npz-odd": Input("npz/mine.npz", make_odd_npz, _MAKE),
    "npz-damaged": Input("npz/mine.npz", _damage, _MAKE),
    "mat-odd": Input("mat-5/mine.mat", make_odd_mat, _MAKE),
    "mat-damaged": Input("mat-5/mine.mat", _damage, _MAKE),
    "mat73-odd": Input("mat-7.3/mine.mat", _odd_then_damaged, _MAKE),
    "mat73-damaged": Input("mat-7.3/mine.mat", _damage, _MAKE),
    "raw-hdf5-odd": Input("h5/mine.h5", _odd_then_damaged, _MAKE),
    "table": Input(
        "csv/spikes.csv",
        make_odd_table,
        tuple((*verb, "--trials", "trials.csv", "--series", "hand=hand.csv") for verb in _MAKE),
        ("csv/trials.csv", "csv/hand.csv"),
    ),
    "trials": Input(
        "csv/trials.csv", make_odd_table, (("data", "make", "spikes.csv", "--trials", "F", *AROUND[:-4], "-o", "out.h5"),), ("csv/spikes.csv",)
    ),
    "series": Input(
        "csv/hand.csv",
        make_odd_table,
        (("data", "make", "spikes.csv", "--trials", "trials.csv", "--series", "hand=F", *AROUND, "-o", "out.h5"),),
        ("csv/spikes.csv", "csv/trials.csv"),
    ),
    "nwb-odd": Input("nwb/mine.nwb", _odd_then_damaged, _MAKE),
    "nwb-damaged": Input("nwb/mine.nwb", _damage, _MAKE),
    "plane": Input("calcium/plane0", _in_folder, _CHOP),
    "fall-odd": Input("calcium/Fall.mat", make_odd_mat, _CHOP),
    "fall-damaged": Input("calcium/Fall.mat", _damage, _CHOP),
    "fall73-odd": Input("calcium/Fall73.mat", _odd_then_damaged, _CHOP),
    "caiman-odd": Input("calcium/cnmf.hdf5", _odd_then_damaged, _CHOP),
    "yaml": Input("config.yaml", damage_file, _YAML, ("tiny.h5",)),
    "run": Input("runs/tiny", _in_folder, _RUN, ("runs", "tiny.h5", "other.h5")),
    "search": Input("runs/search", _in_folder, _SEARCH, ("tiny.h5",)),
    "collection": Input("sweep", _in_folder, _COLLECTION, ("tiny.h5",)),
    "zip": Input("sessions.zip", make_odd_zip, (("bundle", "F", *SETTINGS, "--search", "none"),)),
    "options": Input("tiny.h5", _nothing, _OPTIONS, ("runs", "other.h5", "csv")),
    "objects": Input("tiny.h5", _nothing, (("python",),)),
}
"""Kinds by name."""


def build(kind: str, seed: int, material: Path, folder: Path, *, wanted: Callable[[Sequence[str]], bool] = lambda _: True) -> list[str]:
    """Put the input into an empty folder; the words of the command that reads it, one of the ``wanted`` ones."""
    of = KINDS[kind]
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    verbs = [verb for verb in of.verbs if wanted(verb)]
    words = lay_out(of, kind, material, folder, rng, verbs)
    return words + (_odd_options(words, rng) if kind == "options" else [str(seed)] if kind == "objects" else [])


def is_light(verb: Sequence[str]) -> bool:
    """Whether a command needs neither a run nor torch."""
    return verb[0] in {"data", "config"} and "other.h5" not in verb


def lay_out(of: Input, kind: str, material: Path, folder: Path, rng: Generator, verbs: Sequence[tuple[str, ...]]) -> list[str]:
    """Copy what the input needs, change it, and choose a verb."""
    for name in of.beside:
        if not (material / name).exists():
            continue  # of material without runs
        _copy(material / name, folder / (name if name in {"runs", "csv"} else Path(name).name))
    source = material / of.copied
    name = source.name if kind != "run" else "victim"
    _copy(source, folder / name)
    of.change(folder / name, rng)
    verb = verbs[rng.integers(len(verbs))]
    return [{"F": name, "R": name, "hand=F": f"hand={name}"}.get(word, word.replace("R/", f"{name}/")) for word in verb]


def is_cheap(verb: Sequence[str]) -> bool:
    """Whether a command takes a fraction of a second."""
    return verb[0] not in {"bundle", "report", "adapt"} and (verb[0] != "run" or "--dry-run" in verb) and tuple(verb[:2]) not in _TRAIN


def _odd_options(words: list[str], rng: Generator) -> list[str]:
    """Some options of the command, each with a value that is none of the usual ones."""
    command: Any = cli
    context = click.Context(cli)
    for word in words[:2]:
        command = command.get_command(context, word) if isinstance(command, click.Group) else command
    options = [param for param in command.params if isinstance(param, click.Option) and not param.is_flag and param.name not in {"help", "runs"}]
    found: list[str] = []
    for _ in range(int(rng.integers(1, 4))):
        option = options[rng.integers(len(options))].opts[-1] if options else "--help"
        value = str(odd_value(rng)).replace("\x00", "").encode(errors="ignore").decode()
        if option == "--set":
            keys = _GENERATED if words[0] == "synth" else _SET
            value = f"{keys[rng.integers(len(keys))]}={value}"
        found += [option, value]
    return found


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)
