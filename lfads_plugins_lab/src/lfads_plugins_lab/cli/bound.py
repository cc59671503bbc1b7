"""``lfads bound``: bounds on the log likelihood of each trial."""

from __future__ import annotations

from pathlib import Path

import click

from lfads_core.cli.options import PATH, checkpoint_option


@click.command("bound")
@click.argument("run", type=PATH)
@click.argument("data", nargs=-1)
@click.option("--samples", type=click.IntRange(min=1), default=100, show_default=True, help="Posterior samples K of each trial.")
@checkpoint_option
@click.option("-o", "--output", type=PATH, help="File to write (a folder for several sessions)  [default: in the run's folder]")
def command(run: Path, data: tuple[str, ...], samples: int, checkpoint: str | None, output: Path | None) -> None:
    """Bound the log likelihood of each trial of the RUN's own data or of new DATA: the costs, the ELBO, the importance-weighted bound.

    \b
      lfads bound runs/data --samples 500
    """
    from lfads_core.infer.loading import load
    from lfads_core.train.device import choose_device
    from lfads_core.train.threads import set_threads
    from lfads_plugins_lab.evaluate.bound_files import bound_files

    loaded = load(run, checkpoint, device=choose_device("auto"))
    set_threads(loaded.config.train)
    for session, (path, means) in bound_files(loaded, list(data) or None, samples=samples, output=output).items():
        click.echo(f"{session}: {', '.join(f'{name} {value:.2f}' for name, value in means.items())} nats a trial; {path}")
