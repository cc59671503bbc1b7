"""``lfads stream``: inference bin by bin, and how long a bin takes."""

from __future__ import annotations

from pathlib import Path

import click

from lfads_core.cli.options import PATH, checkpoint_option


@click.command("stream")
@click.argument("run", type=PATH)
@click.argument("data", nargs=-1)
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="valid", show_default=True, help="Trials to stream.")
@click.option(
    "--start",
    type=click.Choice(["segment", "typical"]),
    default="segment",
    show_default=True,
    help="Initial condition: read from the trial's first bins, or the mean of the training trials'.",
)
@checkpoint_option
@click.option("-o", "--output", type=PATH, help="File to write (a folder for several sessions)  [default: in the run's folder]")
def command(run: Path, data: tuple[str, ...], split: str, start: str, checkpoint: str | None, output: Path | None) -> None:
    """Feed trials to a causal RUN bin by bin, as if they were being recorded, and report the time from a bin to its rates.

    The model must have been trained with model.controller.causal (or without a controller).

    \b
      lfads run data.h5 --set model.controller.causal=true --set model.encoder.read_bins=20 --name online
      lfads stream runs/online
    """
    from typing import cast

    from lfads_core.infer.loading import load
    from lfads_plugins_lab.stream.run import Start, stream_files, use_one_thread

    use_one_thread()
    loaded = load(run, checkpoint)
    for session, (path, latency) in stream_files(loaded, list(data) or None, split=split, start=cast("Start", start), output=output).items():
        click.echo(
            f"{session}: {latency.bins} bins, median {latency.median_ms:.3f} ms, 99 of 100 within {latency.p99_ms:.3f} ms, "
            f"longest {latency.max_ms:.3f} ms; {path}"
        )
