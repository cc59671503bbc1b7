"""``lfads infer``: rates from a trained model."""

from __future__ import annotations

from pathlib import Path

import click

from lfads_core.cli.options import PATH, checkpoint_option, chosen_samples, samples_option


@click.command("infer")
@click.argument("run", type=PATH)
@click.argument("data", nargs=-1)
@samples_option
@checkpoint_option
@click.option("--distribution", is_flag=True, help="Write the parameters of the data's distribution too  [default: as the run's settings say]")
@click.option("-o", "--output", type=PATH, help="File to write (a folder for several sessions)  [default: in the run's folder]")
def command(
    run: Path, data: tuple[str, ...], samples: int | None, checkpoint: str | None, output: Path | None, *, means: bool, distribution: bool
) -> None:
    """Infer rates with a trained model, for the RUN's own data or for new DATA.

    \b
      lfads infer runs/data --samples 200
      lfads infer runs/data tomorrow.h5 -o tomorrow_rates.h5
    """
    from lfads_core.infer.loading import load
    from lfads_core.infer.run import infer_files
    from lfads_core.train.device import choose_device
    from lfads_core.train.threads import set_threads

    loaded = load(run, checkpoint, device=choose_device("auto"))
    set_threads(loaded.config.train)
    count = chosen_samples(samples, loaded.default_samples, means=means)
    for path in infer_files(loaded, list(data) or None, samples=count, output=output, distribution=distribution):
        click.echo(f"rates and factors: {path}")
