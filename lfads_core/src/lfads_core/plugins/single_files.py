"""Plugins that are one Python file and no package (``--plugin-file my.py``); runs keep a copy, by which they are found again."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from lfads_core.errors import PluginError
from lfads_core.files import sha256_of, write_bytes, write_json
from lfads_core.origin import where
from lfads_core.wording import one_line

VARIABLE = "LFADS_PLUGIN_FILES"
"""Environment variable that holds their paths, joined as in PATH, so that processes that are started load them too."""

FOLDER, MANIFEST = "plugins", "files.json"
_MARK = "__lfads_sha256__"


def wanted_files() -> tuple[Path, ...]:
    """The files that this process loads, in order."""
    return tuple(Path(text) for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text)


def want_files(files: Iterable[Path]) -> None:
    """Have this process, and those that it starts, load these files and no others from now on."""
    paths = {path.name: str(path.expanduser().resolve()) for path in files}
    os.environ[VARIABLE] = os.pathsep.join(paths.values())


def load_file(path: Path) -> tuple[str, ModuleType]:
    """Hash and module of a file. The module is called like the file, so that ``build="my:Sparse"`` finds what stands in ``my.py``.

    Raises:
        PluginError: there is no such file, its name is no module's or is taken, or it cannot be imported.
    """
    name = path.stem
    if path.suffix != ".py" or not name.isidentifier() or not path.is_file():
        raise PluginError(f"--plugin-file: must be a Python file named like a module, such as my_plugin.py, got {str(path)!r}")
    digest = sha256_of(path)
    there = sys.modules.get(name)
    known = getattr(there, _MARK, None)
    if there is not None and digest in (known, _hash_of(there)):
        return digest, there
    if (there is not None and known is None) or (there is None and _taken(name, path)):
        raise PluginError(f"--plugin-file: {path}: must not be called like a module that is here already, got {name!r}. Rename the file.")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"--plugin-file: {path}: must be a Python file that can be imported.")
    module = importlib.util.module_from_spec(spec)
    setattr(module, _MARK, digest)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as err:
        del sys.modules[name]
        alone = " A plugin file must stand alone: runs keep it, and nothing beside it." if isinstance(err, ImportError) else ""
        raise PluginError(f"--plugin-file: {path} must be imported, got {one_line(err)}{where(err)}.{alone}") from err
    return digest, module


def _taken(name: str, path: Path) -> bool:
    """Whether a module that is installed would be imported by the name; a file in a folder on the path, the original of a kept one, is none."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return False
    origin = Path(spec.origin or "")
    loose = origin.name == path.name and not {"site-packages", "dist-packages"} & set(origin.parts)
    return name in sys.stdlib_module_names or not loose


def _hash_of(module: ModuleType) -> str | None:
    """The hash of a module that was imported as usual."""
    file = getattr(module, "__file__", None)
    return None if file is None else _hash(Path(file))


def keep_files(folder: Path) -> None:
    """Copy the files that this process has loaded into the folder of a run or search, with their hashes; nothing where there are none."""
    found = {path: path.read_bytes() for path in wanted_files()}
    if not found:
        return
    kept = folder / FOLDER
    kept.mkdir(parents=True, exist_ok=True)
    hashes = {path.name: hashlib.sha256(content).hexdigest() for path, content in found.items()}
    for path, content in found.items():
        if _hash(kept / path.name) != hashes[path.name]:
            write_bytes(kept / path.name, content)
    write_json(kept / MANIFEST, {**kept_hashes(folder), **hashes})


def kept_hashes(folder: Path) -> Mapping[str, str]:
    """Names and hashes of the files that a run or search keeps.

    Raises:
        PluginError: the list of them is damaged.
    """
    manifest = folder / FOLDER / MANIFEST
    if not manifest.is_file():
        return {}
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise PluginError(f"{manifest}: must be JSON written by lfads, got: {err}. Restore it.") from err
    if not isinstance(found, dict) or not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise PluginError(f"{manifest}: must hold names of files and their hashes, got {found!r}. Restore it.")
    return found


def want_files_of(folder: Path) -> None:
    """Have this process load the files that a run or search keeps too. A file of the same name that was asked for already stays.

    Raises:
        PluginError: a kept file is gone, or is no longer what it was.
    """
    asked = {path.name: path for path in wanted_files()}
    for name, digest in kept_hashes(folder).items():
        path = folder / FOLDER / name
        if name in asked:
            if _hash(asked[name]) != digest:
                logging.getLogger("lfads").warning("%s: takes the place of the other %s that %s was made with", asked[name], name, folder)
            continue
        if _hash(path) != digest:
            raise PluginError(
                f"{path}: must be the plugin file that the run was made with (sha256 {digest[:8]}), got {(_hash(path) or 'none')[:8]}. "
                f"Restore it, or give the one to use instead: --plugin-file {name}"
            )
        asked[name] = path
    if asked:
        want_files(asked.values())


def _hash(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None
