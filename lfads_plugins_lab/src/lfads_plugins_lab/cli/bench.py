"""``lfads bench``: how fast is it here?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfads_core.cli.options import PATH

if TYPE_CHECKING:
    from lfads_core.plugins.registry import Registry
    from lfads_plugins_lab.bench.result import Options, Result

    Measure = Callable[[str, Sequence[Path], Options, Registry], Result]


@click.group("bench")
def command() -> None:
    """Measure the chosen loops and the reference in turn: steps, epochs, inference, streaming, start-up.

    \b
      lfads bench step --config S1 --config S2 --threads 1
      lfads bench epoch --config mine.yaml --data mine.h5 --json
    """


def _options(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """What all measurements take."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        options = [
            click.option(
                "--config",
                "configs",
                multiple=True,
                default=[default],
                show_default=True,
                metavar="NAME|FILE.yaml",
                help="S1, S2, S3, S4 (published shapes), lorenz (shipped settings), or settings with --data; may be repeated.",
            ),
            click.option("--data", multiple=True, type=PATH, metavar="FILE.h5", help="Recordings for settings from a file; may be repeated."),
            click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads of torch."),
            click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Times each path is measured, in turn."),
            click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one setting; may be repeated."),
            click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
            click.option("--save", type=PATH, metavar="FOLDER", help="Also write <date>-<device>-<what>.json and .md there."),
        ]
        for option in reversed(options):
            function = option(function)
        return function

    return add


def _paths(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--recurrence", "paths", multiple=True, default=["auto"], show_default=True, metavar="NAME", help="Loops to measure; may be repeated."
    )(function)


@command.command("step")
@_paths
@click.option("--baseline", type=click.Choice(["naive"]), help="Also measure an eager model as one writes it first.")
@click.option("--memory/--no-memory", default=True, show_default=True, help="Peak memory of each path, in a process of its own.")
@_options("S1")
def step(*, paths: tuple[str, ...], baseline: str | None, memory: bool, **given: Any) -> None:
    """One training step: forward, backward, clip and AdamW, noise and masks drawn anew."""
    from lfads_plugins_lab.bench.step import bench_step

    _run("step", [bench_step], [*paths, *([baseline] if baseline else [])], memory=memory, **given)


@command.command("epoch")
@_paths
@_options("lorenz")
def epoch(*, paths: tuple[str, ...], **given: Any) -> None:
    """Whole epochs of training, with validation and checkpoints."""
    from lfads_plugins_lab.bench.epoch import bench_epoch

    _run("epoch", [bench_epoch], paths, **given)


@command.command("population")
@_paths
@click.option("--members", type=click.IntRange(min=1), multiple=True, default=[1, 16], show_default=True, help="Members of a step; may be repeated.")
@_options("S1")
def population(*, paths: tuple[str, ...], members: tuple[int, ...], **given: Any) -> None:
    """One training step of several members at once."""
    from functools import partial

    from lfads_plugins_lab.bench.population import bench_population

    _run("population", [partial(bench_population, members=count) for count in members], paths, **given)


@command.command("infer")
@_paths
@_options("lorenz")
def infer(*, paths: tuple[str, ...], **given: Any) -> None:
    """Averages over posterior samples of the validation trials."""
    from lfads_plugins_lab.bench.infer import bench_infer

    _run("infer", [bench_infer], paths, **given)


@command.command("stream")
@_options("S3")
def stream(**given: Any) -> None:
    """One bin from its data to its rates, with a causal model."""
    from lfads_plugins_lab.bench.stream import bench_stream

    _run("stream", [bench_stream], (), **given)


@command.command("startup")
@_options("lorenz")
def startup(**given: Any) -> None:
    """From the start of `lfads run` to its first training step, beside a bare `import torch`."""
    from lfads_plugins_lab.bench.startup import bench_startup

    _run("startup", [bench_startup], (), **given)


def _run(
    what: str,
    measures: Sequence[Measure],
    paths: Sequence[str],
    *,
    configs: tuple[str, ...],
    data: tuple[Path, ...],
    threads: int,
    rounds: int,
    overrides: tuple[str, ...],
    as_json: bool,
    save: Path | None,
    memory: bool = False,
) -> None:
    """Measure every configuration, print, and write the results if asked."""
    from lfads_core.plugins import load_registry
    from lfads_plugins_lab.bench.report import envelope, markdown, save_results
    from lfads_plugins_lab.bench.result import Options, named_paths

    registry = load_registry()
    options = Options(paths=named_paths(paths), threads=threads, rounds=rounds, memory=memory, overrides=overrides)
    results = [measure(config, data, options, registry) for config in configs for measure in measures]
    found = envelope(what, results, options)
    click.echo(json.dumps(found) if as_json else markdown(found))
    if save is not None:
        for path in save_results(save, found):
            click.echo(f"wrote {path}", err=True)
