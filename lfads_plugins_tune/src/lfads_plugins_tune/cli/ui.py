"""``lfads ui``: the runs of a folder in MLflow's pages."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import click

from lfads_core.cli.options import PATH

MOST_SEARCHES = 5
"""Searches whose pages are named; all stand under *Views* in MLflow."""


@click.command("ui")
@click.option("--runs", "folder", type=PATH, default=Path("runs"), show_default=True, help="Folder of all runs.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 lets other machines in.")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port to listen on.")
@click.option("--sync", "synced", type=PATH, multiple=True, metavar="RUN", help="Write what MLflow lacks of a run or search, and end.")
def command(folder: Path, host: str, port: int, synced: tuple[Path, ...]) -> None:
    """Show the runs in the browser: curves, settings and files, side by side.

    MLflow serves the pages; nothing leaves this machine. Other machines reach them by address, as in http://192.168.1.5:5000;
    for a name, set MLFLOW_SERVER_ALLOWED_HOSTS to it.

    A run whose store or server was away is completed with --sync, which reads what the run wrote, and neither trains nor infers.
    """
    if synced:
        from lfads_plugins_tune.mlflow.tracker import sync

        for run in synced:
            last = sync(run).last
            click.echo(f"{run}: {last['values']} values and {last['files']} files or folders written")
        return
    from lfads_core.errors import LfadsError
    from lfads_plugins_tune.mlflow.server import address, searches, serving

    click.echo("starting MLflow, which takes some seconds", err=True)
    with contextlib.suppress(KeyboardInterrupt), serving(folder, host, port) as server:
        click.echo(f"{address(host, port)}/#/experiments?workflowType=machine_learning   (Ctrl-C ends it)")
        for name, page in itertools.islice(searches(folder, address(host, port)).items(), MOST_SEARCHES):
            click.echo(f"  {name}: {page}")
        status = server.wait()
        raise LfadsError(f"lfads ui: MLflow's server must go on until it is told to end, got its end with status {status}. Start it again.")
