"""``lfads run``: from recordings to inferred rates."""

from __future__ import annotations

from pathlib import Path

import click

from lfads_core.cli.options import PATH, Number, settings_options
from lfads_core.errors import ConfigError
from lfads_core.runs import checked_name, default_name

_YAML = {".yaml", ".yml"}


@click.command("run")
@click.argument("sources", nargs=-1, metavar="DATA... [CONFIG.yaml]")
@settings_options
@click.option("--hold-out", type=Number(0, 1, max_open=True), metavar="SHARE", help="Share of channels to predict unseen (co-smoothing).")
@click.option("--epochs", type=click.IntRange(min=1), help="Most epochs of training.")
@click.option("--minutes", type=Number(0, min_open=True), help="Most minutes of training.")
@click.option("--name", help="Name of the run's folder  [default: from the data]")
@click.option("--runs", "folder", type=PATH, default=Path("runs"), show_default=True, help="Folder of all runs.")
@click.option("--resume", type=PATH, metavar="RUN", help="Go on with an interrupted run, bit by bit; no DATA is needed.")
@click.option("--reset-lr", is_flag=True, help="With --resume: start again at the settings' learning rate.")
@click.option("--profile", is_flag=True, help="Write a trace of a few steps for Perfetto, profile.json in the run's folder.")
@click.option("--dry-run", is_flag=True, help="Check settings and data, print the resolved settings, and stop.")
def command(
    sources: tuple[str, ...],
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    hold_out: float | None,
    epochs: int | None,
    minutes: float | None,
    name: str | None,
    folder: Path,
    resume: Path | None,
    *,
    reset_lr: bool,
    profile: bool,
    dry_run: bool,
) -> None:
    """Train a model on recordings, then infer their rates.

    DATA are HDF5 files, folders or patterns ('sessions/*.h5'), one file per session. A CONFIG.yaml holds settings that
    differ from the defaults; `lfads config explain` lists them all.

    \b
      lfads run data.h5
      lfads run data.h5 --plugin zig --set optim.lr=0.002
      lfads run --resume runs/data
    """
    from lfads_core.front.brought import as_overrides

    overrides = (*overrides, *as_overrides(None, data__hold_out__fraction=hold_out, train__epochs=epochs, train__minutes=minutes))
    if resume is not None:
        if sources or plugins or name or dry_run or profile:
            raise ConfigError(
                "--resume: takes data, plugins and name from the run itself, got more. Give only --resume RUN, and --set to train longer."
            )
        _resume(resume, overrides, reset_lr=reset_lr)
        return
    if reset_lr:
        raise ConfigError("--reset-lr: concerns a run that goes on, got none. Give --resume RUN with it.")
    data, files = recordings_and_settings(sources, "Try `lfads run data.h5`, or `lfads demo` for data made on the spot.")
    _start(data, files, (plugins, overrides), folder, name, dry_run=dry_run, profile=profile)


def recordings_and_settings(sources: tuple[str, ...], hint: str) -> tuple[list[str], list[Path]]:
    """Tell recordings from settings files, by their endings.

    Raises:
        ConfigError: there is no recording.
    """
    data = [source for source in sources if Path(source).suffix.lower() not in _YAML]
    if not data:
        raise ConfigError(f"DATA: at least one recording must be given, got none. {hint}")
    return data, [Path(source) for source in sources if source not in data]


def _resume(path: Path, overrides: tuple[str, ...], *, reset_lr: bool) -> None:
    from lfads_core.cli.display import make_display, show_finished
    from lfads_core.pipeline.run import resume_run
    from lfads_core.plugins import registry_of

    registry = registry_of(path)
    display = make_display()
    show_finished(resume_run(path, overrides, registry, display, reset_lr=reset_lr), display)


def _start(
    data: list[str],
    files: list[Path],
    chosen: tuple[tuple[str, ...], tuple[str, ...]],
    folder: Path,
    name: str | None,
    *,
    dry_run: bool,
    profile: bool,
) -> None:
    from lfads_core.cli.display import make_display, show_finished
    from lfads_core.config.load import resolve
    from lfads_core.config.yaml_io import dump
    from lfads_core.plugins import load_registry

    registry = load_registry()
    path = folder / (default_name(data) if name is None else checked_name(name))
    if dry_run:
        from lfads_core.train.auto import resolve_auto
        from lfads_core.train.data import check_for, read_for

        config = resolve(files, *chosen, registry)
        sessions = read_for(config, data, registry, contents=False)
        config = resolve_auto(config, sessions)
        check_for(config, sessions, registry)
        click.echo(dump(config), nl=False)
        return
    from lfads_core.pipeline.run import start_run

    display = make_display()  # before settings are read, which may be worth a word
    config = resolve(files, *chosen, registry)
    show_finished(start_run(path, data, config, registry, display, numbered=name is None, profile=profile), display)
