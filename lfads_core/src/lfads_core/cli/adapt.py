"""``lfads adapt``: new sessions for a trained model."""

from __future__ import annotations

from pathlib import Path

import click

from lfads_core.cli.options import PATH, Number, checkpoint_option
from lfads_core.runs import checked_name, default_name


@click.command("adapt")
@click.argument("parent", type=PATH, metavar="RUN")
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one of RUN's settings; may be repeated.")
@click.option("--epochs", type=click.IntRange(min=1), help="Most epochs of training.")
@click.option("--minutes", type=Number(0, min_open=True), help="Most minutes of training.")
@click.option("--align", metavar="NAME", help="Follow a recording that drifts, without labels: keep its latents where they were, as nomad does.")
@checkpoint_option
@click.option("--name", help="Name of the new run's folder  [default: from RUN and the data]")
@click.option("--runs", "folder", type=PATH, help="Folder of all runs  [default: the one RUN is in]")
def command(
    parent: Path,
    data: tuple[str, ...],
    overrides: tuple[str, ...],
    epochs: int | None,
    minutes: float | None,
    align: str | None,
    checkpoint: str | None,
    name: str | None,
    folder: Path | None,
) -> None:
    """Add new sessions to a trained model that stays as it is.

    DATA are recordings that RUN was not trained on. Only their read-ins, read-outs and reconstructions are trained; encoders,
    generator, priors and the layers of RUN's own sessions are frozen. The result is a run of its own, with outputs of the new
    sessions; an interrupted one goes on with `lfads run --resume`.

    \b
      lfads adapt runs/days tomorrow.h5
      lfads adapt runs/days tomorrow.h5 --minutes 2 --set optim.lr=0.01
      lfads adapt runs/monday tuesday.h5 --align nomad
    """
    from lfads_core.cli.display import make_display, show_finished
    from lfads_core.front.brought import as_overrides
    from lfads_core.infer.loading import load
    from lfads_core.pipeline.adapt import adapt_run

    overrides = (*overrides, *as_overrides(None, train__epochs=epochs, train__minutes=minutes))
    display = make_display()
    finished = adapt_run(
        load(parent, checkpoint),
        data,
        overrides,
        display,
        (folder or _beside(parent)) / (f"{parent.resolve().name}-{default_name(list(data))}" if name is None else checked_name(name)),
        align=align,
        numbered=name is None,
    )
    show_finished(finished, display)


def _beside(run: Path) -> Path:
    """The folder a run lies in, relative if the run was given so."""
    return run.parent if run.name not in {"", ".."} else run.resolve().parent
