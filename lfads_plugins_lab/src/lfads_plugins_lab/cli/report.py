"""``lfads report``: one page on a run."""

from __future__ import annotations

from pathlib import Path

import click

from lfads_core.cli.options import PATH, inferred_option
from lfads_core.config.fields import FIGURE_FORMATS


@click.command("report")
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, help="File to write, of figures the folder  [default: report.html or plots in the run's folder]")
@click.option(
    "--format",
    "form",
    type=click.Choice(("html", *FIGURE_FORMATS)),
    default="html",
    show_default=True,
    help="One page, or every figure of it as a file of its own.",
)
@inferred_option
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
def command(run: Path, output: Path | None, form: str, checkpoint: str | None, *, show: bool) -> None:
    """Make one HTML page on a RUN that stands alone: what was fitted, whether it is good, trials, factors, inputs, decoding, settings.

    The run is scored first, as by `lfads eval`, unless that was done. RUN may be the folder of a search; its best model is meant then.

    \b
      lfads report runs/data
      lfads report runs/data -o for_the_lab_meeting.html --open
      lfads report runs/data --format pdf -o figures
    """
    from lfads_core.front.logs import send_logs_to
    from lfads_core.infer.made_with import load_inferred
    from lfads_core.runs import run_or_best
    from lfads_core.train.threads import set_threads
    from lfads_plugins_lab.report.files import save_figures
    from lfads_plugins_lab.report.page import write_page

    def say(text: str) -> None:
        click.echo(text, err=True)

    send_logs_to(say)
    loaded = load_inferred(run_or_best(run), checkpoint)
    set_threads(loaded.config.train)
    if form != "html":
        if show:
            raise click.UsageError("--open opens the page: leave it out with --format, or take --format html.")
        written = save_figures(loaded, output, form)
        click.echo(f"{len(written)} figures: {output or loaded.run.plots}")
        return
    path = write_page(loaded, output)
    click.echo(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if show:
        click.launch(path.resolve().as_uri())
