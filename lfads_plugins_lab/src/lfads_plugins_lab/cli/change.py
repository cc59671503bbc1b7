"""``lfads data merge``, ``rebin``, ``smooth``, ``split``: recordings in the layout, changed as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lfads_core.cli.options import PATH, SEED, Number

_FILE = click.argument("file", type=PATH)
_OUTPUT = click.option("-o", "--output", type=PATH, required=True, help="File to write.")
_FORCE = click.option("--force", is_flag=True, help="Replace a file that is there.")
_SHARE = Number(0, 1, max_open=True)


@click.command("merge")
@_FILE
@_OUTPUT
@click.option("--blend", type=click.Choice(["linear", "uniform", "centre"]), default="linear", show_default=True, help="How overlapping windows mix.")
@_FORCE
def merge(*, file: Path, output: Path, blend: Any, force: bool) -> None:
    """Put the splits of a recording, or of a run's outputs, together again.

    Windows of `lfads data chop` become one continuous recording; trials are put in the order in which they were recorded.

    \b
      lfads data merge runs/chopped/lfads_output_chopped.h5 -o continuous.h5
    """
    from lfads_plugins_lab.recordings.merge import merge_file

    merged = merge_file(file, output, blend, overwrite=force)
    if merged.continuous:
        bins = len(merged.arrays["recon_data" if "recon_data" in merged.arrays else "encod_data"])
        click.echo(f"wrote {output}: {bins} bins" + (f", {merged.uncovered} of them in no window (NaN)" if merged.uncovered else ""))
    else:
        click.echo(f"wrote {output}: {len(merged.arrays['split'])} trials in the order of the recording")


@click.command("rebin")
@_FILE
@_OUTPUT
@click.option("--bin", "bin_ms", type=Number(min=0, min_open=True), required=True, help="New width in ms, a multiple of the old one.")
@click.option("--reduce", type=click.Choice(["sum", "mean"]), help="Sum or average the data  [default: sum counts, average anything else]")
@_FORCE
def rebin(*, file: Path, output: Path, bin_ms: float, reduce: Any, force: bool) -> None:
    """Make the bins of a recording wider; signals beside the data are averaged."""
    from lfads_core.data.write import write_session
    from lfads_plugins_lab.recordings.change import read_whole, rebin_session

    session = rebin_session(read_whole(file), bin_ms, reduce)
    write_session(session, output, {}, overwrite=force)
    first = next(iter(session.splits.values()))
    click.echo(f"wrote {output}: {first.recon.shape[1]} bins of {session.bin_ms:g} ms")


@click.command("smooth")
@_FILE
@_OUTPUT
@click.option("--width", "sigma_ms", type=Number(min=0, min_open=True), required=True, help="Standard deviation of the Gaussian in ms.")
@click.option("--in-place", is_flag=True, help="Smooth the data themselves, instead of adding <split>_smoothed.")
@_FORCE
def smooth(*, file: Path, output: Path, sigma_ms: float, in_place: bool, force: bool) -> None:
    """Smooth a recording by a Gaussian, trial by trial."""
    from lfads_core.data.write import write_session
    from lfads_plugins_lab.recordings.change import read_whole, smooth_session

    write_session(smooth_session(read_whole(file), sigma_ms, in_place=in_place), output, {"smooth_ms": sigma_ms}, overwrite=force)
    click.echo(f"wrote {output}: {'data' if in_place else '<split>_smoothed'} smoothed by {sigma_ms:g} ms")


@click.command("split")
@_FILE
@_OUTPUT
@click.option("--valid", type=_SHARE, default=0.2, show_default=True, help="Share of trials for validation.")
@click.option("--test", type=_SHARE, default=0.0, help="Share of trials for testing.")
@click.option("--every", type=click.IntRange(min=2), help="Every n-th trial is for validation, instead of a random share.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the random split.")
@click.option("--no-stratify", is_flag=True, help="Split at random whatever the conditions.")
@_FORCE
def split(*, file: Path, output: Path, valid: float, test: float, every: int | None, seed: int, no_stratify: bool, force: bool) -> None:
    """Put all trials together and split them anew, the same share of every condition."""
    from lfads_core.data.write import write_session
    from lfads_plugins_lab.recordings import SplitOptions
    from lfads_plugins_lab.recordings.change import read_whole, split_again

    options = SplitOptions(by="every" if every else "random", valid=valid, test=test, every=every or 5, seed=seed, stratify=not no_stratify)
    session = split_again(read_whole(file), options)
    write_session(session, output, {}, overwrite=force)
    click.echo(f"wrote {output}: {', '.join(f'{of.trials} {name}' for name, of in session.splits.items())} trials")


@click.command("set")
@_FILE
@click.argument("values", nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option("--force", is_flag=True, help="Change what the file says already.")
def set_attributes(*, file: Path, values: tuple[str, ...], force: bool) -> None:
    """Say what a recording's file does not.

    bin_ms is the width of a bin in ms, first_bin_ms when the first bin begins, from the event that trials are aligned to (below 0: before it),
    aligned_to the event's name. The file itself is changed; its arrays stay as they are.

    \b
      lfads data set mine.h5 bin_ms=20
      lfads data set mine.h5 first_bin_ms=-250 aligned_to=go
    """
    from lfads_plugins_lab.recordings.say import say_of_file
    from lfads_plugins_lab.recordings.wishes import pairs

    said = say_of_file(file, pairs(values, "NAME=VALUE"), overwrite=force)
    click.echo(f"{file}: {', '.join(f'{name} is {value}' for name, value in said.items())}")
