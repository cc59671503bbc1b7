"""The work folder of a bundle: what it is for, where its parts lie, and whether there is something to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lfads_core.config.differences import differences, settings_hash
from lfads_core.config.schema import RunConfig
from lfads_core.errors import RunError
from lfads_core.files import read_json, sha256_of, spoken_failure, write_json
from lfads_plugins_tune.search.history import JOURNAL

NO_SEARCH = "none"
"""Stands for a single run where a search algorithm could be named."""


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What a work folder is for: the same data, settings and kind of search, or none."""

    data: str  # SHA-256 of the recording or zip
    settings: str  # hash of what differs from the defaults
    kind: str  # name of a search algorithm, or NO_SEARCH


@dataclass(frozen=True)
class Work:
    """Paths of a work folder."""

    path: Path

    @property
    def purpose_path(self) -> Path:
        """What the folder is for."""
        return self.path / "bundle.json"

    @property
    def data(self) -> Path:
        """Recordings that were unpacked."""
        return self.path / "data"

    @property
    def model(self) -> Path:
        """The run or the search."""
        return self.path / "model"

    @property
    def has_begun(self) -> bool:
        """Whether there is training to go on with."""
        return (self.model / "run.json").exists() or (self.model / JOURNAL).exists()

    def open(self, purpose: Purpose, *, resume: bool) -> None:
        """Take the folder for this purpose.

        Raises:
            RunError: it holds something and is not to be gone on with, or was for another purpose, or cannot be written.
        """
        known = self._known()
        if resume and known is None:
            raise RunError(f"{self.path}: --resume needs a folder that a bundle has worked in, got none. Leave --resume out to begin.")
        if not resume and self.path.is_dir() and any(self.path.iterdir()):
            raise RunError(
                f"{self.path}: a new bundle needs an empty folder to work in, but there is something in it. Use --resume, or another --work."
            )
        if known is not None and known != asdict(purpose):
            changed = [key for key, value in asdict(purpose).items() if known.get(key) != value]
            raise RunError(f"{self.path}: --resume must be given what the bundle began with, but {', '.join(changed)} changed. Use another --work.")
        with spoken_failure(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self.data.mkdir(exist_ok=True)
        write_json(self.purpose_path, asdict(purpose))

    def _known(self) -> Mapping[str, object] | None:
        try:
            return read_json(self.purpose_path)
        except RunError:
            return None


def purpose_of(source: Path, config: RunConfig, kind: str) -> Purpose:
    """What a bundle of this recording or zip with these settings is.

    Raises:
        RunError: the source cannot be read.
    """
    try:
        digest = sha256_of(source)
    except OSError as err:
        raise RunError(f"{source}: must be a readable recording or zip, got: {err.strerror}. Check the path.") from err
    return Purpose(data=digest, settings=settings_hash(differences(config)), kind=kind)
