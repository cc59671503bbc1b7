"""``lfads doctor``: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lfads_core.cli.lazy import installed
from lfads_core.cli.options import PATH


@click.command("doctor")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Folder of all runs.")
def command(runs: Path) -> None:
    """Look at versions, plugins, devices, threads, loops, extras, disk and MLflow's store: a line each, and what to do.

    Exits with 1 if something keeps lfads from working, and with 0 if there are only warnings.
    """
    from lfads_core.doctor.checks import examine

    found = examine(runs, installed())
    width = max(len(finding.what) for finding in found)
    for finding in found:
        click.echo(f"{finding.status:<4}  {finding.what:<{width}}  {finding.text}" + (f"  -> {finding.remedy}" if finding.remedy else ""))
    counts = {status: sum(finding.status == status for finding in found) for status in ("ok", "warn", "fail")}
    click.echo(f"{counts['ok']} ok, {counts['warn']} to think about, {counts['fail']} to mend")
    if counts["fail"]:
        sys.exit(1)
