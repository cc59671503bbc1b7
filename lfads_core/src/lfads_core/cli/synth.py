"""``lfads synth``: write data whose true rates are known."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from lfads_core.cli.options import PATH, SEED


@click.command()
@click.argument("name", required=False)
@click.option("-o", "--output", type=PATH, help="File to write, a folder for several sessions.  [default: NAME.h5, or NAME, in this folder]")
@click.option("--seed", type=SEED, default=0, show_default=True, help="The same seed and settings give the same data.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting; may be repeated. 'lfads plugins show NAME' lists them."
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def command(*, name: str | None, output: Path | None, seed: int, overrides: tuple[str, ...], force: bool) -> None:
    """Write data whose true rates are known, made by the generator NAME; without NAME, list the generators.

    \b
    Example:
      lfads synth lorenz -o easy.h5 --set mean_rate=20 --set trials_per_condition=30
      lfads synth lorenz -o days --set sessions=4
    """
    from lfads_core.plugins import SyntheticSpec, load_registry

    registry = load_registry()
    if name is None:
        specs = registry.all(SyntheticSpec)
        if not specs:
            click.echo("No generator is installed. The standard ones: pip install lfads-plugins-std")
        for spec in specs:
            click.echo(f"{spec.name}  {spec.summary}")
        return
    from lfads_core.config.groups import types_of
    from lfads_core.synth.settings import synthetic_settings
    from lfads_core.synth.write import write_synthetic

    spec = registry.get(SyntheticSpec, name)
    settings = synthetic_settings(spec, overrides, registry)
    make = partial(write_synthetic, spec, settings, seed, output, overwrite=force, own=types_of(registry))
    path = registry.blame(SyntheticSpec, spec.name, make)
    click.echo(f"wrote {path}")
    click.echo(f"next: lfads run {path}")
