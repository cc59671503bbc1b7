"""``lfads export``: outputs and parameters in other forms."""

from __future__ import annotations

from pathlib import Path

import click

from lfads_core.cli.options import PATH, inferred_option
from lfads_core.errors import ConfigError


@click.command("export")
@click.argument("run", type=PATH)
@click.option("--h5", type=PATH, metavar="FILE.h5", help="All sessions: trials in the recording's order, averages by condition, one long sequence.")
@click.option("--mat", type=PATH, metavar="FILE.mat", help="The same trials and averages for MATLAB (a folder for several sessions).")
@click.option("--parameters", type=PATH, metavar="FILE.h5", help="Every trained parameter by name, and by session.")
@click.option(
    "--conditions", metavar="KEY", help="Array of the recording that tells trials' conditions  [default: cond, condition or condition_labels]"
)
@inferred_option
def command(run: Path, h5: Path | None, mat: Path | None, parameters: Path | None, conditions: str | None, checkpoint: str | None) -> None:
    """Write a RUN's outputs and parameters in other forms.

    \b
      lfads export runs/data --h5 data_all.h5 --conditions target
      lfads export runs/data --mat data.mat --parameters weights.h5
    """
    if h5 is None and mat is None and parameters is None:
        raise ConfigError("export: at least one of --h5, --mat and --parameters must be given, got none. See `lfads export --help`.")
    from lfads_core.infer.made_with import load_inferred
    from lfads_plugins_lab.export.write import export_h5, export_mat, export_parameters

    loaded = load_inferred(run, checkpoint)
    written = [] if h5 is None else [export_h5(loaded, h5, conditions=conditions)]
    written += [] if mat is None else export_mat(loaded, mat, conditions=conditions)
    written += [] if parameters is None else [export_parameters(loaded, parameters)]
    for path in written:
        click.echo(f"wrote {path}")
