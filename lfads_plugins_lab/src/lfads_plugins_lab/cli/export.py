"""``lfads export``: outputs and parameters in other forms."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfads_core.cli.options import PATH, inferred_option
from lfads_core.errors import ConfigError
from lfads_core.files import written_by

if TYPE_CHECKING:
    from lfads_core.infer.loading import LoadedRun
    from lfads_core.plugins.specs import ExporterSpec


@click.command("export")
@click.argument("run", type=PATH)
@click.option("--h5", type=PATH, metavar="FILE.h5", help="All sessions: trials in the recording's order, averages by condition, one long sequence.")
@click.option("--mat", type=PATH, metavar="FILE.mat", help="The same trials and averages for MATLAB (a folder for several sessions).")
@click.option("--parameters", type=PATH, metavar="FILE.h5", help="Every trained parameter by name, and by session.")
@click.option(
    "--conditions", metavar="KEY", help="Array of the recording that tells trials' conditions  [default: cond, condition or condition_labels]"
)
@click.option("--to", "others", type=(str, PATH), multiple=True, metavar="NAME PATH", help="Any exporter by name, such as one of a plugin.")
@inferred_option
def command(run: Path, conditions: str | None, checkpoint: str | None, others: tuple[tuple[str, Path], ...], **paths: Path | None) -> None:
    """Write a RUN's outputs and parameters in other forms.

    \b
      lfads export runs/data --h5 data_all.h5 --conditions target
      lfads export runs/data --mat data.mat --parameters weights.h5
    """
    wanted: list[tuple[str, Path]] = [*((name, path) for name, path in paths.items() if path is not None), *others]
    if not wanted:
        raise ConfigError("export: at least one of --h5, --mat, --parameters and --to must be given, got none. See `lfads export --help`.")
    from lfads_core.infer.made_with import load_inferred
    from lfads_core.plugins.specs import ExporterSpec

    loaded = load_inferred(run, checkpoint)
    exporters = [(loaded.registry.get(ExporterSpec, name), path) for name, path in wanted]
    for spec, path in exporters:
        more = {"conditions": conditions} if spec.name in {"h5", "mat"} else {}
        for made in loaded.registry.blame(ExporterSpec, spec.name, partial(_write, spec, loaded, path, **more)):
            click.echo(f"wrote {made}")


def _write(spec: ExporterSpec, loaded: LoadedRun, path: Path, **more: Any) -> list[Path]:
    return written_by(spec.write(loaded, path, **more))
