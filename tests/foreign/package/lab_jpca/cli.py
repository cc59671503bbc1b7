"""``lfads jpca`` and ``lfads data jpca``."""

import click

from lab_jpca.specs import RotationSpec
from lfads_core.plugins import load_registry


@click.command()
@click.argument("run")
@click.option("--way", default="skew", help="How.")
def jpca(run, way):
    """Find rotations in the factors of a RUN."""
    click.echo(f"{load_registry().get(RotationSpec, way).planes} planes in {run}")


@click.command()
@click.argument("file")
def of_data(file):
    """Find rotations in a recording."""
    click.echo(f"rotations of {file}")
