"""``lfads data make`` and ``lfads data chop``: raw recordings into files that training reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfads_core.cli.options import PATH, SEED, Number
from lfads_core.wording import printable

if TYPE_CHECKING:
    from lfads_core.data.checks import Problem

_SHARE = Number(0, 1, max_open=True)
_POSITIVE = Number(min=0, min_open=True)
_ANY = Number(min=0)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_SOURCE: tuple[Decorator, ...] = (
    click.argument("sources", nargs=-1, required=True, type=PATH, metavar="SOURCE..."),
    click.option("-o", "--output", type=PATH, required=True, help="File to write; a folder for several sources."),
    click.option(
        "--trials",
        multiple=True,
        metavar="FILE|CONDITION",
        help="Table of trials: start, stop, and columns for events and conditions. Or a condition on their columns, such as 'success and rt < 0.5'; "
        "may be given twice.",
    ),
    click.option("--units", metavar="CONDITION", help="Keep only units for which this holds, such as \"quality == 'good'\"."),
    click.option(
        "--series",
        multiple=True,
        metavar="NAME=FILE",
        help="Table of a signal: time, and a column for each dimension. NAME alone: carry only this one.",
    ),
    click.option(
        "--key", "keys", multiple=True, metavar="ROLE=NAME", help="Array or column that is times, units, data, start, stop, names, bin_ms or rate."
    ),
    click.option(
        "--axes",
        multiple=True,
        metavar="[NAME=]ORDER",
        help="Order of the axes: b trials, t bins, n channels (or dimensions). Of one array by its name, else of all; bn or nb of cells of times  "
        "[default: btn]",
    ),
    click.option(
        "--times-from",
        type=click.Choice(["trial", "session"]),
        help="What times in a cell for each trial count from  [default: what more of them fit]",
    ),
    click.option("--time-unit", type=click.Choice(["s", "ms", "us", "ns"]), help="Unit of all times  [default: s, and what looks odd is refused]"),
)
_BINS: tuple[Decorator, ...] = (
    click.option("--bin", "bin_ms", type=_POSITIVE, help="Width of a bin in ms  [default: 10 for times of events, else as the source's]"),
    click.option("--mean", is_flag=True, help="Average the source's bins where new ones are wider, instead of summing."),
    click.option("--smooth", "smooth_ms", type=_ANY, default=0.0, help="Carry along data smoothed by a Gaussian of this width, in ms."),
    click.option("--min-rate", type=_ANY, default=0.0, help="Leave out channels with fewer events per second."),
    click.option("--behaviour", "--behavior", multiple=True, metavar="NAME", help="Series to decode as a score; may be repeated."),
    click.option("--circular", multiple=True, metavar="NAME", help="Series that is an angle, averaged round the circle; may be repeated."),
    click.option("--external", multiple=True, metavar="NAME", help="Series that is an external input; may be repeated."),
    click.option("--max-gap", type=_ANY, default=100.0, show_default=True, help="Gap in ms up to which a series is interpolated."),
    click.option("--unobserved", type=click.Choice(["drop", "nan"]), default="drop", show_default=True, help="Trials in which a channel was off."),
)
_SPLIT: tuple[Decorator, ...] = (
    click.option("--valid", type=_SHARE, default=0.2, show_default=True, help="Share of trials for validation."),
    click.option("--test", type=_SHARE, default=0.0, help="Share of trials for testing."),
    click.option("--every", type=click.IntRange(min=2), help="Every n-th trial is for validation."),
    click.option("--last", is_flag=True, help="The last trials are for validation, then testing."),
    click.option("--split-column", metavar="NAME", help="Column of the trials that says train, valid or test."),
    click.option("--seed", type=SEED, default=0, show_default=True, help="Of the random split, of held-out channels and of --jitter."),
    click.option("--no-stratify", is_flag=True, help="Split at random whatever the conditions."),
    click.option("--condition", multiple=True, metavar="NAME", help="Column that is the condition; several: their combinations."),
    click.option("--decode-within", metavar="NAME", help="Column whose values group the trials within which behaviour is decoded."),
)
_HOLD: tuple[Decorator, ...] = (
    click.option("--hold-out", type=_SHARE, default=0.0, help="Share of channels that the encoders do not see."),
    click.option("--hold-out-channel", multiple=True, metavar="NAME", help="Hold out this channel; may be repeated."),
    click.option("--hold-out-column", metavar="NAME", help="Column of the units that is true for held-out ones."),
    click.option("--forward", "forward_ms", type=_ANY, default=0.0, help="End of each trial in ms that is to be predicted."),
    click.option("--force", is_flag=True, help="Replace a file that is there."),
)


def _with(*groups: tuple[Decorator, ...]) -> Decorator:
    def put(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return put


@click.command("make")
@_with(_SOURCE)
@click.option("--event", metavar="NAME", help="Column of the trials to align to  [default: their start]")
@click.option("--event-from-start", "from_start", is_flag=True, help="Times of the event count from the start of each trial.")
@click.option("--before", "before_ms", type=float, default=0.0, help="Begin so many ms before the event.")
@click.option("--after", "after_ms", type=float, help="End so many ms after the event  [default: as the shortest trial]")
@click.option("--jitter", "jitter_ms", type=_ANY, default=0.0, help="Move each window at random by up to so many ms, so that time tells nothing.")
@click.option("--beyond", type=click.Choice(["keep", "drop", "nan"]), default="keep", show_default=True, help="Bins of a window beyond its trial.")
@click.option("--overlaps", type=click.Choice(["refuse", "keep"]), default="refuse", show_default=True, help="Windows that share time.")
@_with(_BINS, _SPLIT, _HOLD)
def make(*, sources: tuple[Path, ...], output: Path, **rest: Any) -> None:
    """Make files for training from raw recordings.

    SOURCE is a table of events (.csv: unit, time), arrays (.npz, .h5, .mat) with times of events or values in bins, or an NWB
    file (.nwb). Trials are cut around an event, binned and split; conditions and behaviour come along.

    \b
      lfads data make spikes.csv --trials trials.csv --event go --before 200 --after 800 -o mine.h5
      lfads data make session.nwb --event move_onset_time --before 250 --after 450 --bin 5 --behaviour hand_vel -o maze.h5
      lfads data make binned.mat --axes nbt --bin 20 -o mine.h5
    """
    from lfads_plugins_lab.recordings.wishes import aligned

    _write(sources, output, aligned(rest), rest)


@click.command("chop")
@_with(_SOURCE)
@click.option("--window", "chop_ms", type=_POSITIVE, required=True, help="Length of each window in ms.")
@click.option("--overlap", "overlap_ms", type=_ANY, default=0.0, show_default=True, help="Time in ms that neighbours share.")
@_with(_BINS, _SPLIT, _HOLD)
def chop(*, sources: tuple[Path, ...], output: Path, chop_ms: float, overlap_ms: float, **rest: Any) -> None:
    """Chop continuous recordings into windows, which may overlap.

    The last window ends with the recording, so that every bin is in one. Trials, where there are any, are chopped one by one.
    `lfads data merge` puts windows, and what was inferred for them, together again.

    \b
      lfads data chop spikes.csv --window 1000 --overlap 200 --last -o chopped.h5
      lfads run chopped.h5
      lfads data merge runs/chopped/lfads_output_chopped.h5 -o continuous.h5
    """
    from lfads_plugins_lab.recordings import WindowOptions

    _write(sources, output, WindowOptions(chop_ms=chop_ms, overlap_ms=overlap_ms), rest)


def _write(sources: Sequence[Path], output: Path, window: Any, rest: dict[str, Any]) -> None:
    from lfads_plugins_lab.recordings import make_file
    from lfads_plugins_lab.recordings.files import outputs_for
    from lfads_plugins_lab.recordings.wishes import wishes

    source, options = wishes(window, rest)
    for path, place in outputs_for(sources, output).items():
        made = make_file(path, place, source, options, overwrite=rest["force"])
        say_problems(made.problems)
        shapes = {split: made.arrays[f"{split}_encod_data"].shape for split in ("train", "valid", "test") if f"{split}_encod_data" in made.arrays}
        trials = ", ".join(f"{shape[0]} {split}" for split, shape in shapes.items())
        recon = made.arrays.get("train_recon_data", made.arrays["train_encod_data"])
        click.echo(f"wrote {place}: {trials} trials, {recon.shape[1]} bins of {made.attributes['bin_ms']:g} ms, {recon.shape[2]} channels")
    click.echo(f"next: lfads data check {output}, then lfads run {output}")


def say_problems(problems: Sequence[Problem]) -> None:
    """Print warnings and notes, worst first, as ``lfads data check`` does."""
    from lfads_core.data.checks import worst_first

    for problem in worst_first(problems):
        click.echo(printable(f"{'note' if problem.severity == 'info' else problem.severity}: {problem.text}"))
