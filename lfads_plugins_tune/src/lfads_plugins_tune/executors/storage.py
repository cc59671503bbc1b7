"""Files kept by what is in them, at any place that pyarrow or fsspec can write: how a search travels between machines without a common folder."""

from __future__ import annotations

import hashlib
import importlib
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from lfads_core.errors import ConfigError, RunError
from lfads_core.files import replacing, sha256_of
from lfads_core.wording import one_line

log = logging.getLogger(__name__)

PATIENCE = 600.0
"""Seconds for which a storage that does not answer is tried again."""

_CHUNK = 2**20


class Storage:
    """A search's own folder, ``lfads-KEY``, below ``url``. Each file in it is called by the SHA-256 of its bytes, and never changes.

    So two workers cannot be in each other's way, whatever is there already is not sent again, and what was damaged on its way is found out.

    Raises:
        ConfigError: nothing can be written there.
    """

    def __init__(self, url: str, key: str, *, patience: float = PATIENCE) -> None:
        self.shown = shown(url)
        self._patience = patience
        self._files, place = _file_system(url, self.shown)
        self._folder = f"{place.rstrip('/')}/lfads-{key}"

    def open(self) -> None:
        """Find out whether it can be written, before anything else is done.

        Raises:
            ConfigError: it cannot.
        """
        try:
            self._files.create_dir(self._folder, recursive=True)
            self._write(f"{self._folder}/written", [b"here"])
        except Exception as err:  # whatever arrow, fsspec or the service raise
            raise ConfigError(
                f"--storage {self.shown}: must be writable from here, got: {one_line(err)}. Check the address, and the keys in the environment."
            ) from err

    def put(self, path: Path) -> str:
        """Send a file unless it is there; returns its SHA-256.

        Raises:
            RunError: the storage does not take it.
        """
        name, size = sha256_of(path), path.stat().st_size

        def send() -> None:
            if self._files.get_file_info(f"{self._folder}/{name}").size != size:
                self._write(f"{self._folder}/{name}", _chunks(path))

        self._insist(f"take {path.name}", send)
        return name

    def get(self, name: str, path: Path) -> None:
        """Fetch a file to ``path``.

        Raises:
            RunError: it is not there whole.
        """

        def fetch() -> None:
            digest = hashlib.sha256()
            with self._files.open_input_stream(f"{self._folder}/{name}") as source, replacing(path) as fresh, fresh.open("wb") as target:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    target.write(chunk)
                if digest.hexdigest() != name:
                    raise OSError(f"its SHA-256 is {digest.hexdigest()[:12]}, not {name[:12]}: it was damaged or cut short")

        path.parent.mkdir(parents=True, exist_ok=True)
        self._insist(f"give {path.name}", fetch)

    def send(self, folder: Path, parts: Collection[str]) -> dict[str, str]:
        """Put these files and folders of a folder; returns SHA-256 by path within it. What is not there is left out.

        Raises:
            RunError: as :meth:`put`.
        """
        return {str(path.relative_to(folder)): self.put(path) for path in _files_of(folder, parts)}

    def fetch(self, folder: Path, files: Mapping[str, str], parts: Collection[str]) -> None:
        """Have these parts of a folder hold ``files``, as :meth:`send` gave them, and nothing else.

        What is the same already stays. JSON comes last: that of a checkpoint names files that must be there.

        Raises:
            RunError: as :meth:`get`, or the folder cannot be written.
        """
        for name in sorted(files, key=lambda name: (name.endswith(".json"), name)):
            path = folder / name
            if not (path.is_file() and sha256_of(path) == files[name]):
                self.get(files[name], path)
        for path in list(_files_of(folder, parts)):
            if str(path.relative_to(folder)) not in files:
                path.unlink()

    def sweep(self, keep: Collection[str]) -> None:
        """Remove what nobody needs any longer; what cannot be removed stays."""
        try:
            for info in self._files.get_file_info(_selector(self._folder)):
                if re.fullmatch("[0-9a-f]{64}", info.base_name) and info.base_name not in keep:
                    self._files.delete_file(info.path)
        except Exception as err:  # noqa: BLE001 - whatever the service raises
            log.debug("%s: not swept: %s", self.shown, err)

    def clear(self) -> None:
        """Remove the folder."""
        try:
            self._files.delete_dir(self._folder)
        except Exception as err:  # noqa: BLE001 - whatever the service raises
            log.warning("--storage %s: %s could not be removed: %s", self.shown, self._folder.rpartition("/")[2], one_line(err))

    def _write(self, place: str, chunks: Collection[bytes] | Iterator[bytes]) -> None:
        with self._files.open_output_stream(place) as target:
            for chunk in chunks:
                target.write(chunk)

    def _insist(self, what: str, action: Callable[[], None]) -> None:
        """Do something, again and again while the storage does not answer."""
        end, pause = time.monotonic() + self._patience, 0.5
        while True:
            try:
                return action()
            except Exception as err:
                if time.monotonic() + pause > end:
                    raise RunError(
                        f"--storage {self.shown}: must {what} within {self._patience:g} s, got: {one_line(err)}. Mend it, then resume the search."
                    ) from err
                log.debug("--storage %s: %s", self.shown, err)
                time.sleep(pause)
                pause = min(2 * pause, 30.0)


def shown(url: str) -> str:
    """An address without what may be secret in it."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]


def _file_system(url: str, named: str) -> tuple[Any, str]:
    """Arrow's own file systems first, then those of fsspec."""
    if "://" not in url and not Path(url).is_absolute():
        raise ConfigError(f"--storage: must be an address such as s3://bucket/folder or a whole path such as /data/scratch, got {named!r}")
    arrow = importlib.import_module("pyarrow.fs")
    try:
        files, place = arrow.FileSystem.from_uri(url)
    except Exception as first:  # noqa: BLE001 - a scheme that it does not know, or a malformed address
        try:
            of, place = importlib.import_module("fsspec.core").url_to_fs(url)
        except Exception as err:
            raise ConfigError(
                f"--storage {named}: must be an address that pyarrow or fsspec can write, got: {one_line(err)} (pyarrow: {one_line(first)}). "
                "Install what it needs, here and on all nodes, or choose another."
            ) from err
        files = arrow.PyFileSystem(arrow.FSSpecHandler(of))
    return files, place


def _selector(folder: str) -> Any:
    return importlib.import_module("pyarrow.fs").FileSelector(folder)


def _files_of(folder: Path, parts: Collection[str]) -> Iterator[Path]:
    """Files of these parts of a folder, without hidden and temporary ones."""
    for part in parts:
        path = folder / part
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in inside if file.is_file() and not file.name.startswith("."))


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
