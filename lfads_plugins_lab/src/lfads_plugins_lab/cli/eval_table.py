"""What ``lfads eval`` prints: a table for each split, costs, what is wrong, what is missing and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
import numpy as np

from lfads_core.screen import open_console, plain_table
from lfads_core.wording import printable
from lfads_plugins_lab.evaluate.lacking import ordered
from lfads_plugins_lab.evaluate.overfit import kept_text
from lfads_plugins_std.metrics.titles import score_text, title

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lfads_plugins_lab.evaluate.cross_session import CrossSession
    from lfads_plugins_lab.evaluate.run import RunReport, SessionReport


def print_report(report: RunReport) -> None:
    """Print everything."""
    console = open_console()
    click.echo(f"{report.run}, checkpoint {report.checkpoint}")
    for session in report.sessions:
        _print_session(console, session)
    if report.cross is not None:
        _print_cross(console, report.cross)
    for note in report.notes:
        click.secho(f"warning: {note}", fg="yellow")


def _print_session(console: Console, session: SessionReport) -> None:
    for split, by in session.scores.items():
        table = _table(f"\n{session.name}, {split} trials", ["", *by])
        for name in ordered(list(dict.fromkeys(key for scores in by.values() for key in scores))):
            table.add_row(title(name, session.dimensions), *(score_text(scores.get(name), name, 4) for scores in by.values()))
        console.print(table)
    console.print(_costs(session))
    verdict = session.verdict
    if verdict.hidden_share is not None:
        text = kept_text(verdict.hidden_share, verdict.hidden_low, verdict.hidden_high)
        click.echo(f"kept on hidden values: {text} of the gain on them when seen")
    if verdict.unclear is not None:
        click.echo(f"copying: cannot tell, {verdict.unclear}")
    if verdict.general_share is not None:
        click.echo(f"kept on validation trials: {verdict.general_share:.0%} of the gain on training trials")
    for text in verdict.warnings:
        click.secho(f"warning: {text}", fg="yellow")
    if session.few_shot is not None:
        shot = session.few_shot
        found = f"n/a: {shot.why_not}" if shot.co_bps is None else f"{shot.co_bps:.4f} ± {shot.spread:.4f} over draws"
        click.echo(f"co-bps, read-out from {shot.trials} trials: {found}")
    for name, chosen in session.baselines.items():
        click.echo(f"{name}: {', '.join(f'{key} {value:g}' for key, value in chosen.items())} (chosen on training trials)")
    for name, why in session.lacking.items():
        click.echo(printable(f"n/a  {title(name)}: {why}"))


def _costs(session: SessionReport) -> Table:
    """Costs by split."""
    costs = _table("\ncost, nats per value", ["", *session.costs])
    rows = (
        ("all values", "all"),
        ("seen values", "seen"),
        ("the same without dynamics", "null_seen"),
        ("values hidden from the encoders", "hidden"),
        ("the same when seen", "seen_hidden"),
        ("the same without dynamics", "null_hidden"),
        ("held-out channels", "heldout"),
        ("those without dynamics", "null_heldout"),
    )
    for name, key in rows:
        values = [getattr(cost, key) for cost in session.costs.values()]
        if any(value is not None for value in values):
            costs.add_row(name, *("n/a" if value is None else f"{value:.5g}" for value in values))
    return costs


def _print_cross(console: Console, cross: CrossSession) -> None:
    tables: Mapping[str, np.ndarray | None] = {
        "decoder of the row's factors on the column's validation trials, R²": cross.decoding,
        "condition averages of the column's factors predicted by the row's, R²": cross.conditions,
    }
    for heading, values in tables.items():
        if values is not None:
            table = _table(f"\n{heading}", ["", *cross.sessions])
            for name, row in zip(cross.sessions, values, strict=True):
                table.add_row(name, *("n/a" if np.isnan(value) else f"{value:.3f}" for value in row))
            console.print(table)
    for why in cross.why_not:
        click.echo(printable(f"n/a  across sessions: {why}"))


def _table(heading: str, columns: Sequence[str]) -> Table:
    return plain_table(columns, left=[""], faint=True, title=heading, title_style="bold")
