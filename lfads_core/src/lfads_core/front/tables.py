"""What a recording holds and what is wrong with it: behind ``lfads data check`` and ``lf.Recording`` alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lfads_core.config.chosen import Component
from lfads_core.config.fields import AUTO
from lfads_core.config.load import resolve
from lfads_core.data.checks import Problem, check_summaries, worst_first
from lfads_core.data.inspect import inspect_session
from lfads_core.data.session import Session
from lfads_core.data.summary import ArraySummary, SessionSummary, holds_counts, suggest_reconstruction, summarise
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import AugmentationSpec, ComponentSpec, ReconstructionSpec
from lfads_core.screen import plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a run asks of data; None: not settled."""

    reconstruction: str | None = None
    support: str | None = None
    observes_missing: bool | None = None
    batch_size: int | None = None

    def problems(self, sessions: Sequence[SessionSummary]) -> list[Problem]:
        """What is wrong with sessions that are to share a model, the worst first."""
        return check_summaries(sessions, support=self.support, observes_missing=self.observes_missing, batch_size=self.batch_size)

    def inspected(self, session: Session, registry: Registry) -> list[Problem]:
        """What only the reconstruction knows to be wrong."""
        return [] if self.reconstruction is None else inspect_session(session, self.reconstruction, registry)


def wishes_of(plugins: Sequence[str], registry: Registry, overrides: Sequence[str] = (), *, said: str = "--set") -> Wishes:
    """What a run with these plugins and settings asks of data."""
    if not plugins and not overrides:
        return Wishes()
    config = resolve((), plugins, overrides, registry, said=said)

    def built(record: type[ComponentSpec], component: Component, *context: int) -> Any:
        spec: Any = registry.get(record, component.name)
        return spec.build(component.settings, *context)

    chosen = config.components
    stacks = (chosen.train_augmentations, chosen.infer_augmentations)  # training and validation both have to cope with NaN
    return Wishes(
        reconstruction=chosen.reconstruction.name,
        support=built(ReconstructionSpec, chosen.reconstruction, 1).support,
        observes_missing=all(any(built(AugmentationSpec, part).observes_missing for part in stack) for stack in stacks),
        batch_size=None if config.data.batch_size == AUTO else config.data.batch_size,
    )


def look_at(session: Session, wishes: Wishes, registry: Registry) -> tuple[SessionSummary, list[Problem]]:
    """Its summary, and everything that is wrong with it as the only recording of a model, the worst first."""
    summary = summarise(session)
    return summary, worst_first([*wishes.inspected(session, registry), *wishes.problems([summary])])


def shown_sessions(sessions: Sequence[SessionSummary]) -> Iterator[RenderableType]:
    """Sizes, values and what rides along, session by session."""
    from rich.text import Text

    for session in sessions:
        yield _heading(session)
        yield _table(session)
        first = next(iter(session.splits.values()))
        riding = ", ".join(f"{key}{_shape(shape[1:])}" for key, shape in sorted(first.extras.items()))
        whole = ", ".join(f"{key}{_shape(shape)}" for key, shape in sorted(session.arrays.items()))
        for label, text in (("per trial", riding), ("whole", whole), ("looks like", suggest_reconstruction(session))):
            if text:
                yield Text(f"  {label}: {text}")
        yield ""


def shown_problems(problems: Sequence[Problem]) -> Iterator[RenderableType]:
    """One line for each."""
    from rich.text import Text

    styles = {"error": "bold red", "warning": "yellow", "info": "cyan"}
    for problem in problems:
        label = "note" if problem.severity == "info" else problem.severity
        yield Text.assemble((label, styles[problem.severity]), f": {problem.text}")
    if not problems:
        yield Text("nothing wrong")


def _heading(session: SessionSummary) -> Any:
    from rich.text import Text

    first = next(iter(session.splits.values()))
    facts = [
        f"bins of {session.bin_ms:g} ms" if session.bin_ms else f"bin width unknown (say it: lfads data set {session.path or 'FILE'} bin_ms=10)",
        first.recon.dtype,
    ]
    if first.external is not None:
        facts.append(f"{first.external.shape[2]} external inputs in {first.external.shape[1]} bins")
    return Text.assemble((session.name, "bold"), "  ", ", ".join(facts))


def _table(session: SessionSummary) -> Table:
    """One row for each split; numbers are of the values to reconstruct, the input's stand behind where they differ in size."""
    to_seconds = 1000 / session.bin_ms if session.bin_ms and holds_counts(session) else None  # events per second mean nothing for other values
    headings = ["trials", "bins", "channels", "mean", *(["per s"] if to_seconds else []), "zeros", "missing", "silent", "min", "max"]
    table = plain_table(["  split", *headings], left=["  split"])
    for name, split in session.splits.items():
        recon, encod = split.recon, split.encod
        rate = [_number(recon.mean * to_seconds if recon.mean is not None else None)] if to_seconds else []
        table.add_row(
            f"  {name}",
            str(split.trials),
            _in_out(encod.shape[1], recon.shape[1]),
            _in_out(encod.shape[2], recon.shape[2]),
            _number(recon.mean),
            *rate,
            _share(recon.zeros, recon),
            _share(recon.missing, recon),
            str(len(recon.constant)),
            _number(recon.low),
            _number(recon.high),
        )
    return table


def _in_out(seen: int, reconstructed: int) -> str:
    return str(seen) if seen == reconstructed else f"{seen} in, {reconstructed} out"


def _share(count: int, array: ArraySummary) -> str:
    return "-" if not count else f"{count / array.size:.1%}" if count >= 0.001 * array.size else str(count)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _shape(shape: tuple[int, ...]) -> str:
    return " " + "x".join(map(str, shape)) if shape else ""
