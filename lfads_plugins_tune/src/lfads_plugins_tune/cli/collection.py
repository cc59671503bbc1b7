"""``lfads collection``: named sets of runs over recordings and settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfads_core.cli.options import PATH, settings_options
from lfads_core.errors import ConfigError, RunError
from lfads_core.files import expanded
from lfads_core.wording import printable
from lfads_plugins_tune.cli.collection_queue import job, retry, start, stop, wait
from lfads_plugins_tune.cli.collection_show import delete, info, listing, status, table

if TYPE_CHECKING:
    from lfads_plugins_tune.collection.folder import Collection


@click.group()
def command() -> None:
    """Many runs over recordings and settings: prepare, queue, watch, compare.

    A collection is a folder with a file collection.yaml, which says what to run on what; NAME is that folder.

    \b
      lfads collection new sweep --data 'sessions/*.h5' --vary model.generator.factors=20,40
      lfads collection start sweep --jobs 4 --detach
      lfads collection status sweep
      lfads collection table sweep
    """


@command.command("new")
@click.argument("name", type=PATH)
@click.option("--data", "each", multiple=True, metavar="PATTERN", help="Recordings, each a dataset of its own; may be repeated.")
@click.option("--together", multiple=True, metavar="NAME=PATTERN", help="Recordings that one model is for, as a dataset; may be repeated.")
@click.option("--min-trials", type=click.IntRange(min=1), help="Leave out recordings with fewer training trials.")
@settings_options
@click.option("--vary", multiple=True, metavar="KEY=VALUE,VALUE...", help="Values of a setting to try; every combination is a run.")
def new(
    name: Path,
    each: tuple[str, ...],
    together: tuple[str, ...],
    min_trials: int | None,
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    vary: tuple[str, ...],
) -> None:
    """Make a collection: write NAME/collection.yaml and prepare its runs.

    \b
      lfads collection new sweep --data 'sessions/*.h5' --vary optim.lr=1e-3,4e-3 --vary train.seed=0,1,2
      lfads collection new stitched --together all='sessions/*.h5' --plugin zig --set train.epochs=500
    """
    from lfads_core.files import spoken_failure, write_text
    from lfads_plugins_tune.collection.folder import Collection
    from lfads_plugins_tune.collection.spec import written

    collection = Collection(name)
    if collection.spec_path.exists():
        raise RunError(f"{name}: a new collection needs a folder of its own, but one is there already. Change its collection.yaml, then prepare it.")
    data: dict[str, Any] = {
        "each": [_from(name, pattern) for pattern in each],
        "together": _named(name, together),
        "min_trials": min_trials,
    }
    spec = {
        "data": {key: value for key, value in data.items() if value},
        "plugins": list(plugins),
        "settings": _settings(overrides),
        "vary": dict(_varied(text) for text in vary),
    }
    with spoken_failure(name):
        name.mkdir(parents=True, exist_ok=True)
    write_text(collection.spec_path, written({key: value for key, value in spec.items() if value}))
    try:
        _prepare(collection)
    except BaseException:
        collection.spec_path.unlink()  # nothing was made, so that the command can be mended and typed again
        raise


@command.command("prepare")
@click.argument("name", type=PATH)
def prepare(name: Path) -> None:
    """Make what NAME/collection.yaml asks for and is not there yet: folders and settings of the runs.

    Doing it again changes nothing. A run whose settings or data have changed is left as it is, and a new one made beside it.
    """
    from lfads_plugins_tune.collection.folder import Collection

    _prepare(Collection.open(name))


for part in (info, start, status, wait, stop, retry, table, listing, delete, job):
    command.add_command(part)


def _prepare(collection: Collection) -> None:
    from lfads_core.plugins import registry_of
    from lfads_core.plugins.single_files import keep_files
    from lfads_plugins_tune.collection.prepare import prepare as make

    registry = registry_of(collection.path)
    keep_files(collection.path)
    done = make(collection, registry)
    for run in done.made:
        click.echo(printable(f"new: {run}"))
    for note in done.notes:
        click.echo(printable(f"note: {note}"))
    former = f", {len(done.former)} of former settings or data" if done.former else ""
    click.echo(f"{collection.path}: {len(done.made)} new, {len(done.kept)} there already{former}")
    if done.made:
        click.echo(f"next: lfads collection start {collection.path}")


def _from(folder: Path, pattern: str) -> str:
    """A path or pattern as seen from the collection's folder."""
    path = expanded(pattern)
    return str(path) if path.is_absolute() else os.path.relpath(path, folder)


def _named(folder: Path, together: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in together:
        name, equals, pattern = (part.strip() for part in text.partition("="))
        if not (equals and name and pattern):
            raise ConfigError(f"--together: must be NAME=PATTERN such as all='sessions/*.h5', got {text!r}")
        found.setdefault(name, []).append(_from(folder, pattern))
    return found


def _settings(overrides: Sequence[str]) -> dict[str, Any]:
    """``a.b=value`` texts as nested settings; what is wrong with them is told when they are used."""
    from lfads_core.config.yaml_io import parse_value

    found: dict[str, Any] = {}
    for text in overrides:
        key, equals, written = (part.strip() for part in text.partition("="))
        if not (equals and key and written):
            raise ConfigError(f"--set: must be KEY=VALUE such as optim.lr=1e-3, or KEY=null for off, got {text!r}")
        *way, last = key.split(".")
        group = found
        for step in way:
            below = group.setdefault(step, {})
            if not isinstance(below, dict):
                raise ConfigError(f"--set: {key}: must not lead into {step}, which another --set gives a value")
            group = below
        group[last] = parse_value(written, f"--set: {key}")
    return found


def _varied(text: str) -> tuple[str, list[Any]]:
    from lfads_core.config.yaml_io import parse_value

    key, equals, written = (part.strip() for part in text.partition("="))
    if not (equals and key and written):
        raise ConfigError(f"--vary: must be KEY=VALUE,VALUE... such as optim.lr=1e-3,4e-3, got {text!r}")
    values = parse_value(f"[{written}]", f"--vary: {key}")
    return key, list(values)
