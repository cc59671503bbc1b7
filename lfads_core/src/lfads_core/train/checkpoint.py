"""Checkpoints: tensors loadable with ``weights_only=True``, a JSON manifest beside them, nothing in between.

``last.json`` and ``best.json`` name a file of tensors and its SHA-256; renaming the manifest is the moment a checkpoint
comes into being. Killed before, the old one stands; killed after, the new one does. The file of tensors is named after its
content, so that writing a checkpoint again never touches one that a manifest names. Further good epochs may be kept as
``epoch-000012.json`` (:mod:`lfads_core.train.top_k`).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from lfads_core.errors import RunError
from lfads_core.files import remove_leftovers, sha256_of, write_bytes, write_json

SCHEMA = 1
"""Version of the layout; a checkpoint of another one is refused."""

Which = str
"""Name of a checkpoint: ``best``, ``last``, or what :func:`epoch_name` gives."""


@runtime_checkable
class Awaited(Protocol):
    """Something of a device that the host can wait for, such as ``torch.cuda.Event``."""

    def synchronize(self) -> None:
        """Return once it has come about."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """What a checkpoint holds."""

    tensors: Mapping[str, Any]  # nested dicts of tensors: "model", "arrays", and for ``last`` "optimizer"
    state: Mapping[str, Any]  # plain data: epoch, step, learning rate, smoothed metric, sizes
    copied: Awaited | None = None  # when a GPU has copied the tensors; None: they are there


def save_checkpoint(folder: Path, which: Which, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, then remove the one it replaces.

    Raises:
        RunError: it cannot be written, say because the disk is full; the one before still stands.
    """
    if checkpoint.copied is not None:
        checkpoint.copied.synchronize()
    content = io.BytesIO()  # torch.save into a file turns a full disk into noise of its own
    torch.save(checkpoint.tensors, content)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    moment = "" if which.startswith("epoch-") else f"-{checkpoint.state['epoch']:06d}-{checkpoint.state['step']:06d}"
    label = f"{which}{moment}-{digest[:8]}.pt"
    write_bytes(folder / label, content.getbuffer())
    write_json(
        folder / f"{which}.json",
        {"format": "lfads-checkpoint", "schema": SCHEMA, "tensors": label, "sha256": digest, "state": dict(checkpoint.state)},
    )
    for old in folder.glob(f"{which}-*.pt"):
        if old.name != label:
            old.unlink(missing_ok=True)


def load_checkpoint(folder: Path, which: Which, device: str = "cpu") -> Checkpoint:
    """Read a checkpoint after checking that it is whole and ours. Nothing in it is ever executed.

    Raises:
        RunError: it is missing, of another program or schema, or damaged.
    """
    path = folder / f"{which}.json"
    manifest = _read_manifest(path)
    tensors = folder / str(manifest["tensors"])
    if tensors.parent != folder or not tensors.is_file():
        raise RunError(f"{path}: its tensors must lie beside it as {manifest['tensors']!r}, but they do not. Restore the file, or train again.")
    if sha256_of(tensors) != manifest["sha256"]:
        raise RunError(f"{tensors}: must be as lfads wrote it, but its SHA-256 differs from that in {path.name}. Restore both files, or train again.")
    try:
        with warnings.catch_warnings(action="ignore"):  # of torch, about pickles that are refused anyway
            loaded = torch.load(tensors, map_location=device, weights_only=True)
    except Exception as err:  # whatever unpickling foreign bytes raises
        raise RunError(
            f"{tensors}: must hold tensors and nothing else, got something that was not read, for it might run code ({type(err).__name__}). "
            "Restore the file, or train again; trust no copy of unknown origin."
        ) from err
    if not isinstance(loaded, dict) or not {"model", "arrays"} <= loaded.keys():
        raise RunError(f"{tensors}: must hold 'model' and 'arrays', as lfads writes them, got something else. Restore the file, or train again.")
    return Checkpoint(tensors=loaded, state=manifest["state"])


def remove_checkpoint(folder: Path, which: Which) -> None:
    """Do away with a checkpoint, if there is one: its manifest first, so that none ever names tensors that are not there."""
    (folder / f"{which}.json").unlink(missing_ok=True)
    for tensors in folder.glob(f"{which}-*.pt"):
        tensors.unlink(missing_ok=True)


@contextmanager
def fitting(folder: Path, which: Which) -> Iterator[None]:
    """Turn what goes wrong while a checkpoint's contents are put to use into a sentence.

    Raises:
        RunError: they do not fit the settings, or the manifest has been changed.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as err:
        why = " ".join(str(err).split())[:200]
        raise RunError(
            f"{folder / which}.json: must fit the run's config.yaml and data, got something else ({type(err).__name__}: {why}). "
            "Restore config.yaml and the checkpoints as lfads wrote them."
        ) from err


def tidy(folder: Path) -> None:
    """Remove tensors that no manifest names, and halves of files: what a killed process leaves."""
    remove_leftovers(folder)
    epochs = {path.name[: len(epoch_name(0))] for path in folder.glob("epoch-*.pt")}
    for which in ("best", "last", *sorted(epochs)):
        try:
            named = _read_manifest(folder / f"{which}.json")["tensors"] if has_checkpoint(folder, which) else None
        except RunError:
            continue  # whoever needs this checkpoint hears of it then; until somebody has looked, nothing is thrown away
        for file in folder.glob(f"{which}-*.pt"):
            if file.name != named:
                file.unlink(missing_ok=True)


def epoch_name(epoch: int) -> Which:
    """Name of the checkpoint of one epoch, counted from 0 as in ``fitlog.csv``: ``epoch-000012``."""
    return f"epoch-{epoch:06d}"


def checkpoint_named(text: str) -> Which:
    """The checkpoint that somebody asks for: ``best``, ``last``, or ``epoch-12`` with or without leading zeros.

    Raises:
        RunError: it is none of these.
    """
    if text in {"best", "last"}:
        return text
    if (found := re.fullmatch(r"epoch-([0-9]+)", text)) is None:
        raise RunError(f"checkpoint: must be best, last or epoch-N with N as in fitlog.csv, got {text!r}. See train.keep_best.")
    return epoch_name(int(found[1]))


def kept_checkpoints(folder: Path) -> list[Which]:
    """Names of the single epochs that are kept, in their order."""
    return sorted(path.stem for path in folder.glob("epoch-*.json"))


def has_checkpoint(folder: Path, which: Which) -> bool:
    """Whether there is one to load."""
    return (folder / f"{which}.json").is_file()


def to_cpu(tree: Any) -> Any:
    """Copy of nested containers with every tensor on the CPU, detached: a snapshot that later steps cannot change.

    A GPU copies when its turn comes, before whatever it is asked next; nobody waits for it here (:attr:`Checkpoint.copied`).
    """
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True, non_blocking=tree.is_cuda)
    if isinstance(tree, Mapping):
        return {key: to_cpu(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [to_cpu(value) for value in tree]
    return tree


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = [which for which in ("best", "last") if has_checkpoint(path.parent, which)] + kept_checkpoints(path.parent)
        raise RunError(f"{path}: there is no such checkpoint. Train first, or ask for one that is there ({', '.join(there) or 'none'}).") from None
    except (OSError, ValueError) as err:
        raise RunError(f"{path}: must be a JSON manifest written by lfads, got: {err}. Restore the file, or train again.") from err
    if not isinstance(manifest, dict) or manifest.get("format") != "lfads-checkpoint":
        raise RunError(
            f"{path}: must be a manifest written by lfads, with format 'lfads-checkpoint', got another program's file. "
            "Give a folder that `lfads run` made."
        )
    if manifest.get("schema") != SCHEMA:
        raise RunError(
            f"{path}: this version reads checkpoints of schema {SCHEMA}, got {manifest.get('schema')!r}. Use the version of lfads that wrote it."
        )
    if missing := {"tensors", "sha256", "state"} - manifest.keys():
        raise RunError(f"{path}: must name {', '.join(sorted(missing))}, got a manifest without. Restore the file, or train again.")
    if not isinstance(manifest["state"], dict):
        raise RunError(f"{path}: 'state' must be an object, got {type(manifest['state']).__name__}. Restore the file, or train again.")
    return manifest
