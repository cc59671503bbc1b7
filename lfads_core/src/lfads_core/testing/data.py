"""Laws of generators of synthetic data and of readers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lfads_core.data.checks import check_sessions
from lfads_core.data.read import read_session, read_sessions
from lfads_core.data.session import Session
from lfads_core.plugins.specs import DataReaderSpec, NoSettings, SyntheticSpec
from lfads_core.synth.write import write_synthetic
from lfads_core.testing.findings import Law
from lfads_core.trial.compare import no_shared_chance, same


@dataclass(frozen=True)
class SyntheticCase:
    """A generator with its settings."""

    spec: SyntheticSpec
    settings: Any

    def generate(self, seed: int) -> Mapping[str, Any]:
        """Make data."""
        return self.spec.generate(self._chosen, np.random.default_rng(seed))

    @property
    def _chosen(self) -> Any:
        return self.spec.config() if self.settings is None else self.settings

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """What seed 0 gives."""
        return self.generate(0)


def _synthetic_chance(case: SyntheticCase) -> Iterator[str]:
    faults: list[str] = []
    with no_shared_chance("generate", faults):
        content = case.content
        again, other = case.generate(0), case.generate(1)
    yield from faults
    if not same(dict(content), dict(again)):
        yield "the same seed must give the same data, got something else"
    if same(dict(content), dict(other)):
        yield "another seed must give other data, got the same"


def _synthetic_layout(case: SyntheticCase) -> Iterator[str]:
    """Written and read as any recording is, with nothing that `lfads data check` calls an error."""
    with tempfile.TemporaryDirectory() as folder:
        made: SyntheticSpec = _Given(case).spec
        path = write_synthetic(made, NoSettings(), 0, Path(folder) / "made.h5" if _is_one(case.content) else Path(folder) / "made")
        sessions = read_sessions([path])
        # NaN is for a recipe to deal with, and the support for a reconstruction.
        yield from (problem.text for problem in check_sessions(sessions, support=None, observes_missing=None) if problem.severity == "error")
    for session in sessions:
        if not any("truth" in split.extras for split in session.splits.values()):
            yield "the true rates must be there, as train_truth and valid_truth, got none"


def _is_one(content: Mapping[str, Any]) -> bool:
    return not all(isinstance(value, Mapping) for value in content.values())


class _Given:
    """The same generator with data that are already made, so that a slow one runs no further time."""

    def __init__(self, case: SyntheticCase) -> None:
        self.spec = SyntheticSpec(
            name=case.spec.name, summary=case.spec.summary, config=case.spec.config, generate=lambda _settings, _rng: case.content
        )


SYNTHETIC_LAWS: tuple[Law[SyntheticCase], ...] = (
    Law("chance comes from the given generator alone", _synthetic_chance, essential=True),
    Law("what is made is a recording without faults, with its true rates", _synthetic_layout),
)


@dataclass(frozen=True)
class ReaderCase:
    """A reader, and a file for it to read."""

    spec: DataReaderSpec
    path: Path | None

    @cached_property
    def session(self) -> Session:
        """What it reads."""
        if self.path is None:
            raise ValueError("no file was given to read")
        return self.spec.read(self.path)


def _matches(case: ReaderCase) -> Iterator[str]:
    absent = Path("no-such-folder") / "recording"
    for ending in (".h5", ".nwb", ".mat", ""):
        found = case.spec.matches(absent.with_suffix(ending))
        if not isinstance(found, bool):
            yield f"matches must be True or False, and not look for the file, got {found!r}"
    if case.spec.matches(absent.with_suffix(".h5")):
        yield "matches must leave plain .h5 files to the HDF5 reader, got True for 'recording.h5'"


def _takes(case: ReaderCase) -> Iterator[str]:
    if case.path is not None and not case.spec.matches(case.path):
        yield f"matches must be True for the file to read, got False for {case.path.name!r}"


def _reads(case: ReaderCase) -> Iterator[str]:
    if case.path is None:
        return
    if not isinstance(case.session, Session):
        yield f"read must give a lfads_core.data.session.Session, got a {type(case.session).__name__}"
        return
    session = read_session(case.path, [case.spec])
    yield from (problem.text for problem in check_sessions([session], support=None, observes_missing=None) if problem.severity == "error")


def _reads_again(case: ReaderCase) -> Iterator[str]:
    if case.path is None:
        return
    faults: list[str] = []
    with no_shared_chance("read", faults):
        again = case.spec.read(case.path)
    yield from faults
    if not same(case.session, again):
        yield "reading the same file twice must give the same, got something else"


READER_LAWS: tuple[Law[ReaderCase], ...] = (
    Law("it says which files are its own without reading them", _matches),
    Law("it takes the file it is for", _takes, essential=True),
    Law("it gives a session without faults", _reads, essential=True),
    Law("it reads the same twice", _reads_again),
)
