"""A search in words and tables: what `lfads search status` prints and what is shown while it runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lfads_core.screen import plain_table
from lfads_core.wording import printable, shown
from lfads_plugins_tune.search.labels import short_names
from lfads_plugins_tune.search.plan import scores_of
from lfads_plugins_tune.search.state import Member, SearchState

if TYPE_CHECKING:
    from rich.table import Table

WHY_STOPPED = {
    "epochs": "every generation is done",
    "improvement": "the best score no longer improves by search.min_improvement",
    "minutes": "search.minutes used up",
    "members": "every member has stopped by itself",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One member as a row of texts."""

    member: int
    status: str
    epochs: str
    score: str
    origin: str  # where its weights of this generation came from
    values: Mapping[str, str]  # by short name
    error: str


def lines_of(state: SearchState, progress: Mapping[int, int] | None = None) -> list[Line]:
    """Every member, the best first; ``progress`` has epochs beyond those the state knows, while a generation is carried out."""
    names = short_names(list(state.spaces))
    own = {m.member: _own_score(m, state) for m in state.members}

    def rank(member: Member) -> tuple[bool, float, int]:
        score = own[member.member]
        return score is None, score or 0.0, member.member

    return [
        Line(
            member=m.member,
            status=m.status,
            epochs=str(max(m.epochs, (progress or {}).get(m.member, 0))),
            score=score_text(state, own[m.member]),
            origin=_origin(m, state),
            values={names[path]: value_text(m.values[path]) for path in state.spaces},
            error=m.error or "",
        )
        for m in sorted(state.members, key=rank)
    ]


def _own_score(member: Member, state: SearchState) -> float | None:
    """A member's score with the hyperparameters and weights that it has now: one that waits with others has none yet."""
    if member.score is not None or member.status != "waiting" or member.parent != member.member or not state.history:
        return member.score
    record = next((r for r in state.history[-1].members if r.member == member.member), None)
    same = record is not None and all(record.hyperparameters.get(path) == value for path, value in member.values.items())
    return record.score if record is not None and same else None


def last_scores(state: SearchState) -> dict[int, float]:
    """The last score of every member that has one, be it of this generation or of the one before."""
    found = {r.member: r.score for g in state.history for r in g.members if r.score is not None}
    return {**found, **{m.member: m.score for m in state.members if m.score is not None}}


def score_text(state: SearchState, score: float | None) -> str:
    """A score as its column has it: with its own sign if most wins."""
    if score is None:
        return ""
    return number_text(-score if state.score.startswith("-") else score)


def number_text(value: float) -> str:
    """Four decimals, or four digits where these would be zeros."""
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.01 else f"{value:.4g}"


def headline(state: SearchState) -> str:
    """Kind, generation, members and best score in one line."""
    last = last_scores(state)
    counts = {status: sum(m.status == status for m in state.members) for status in ("diverged", "failed", "lost", "ended")}
    parts = [
        f"{state.kind}, generation {min(state.generation + 1, len(state.targets))}/{len(state.targets)}",
        f"{len(state.members)} members",
        *(f"{number} {status}" for status, number in counts.items() if number),
    ]
    if last:
        best = min(last, key=lambda member: (last[member], member))
        parts.append(f"best {score_text(state, last[best])} (member {best})")
        parts.append(f"median {score_text(state, statistics.median(last.values()))}")
    return ", ".join(parts)


def generation_line(state: SearchState) -> str:
    """What a generation that has just ended came to; the state is the one before the next is set out."""
    scores, number = scores_of(state), state.generation
    text = f"generation {number + 1}/{len(state.targets)}"
    if not scores:
        return f"{text}  no member has a score"
    best = min(scores, key=lambda member: (scores[member], member))
    dead = sum(m.status in {"diverged", "failed"} for m in state.members)
    parts = [text, f"best {score_text(state, scores[best])} (member {best})", f"median {score_text(state, statistics.median(scores.values()))}"]
    return "  ".join([*parts, *([f"{dead} diverged or failed"] if dead else [])])


def table_of(state: SearchState, lines: Sequence[Line], *, width: int, title: str = "") -> Table:
    """The members as a table with as many hyperparameters as fit whole into ``width``; a number is never cut."""
    from rich.console import Console

    names = list(short_names(list(state.spaces)).values())
    console = Console(width=100_000)
    tables = (_table(state, lines, names[:count], title) for count in range(len(names), -1, -1))
    return next((table for table in tables if console.measure(table).maximum <= width), None) or _table(state, lines, [], title)


def stacked(state: SearchState, lines: Sequence[Line]) -> list[str]:
    """The members in a few lines of text each, for what is too narrow for a table of them."""
    score = state.score.removeprefix("-").removeprefix("valid/")
    found = []
    for line in lines:
        parts = [f"member {line.member}", line.status, f"{line.epochs} epochs", f"{score} {line.score}" if line.score else ""]
        found.append(", ".join(part for part in [*parts, f"from {line.origin}" if line.origin else ""] if part))
        found += [f"    {name} = {value}" for name, value in line.values.items()]
        found += [f"    error: {line.error}"] if line.error else []
    return found


def shown_names(table: Table, state: SearchState) -> bool:
    """Whether a table has every hyperparameter."""
    headers = {str(column.header) for column in table.columns}
    return set(short_names(list(state.spaces)).values()) <= headers


def _table(state: SearchState, lines: Sequence[Line], names: Sequence[str], title: str) -> Table:
    from rich.text import Text

    left_out = len(state.spaces) - len(names)
    caption = f"{left_out} more hyperparameters do not fit: make the window wider" if left_out else None
    has_errors = any(line.error for line in lines)
    columns = (
        "member",
        "status",
        "epochs",
        state.score.removeprefix("-").removeprefix("valid/"),
        "from",
        *names,
        *(("error",) if has_errors else ()),
    )
    whole = [name for name in columns if name != "error"]
    table = plain_table(columns, left=["status", "from", "error"], whole=whole, title=title or None, caption=caption)
    for line in lines:
        cells = [str(line.member), line.status, line.epochs, line.score, line.origin, *(line.values[name] for name in names)]
        table.add_row(*(Text(printable(cell)) for cell in [*cells, *([line.error] if has_errors else [])]))
    return table


def value_text(value: Any) -> str:
    """A hyperparameter in few signs."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return str(value.get("name", "{...}"))
    return value if isinstance(value, str) else shown(value)


def _origin(member: Member, state: SearchState) -> str:
    if member.parent is None:
        return f"afresh (draw {member.attempt + 1})" if member.attempt else ""
    if member.parent != member.member:
        return f"member {member.parent}"
    for generation in reversed(state.history):  # the last time it took another's weights
        record = next((r for r in generation.members if r.member == member.member), None)
        if record is not None and record.parent not in {member.member, None}:
            return f"member {record.parent}, generation {generation.generation}"
    return ""
