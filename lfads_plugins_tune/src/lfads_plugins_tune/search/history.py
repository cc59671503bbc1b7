"""What has happened in a search, generation by generation, as its ``search.json`` tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from lfads_core.errors import RunError
from lfads_core.files import read_json

Status = Literal["done", "diverged", "failed", "interrupted"]

JOURNAL = "search.json"


@dataclass(frozen=True, kw_only=True)
class MemberRecord:
    """One member's share of a generation that is over."""

    member: int
    parent: int | None  # whose weights it started from: its own number when it went on as itself, None when it was started afresh
    score: float | None  # lower is better; None unless done
    status: Status
    hyperparameters: Mapping[str, Any]  # by config path, as they were during the generation
    error: str | None = None  # one sentence when diverged or failed


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One generation that is over."""

    generation: int
    first_epoch: int  # epochs done before it
    epochs: int  # epochs done at its end
    members: tuple[MemberRecord, ...]

    @property
    def best(self) -> MemberRecord | None:
        """The member of the lowest score, the first of several; None if none was done."""
        done = [record for record in self.members if record.score is not None]
        return min(done, key=lambda record: (record.score, record.member)) if done else None


def generation_to_json(generation: Generation) -> dict[str, Any]:
    """Plain data for ``search.json``."""
    return asdict(generation)


def generation_from_json(data: Mapping[str, Any]) -> Generation:
    """Build a generation from :func:`generation_to_json`; what else the data hold is passed over.

    Raises:
        KeyError, TypeError: something is missing, or of another kind.
    """
    members = tuple(
        MemberRecord(
            member=int(record["member"]),
            parent=None if record["parent"] is None else int(record["parent"]),
            score=None if record["score"] is None else float(record["score"]),
            status=cast("Status", str(record["status"])),
            hyperparameters=dict(record["hyperparameters"]),
            error=record.get("error"),
        )
        for record in data["members"]
    )
    return Generation(generation=int(data["generation"]), first_epoch=int(data["first_epoch"]), epochs=int(data["epochs"]), members=members)


def read_journal(folder: Path) -> dict[str, Any]:
    """The journal of a search, as it was written.

    Raises:
        RunError: the folder holds no search, or a damaged one.
    """
    return read_json(folder / JOURNAL, "the journal of a search", "Give a folder that `lfads search` made, or restore it.")


def read_history(folder: Path) -> list[Generation]:
    """The generations of a search that are over, in order.

    Raises:
        RunError: the folder holds no search, or a damaged one.
    """
    path = folder / JOURNAL
    journal = read_journal(folder)
    try:
        return [generation_from_json(item) for item in journal["history"]]
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise RunError(
            f"{path}: must be JSON written by lfads, got one that cannot be read ({type(err).__name__}: {err}). Restore it, or search again."
        ) from err
