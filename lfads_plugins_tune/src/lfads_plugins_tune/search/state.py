"""What a search knows of itself, in ``search.json``: written whole after every event, so that a killed driver goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import attrs

from lfads_core.config.spaces import SpaceConfig
from lfads_core.errors import RunError
from lfads_core.files import write_json
from lfads_core.records import record_from
from lfads_plugins_tune.search.history import JOURNAL, Generation, generation_from_json, generation_to_json, read_journal

SCHEMA = 1
"""Version of the layout; another one is refused."""

MemberStatus = Literal["waiting", "done", "diverged", "failed", "interrupted", "ended", "lost"]
"""``ended``: stopped by itself in an earlier generation; ``lost``: given up, after it failed or diverged too often."""

SearchStatus = Literal["running", "interrupted", "failed", "sampling", "finished"]
"""``sampling``: every generation is over, and the best member is being inferred."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member in the generation that is being carried out."""

    member: int
    values: Mapping[str, Any]  # hyperparameters in force, by path
    parent: int | None = None  # whose weights it starts this generation from: its own, another's, or None when started afresh
    attempt: int = 0  # how often it was drawn afresh
    failures: int = 0  # failed tries in this generation
    status: MemberStatus = "waiting"
    score: float | None = None  # at the end of this generation, or of its last one
    epochs: int = 0  # done in total
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Best:
    """The member that is copied out, and what its final outputs scored (empty before they are there)."""

    member: int
    score: float
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class SearchState:
    """All of a search that is not in its settings."""

    kind: str  # name of the algorithm
    executor: str
    data: tuple[str, ...]
    spaces: Mapping[str, SpaceConfig]
    score: str
    targets: tuple[int, ...]
    burn_in: int
    generation: int
    members: tuple[Member, ...]
    prepared: bool = False  # whether every member's start of this generation is on disk
    status: SearchStatus = "running"
    seconds: float = 0.0
    window: tuple[float, ...] = ()  # best scores of the last generations that were compared
    best: Best | None = None
    stopped: str | None = None  # why no further generation is trained, once that is so
    error: str | None = None
    history: tuple[Generation, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def with_member(self, member: Member) -> SearchState:
        """The same with one member changed."""
        return replace(self, members=tuple(member if m.member == member.member else m for m in self.members))


def read_state(folder: Path) -> SearchState:
    """Read a search's journal.

    Raises:
        RunError: there is none, or it is damaged or of another version.
    """
    path = folder / JOURNAL
    data = read_journal(folder)
    if data.get("format") != "lfads-search":
        raise RunError(f"{path}: must be a journal written by lfads, with format 'lfads-search', got another program's file.")
    if data.get("schema") != SCHEMA:
        raise RunError(f"{path}: this version reads journals of schema {SCHEMA}, got {data.get('schema')!r}. Use the version of lfads that wrote it.")
    try:
        return _state_from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise RunError(f"{path}: must be as lfads wrote it, got something that cannot be read ({type(err).__name__}: {err}). Restore it.") from err


def write_state(folder: Path, state: SearchState) -> None:
    """Replace the journal; killed before, the old one stands, killed after, the new one does.

    Raises:
        RunError: it cannot be written, say because the disk is full; the old one stands.
    """
    write_json(folder / JOURNAL, state_to_json(state))


def state_to_json(state: SearchState) -> dict[str, Any]:
    """Plain data, the history last, for it grows."""
    plain = {f: getattr(state, f) for f in state.__dataclass_fields__ if f not in {"history", "spaces", "members", "best"}}
    return {
        "format": "lfads-search",
        "schema": SCHEMA,
        **plain,
        "spaces": {path: attrs.asdict(space) for path, space in state.spaces.items()},
        "best": None if state.best is None else asdict(state.best),
        "members": [asdict(member) for member in state.members],
        "history": [generation_to_json(generation) for generation in state.history],
    }


def _state_from_json(data: Mapping[str, Any]) -> SearchState:
    plain = {key: value for key, value in data.items() if key not in {"format", "schema"}}
    plain["spaces"] = {path: _space(space) for path, space in data["spaces"].items()}
    plain["members"] = tuple(record_from(Member, member) for member in data["members"])
    plain["best"] = None if data["best"] is None else record_from(Best, data["best"])
    plain["history"] = tuple(generation_from_json(generation) for generation in data["history"])
    for key in ("data", "targets", "window"):
        plain[key] = tuple(data[key])
    return record_from(SearchState, plain)


def _space(data: Mapping[str, Any]) -> SpaceConfig:
    values = data["values"]
    return SpaceConfig(**{**data, "values": None if values is None else tuple(values)})
