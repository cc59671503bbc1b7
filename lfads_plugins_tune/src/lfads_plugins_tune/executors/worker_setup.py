"""What a worker process needs before it can train, from what the driver sends: plain data, for plugins do not pickle."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfads_core import __version__
from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import structure, unstructure
from lfads_core.errors import RunError
from lfads_core.files import expanded
from lfads_core.plugins.loading import VARIABLE

if TYPE_CHECKING:
    from lfads_plugins_tune.search.members import MemberTrainer

MARK = "this-search"
"""File by which a worker knows that it sees the search's folder, and not another one of the same name on its own disk."""


def describe_work(folder: Path, base: RunConfig, patterns: Sequence[str | Path], score: str, key: str) -> dict[str, Any]:
    """Everything by name: settings, data, plugins; ``key`` stands in the folder's mark."""
    return {
        "version": __version__,
        "folder": str(folder.resolve()),
        "key": key,
        "settings": unstructure(base),
        "patterns": [str(expanded(pattern).resolve()) for pattern in patterns],
        "score": score,
        "plugins": os.environ.get(VARIABLE),
    }


def open_member_trainer(work: Mapping[str, Any]) -> MemberTrainer:
    """Load the plugins and read the data on this machine.

    Raises:
        LfadsError: that cannot be done here; the message names the machine.
    """
    here = platform.node()
    if work["version"] != __version__:
        raise RunError(f"{here}: every node must have lfads-core {work['version']}, got {__version__}. Install the same packages on all nodes.")
    mark = Path(work["folder"]) / MARK
    try:
        found = mark.read_text(encoding="utf-8")
    except OSError as err:
        found = err.strerror or str(err)
    if found != work["key"]:
        raise RunError(
            f"{here}: must see the search's folder as {mark.parent}, got {found!r}. "
            "With --address, put the runs and the data on storage that all nodes have under the same path."
        )
    if work["plugins"] is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = work["plugins"]

    from lfads_core.plugins import registry_of
    from lfads_plugins_tune.search.members import MemberTrainer

    registry = registry_of(Path(work["folder"]).parent)  # with the plugin files that the search keeps
    return MemberTrainer(structure(work["settings"], registry), work["patterns"], registry, score=work["score"])
