"""``lfads demo``: the whole journey on data whose true rates are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfads_core.cli.options import PATH, SEED, Number
from lfads_core.screen import open_console, plain_table

if TYPE_CHECKING:
    from lfads_core.pipeline.run import Finished

SETTINGS = (
    "train.epochs=100",
    "train.metrics_every=10",
    "regularisation.kl_ramp.increase_epochs=20",
    "regularisation.l2_ramp.increase_epochs=20",
)
"""Shorter than a real training; everything else is as shipped."""


@click.command("demo")
@click.option("--runs", "folder", type=PATH, default=Path("runs"), show_default=True, help="Folder of all runs.")
@click.option("--minutes", type=Number(0, min_open=True), default=4.0, show_default=True, help="Most minutes of training.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of data and training.")
def command(folder: Path, minutes: float, seed: int) -> None:
    """Make Lorenz data, train, infer, plot, and compare with the true rates; takes a few minutes."""
    from lfads_core.cli.display import make_display, show_finished
    from lfads_core.config.load import resolve
    from lfads_core.pipeline.run import start_run
    from lfads_core.plugins import SyntheticSpec, load_registry
    from lfads_core.runs import free_folder
    from lfads_core.synth.settings import synthetic_settings
    from lfads_core.synth.write import write_synthetic

    registry = load_registry()
    path = free_folder(folder / "demo")
    config = resolve([], [], [*SETTINGS, f"train.minutes={minutes!r}", f"train.seed={seed}"], registry)
    spec = registry.get(SyntheticSpec, "lorenz")
    data = write_synthetic(spec, synthetic_settings(spec, (), registry), seed, path.with_name(f"{path.name}.h5"), overwrite=True)
    click.echo(f"made {data}: spikes of 40 neurons driven by the Lorenz system, true rates included")
    display = make_display()
    finished = start_run(path, [data], config, registry, display)
    if finished.outcome == "interrupted":
        show_finished(finished, display)
    _show(finished)


def _show(finished: Finished) -> None:
    """A table of the validation trials' scores, and where to look next."""
    from lfads_core.data.hdf5 import opened_outputs
    from lfads_plugins_std.metrics.baselines import compare_costs

    run = finished.run
    output = next(iter(run.outputs))
    with opened_outputs(output) as file:
        rates, data, truth = (file[f"valid_{key}"][()] for key in ("output_params", "recon_data", "truth"))
    costs = compare_costs(rates, data, truth)
    table = plain_table(("score", "value"), left=["score"], title="held-out trials")
    for name, value in {
        "NLL, mean rates only (null)": f"{costs.null:.5f} nats/bin",
        "NLL, this model": f"{costs.model:.5f} nats/bin",
        "NLL, true rates (oracle)": f"{costs.oracle:.5f} nats/bin",
        "gap from null to oracle closed": f"{100 * costs.gap_closed:.1f} %",
        "bits per spike": f"{finished.scores['valid/bps']:.3f}",
        "R2 to the true rates, mean over channels": f"{finished.scores['valid/r2_truth']:.3f}",
        "R2 to the true rates, variance-weighted": f"{finished.scores['valid/r2_truth_vw']:.3f}",
    }.items():
        table.add_row(name, value)
    open_console().print(table)
    click.echo(f"figures: {run.plots}  (trials, factors, truth, training curves)")
    click.echo(f"rates and factors: {output}")
    click.echo("next:")
    for line, what in {
        f"lfads infer {run.path} --samples 200": "more posterior samples",
        f"lfads generate {run.path}": "new trials from the prior",
        "lfads ui": "all runs in the browser",
        "lfads run your_data.h5": "your own recording",
    }.items():
        click.echo(f"  {line:<38} {what}")
