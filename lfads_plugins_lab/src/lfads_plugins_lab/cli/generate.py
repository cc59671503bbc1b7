"""``lfads generate``: new trials from a model's prior."""

from __future__ import annotations

from pathlib import Path

import click

from lfads_core.cli.options import PATH, SEED, checkpoint_option


@click.command("generate")
@click.argument("run", type=PATH)
@click.option("-n", "--trials", type=click.IntRange(min=1), default=64, show_default=True, help="Trials to generate.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the samples.")
@checkpoint_option
@click.option("-o", "--output", type=PATH, help="File to write  [default: lfads_prior_samples.h5 in the run's folder]")
def command(run: Path, trials: int, seed: int, checkpoint: str | None, output: Path | None) -> None:
    """Sample new trials from a trained RUN's prior: initial conditions and inputs drawn, dynamics unrolled, data sampled.

    External inputs, if the model has any, are zero.
    """
    from lfads_core.infer.loading import load
    from lfads_plugins_lab.export.generate import generate_trials

    loaded = load(run, checkpoint)
    path = generate_trials(loaded, trials=trials, seed=seed, path=output or loaded.run.path / "lfads_prior_samples.h5")
    click.echo(f"prior samples: {path}")
