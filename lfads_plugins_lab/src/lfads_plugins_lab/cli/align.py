"""``lfads data align``: read-ins for sessions whose neurons differ and whose conditions are the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfads_core.cli.options import PATH, Number
from lfads_core.config.fields import FIGURE_FORMATS
from lfads_core.screen import open_console, plain_table

if TYPE_CHECKING:
    from lfads_plugins_std.alignment.align_files import Aligned


@click.command("align")
@click.argument("files", nargs=-1, required=True, metavar="SESSIONS...")
@click.option("-o", "--output", type=PATH, default=Path("aligned"), show_default=True, help="Folder of the aligned copies.")
@click.option("--conditions", metavar="KEY", help="Array with the condition of each trial, without its split  [default: cond, cond_idx...]")
@click.option("--smooth", "smooth_ms", type=Number(min=0), default=40.0, show_default=True, help="Width of the Gaussian filter, in ms.")
@click.option("--components", type=click.IntRange(min=1), help="Shared components  [default: as many as --variance asks for]")
@click.option("--variance", type=Number(0, 1, min_open=True), default=0.9, show_default=True, help="Variance that the components hold.")
@click.option("--ridge", is_flag=True, help="Ridge regression with the best penalty on left-out conditions, instead of least squares.")
@click.option("--common", is_flag=True, help="Leave out conditions that a session lacks, instead of refusing it.")
@click.option("--reference", multiple=True, metavar="SESSION", help="Take the components of these sessions alone; may be repeated.")
@click.option("--format", "form", type=click.Choice(FIGURE_FORMATS), default="png", show_default=True, help="Format of the figures.")
@click.option("--force", is_flag=True, help="Replace aligned copies that are there.")
def command(
    files: tuple[str, ...],
    output: Path,
    conditions: str | None,
    smooth_ms: float,
    components: int | None,
    variance: float,
    reference: tuple[str, ...],
    form: str,
    *,
    ridge: bool,
    common: bool,
    force: bool,
) -> None:
    """Find read-ins that bring sessions with different neurons together.

    Principal components of the condition averages of all sessions' training trials, then a regression of each session onto
    them. Copies of the files with 'readin_weight' and 'readout_bias' are written; the files themselves stay as they are.

    \b
      lfads data align days/*.h5 --components 12
      lfads data align tomorrow.h5 --components 12 --reference 'days/*.h5'
    """
    from lfads_core.errors import LfadsError
    from lfads_core.plugins import load_registry
    from lfads_plugins_std.alignment.align_files import AlignOptions, align_files
    from lfads_plugins_std.figures import draw_alignment, save
    from lfads_plugins_std.figures.units import time_axis

    options = AlignOptions(conditions=conditions, smooth_ms=smooth_ms, components=components, variance=variance, ridge=ridge, common=common)
    aligned = align_files(files, output, options, load_registry(), reference=reference, overwrite=force)
    _show(aligned, ridge=ridge)
    time = time_axis(aligned.shared.components.shape[1], aligned.bin_ms, aligned.first_bin_ms, aligned.aligned_to)
    try:
        for name, found in aligned.sessions.items():
            save(draw_alignment(aligned.shared, found.projected, time, name), output / f"alignment_{name}.{form}")
    except LfadsError as err:  # nothing but figures is missing
        click.echo(str(err))
    size = aligned.shared.components.shape[2]
    click.echo(f"wrote {len(aligned.sessions)} aligned copies to {output}")
    click.echo(f"next: lfads run {output} --set components.readin=pcr --set components.readout=pcr --set model.generator.factors={size}")


def _show(aligned: Aligned, *, ridge: bool) -> None:
    shared = aligned.shared
    headings = ["session", "channels", "trials", "explained", "new conditions", "own variance", *(["penalty"] if ridge else [])]
    table = plain_table(headings, left=["session"])
    for name, found in aligned.sessions.items():
        numbers = [_share(found.explained), _share(found.explained_new), _share(found.rebuilt)]
        table.add_row(name, str(len(found.weight)), str(aligned.trials[name]), *numbers, *([f"{found.alpha:.1e}"] if ridge else []))
    screen = open_console()
    size = shared.components.shape[2]
    screen.print(f"{size} components of {len(shared.conditions)} conditions hold {_share(shared.kept)} of the averages' variance")
    screen.print(table)


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"
