"""``lfads config import``: settings of another implementation in our names."""

from __future__ import annotations

from pathlib import Path

import click

from lfads_core.cli.lazy import installed
from lfads_core.errors import ConfigError


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Where to write the settings, instead of printing them.")
@click.option("--force", is_flag=True, help="Replace that file if it is there.")
def command(file: Path, output: Path | None, *, force: bool) -> None:
    """Turn settings of another implementation into ours.

    FILE is a YAML file of lfads-torch (model, datamodule, trainer) or autolfads-tf2 (MODEL, TRAIN), or hyperparameters-*.txt
    of LFADS in TensorFlow 1 or LFADS Run Manager. What has no counterpart is listed with the reason, and stands in the result
    as comments.
    """
    from lfads_plugins_lab.foreign.detect import import_settings, written

    if output is not None and output.exists() and not force:
        raise ConfigError(f"{output}: is there already. Choose another name, or --force to replace it.")
    imported = import_settings(file, installed())
    text = written(imported)
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as err:
            raise ConfigError(f"{output}: must be a place that can be written, got: {err.strerror}.") from err
        click.echo(f"{output}: {len(imported.taken)} settings of {imported.format}. Next: lfads config check {output}")
    for item in imported.left:
        click.echo(f"not taken over: {item.key}: {item.why}", err=True)
