"""What a worker process needs before it can train, from what the driver sends: plain data, for plugins do not pickle."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfads_core import __version__
from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import structure, unstructure
from lfads_core.errors import RunError
from lfads_core.files import expanded
from lfads_core.plugins.loading import VARIABLE

if TYPE_CHECKING:
    from lfads_plugins_tune.executors.worker import Trains
    from lfads_plugins_tune.search.members import MemberTrainer

MARK = "this-search"
"""File by which a worker knows that it sees the search's folder, and not another one of the same name on its own disk."""


def describe_work(folder: Path, base: RunConfig, patterns: Sequence[str | Path], score: str, key: str) -> dict[str, Any]:
    """Everything by name: settings, data, plugins; ``key`` stands in the folder's mark. Where a storage is used, ``"storage"`` is added to it."""
    return {
        "version": __version__,
        "folder": str(folder.resolve()),
        "key": key,
        "settings": unstructure(base),
        "patterns": [str(expanded(pattern).resolve()) for pattern in patterns],
        "score": score,
        "storage": None,
        "plugins": os.environ.get(VARIABLE),
    }


@contextmanager
def member_trainer(work: Mapping[str, Any]) -> Iterator[Trains]:
    """Load the plugins and read the data on this machine, from the search's folder or from a storage.

    Raises:
        LfadsError: that cannot be done here; the message names the machine.
    """
    here = platform.node()
    if work["version"] != __version__:
        raise RunError(f"{here}: every node must have lfads-core {work['version']}, got {__version__}. Install the same packages on all nodes.")
    if work["storage"] is None:
        _must_see(work, here)
    if work["plugins"] is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = work["plugins"]
    if work["storage"] is None:
        yield _opened(work, Path(work["folder"]).parent, work["patterns"])
        return

    from lfads_plugins_tune.executors.stored import StoredTrainer, open_scratch, scratch

    with scratch(work["key"]) as mine:
        storage, recordings = open_scratch(work, mine)
        yield StoredTrainer(_opened(work, mine, recordings), storage, mine)


def _opened(work: Mapping[str, Any], search: Path, recordings: Sequence[str | Path]) -> MemberTrainer:
    from lfads_core.plugins import registry_of
    from lfads_plugins_tune.search.members import MemberTrainer

    registry = registry_of(search)  # with the plugin files that the search keeps
    return MemberTrainer(structure(work["settings"], registry), recordings, registry, score=work["score"], named=work["patterns"])


def _must_see(work: Mapping[str, Any], here: str) -> None:
    mark = Path(work["folder"]) / MARK
    try:
        found = mark.read_text(encoding="utf-8")
    except OSError as err:
        found = err.strerror or str(err)
    if found != work["key"]:
        raise RunError(
            f"{here}: must see the search's folder as {mark.parent}, got {found!r}. "
            "Put the runs and the data where all nodes have them under the same path, or give a --storage that all can write."
        )
