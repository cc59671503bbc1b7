"""``lfads bundle``: one recording, or a zip of several, and one file of settings in; one zip out."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfads_core.cli.errors import INTERRUPTED
from lfads_core.cli.options import PATH, settings_options
from lfads_core.cli.run import recordings_and_settings
from lfads_core.errors import ConfigError
from lfads_core.files import spoken_failure
from lfads_plugins_tune.cli.search import placing_options

if TYPE_CHECKING:
    from lfads_plugins_tune.bundle.make import Order
    from lfads_plugins_tune.bundle.work import Work


@click.command("bundle")
@click.argument("sources", nargs=-1, metavar="DATA.h5|SESSIONS.zip [CONFIG.yaml]")
@click.option("-o", "--output", type=PATH, default=Path("autolfads.zip"), show_default=True, help="Zip to write.")
@click.option("--search", "kind", metavar="NAME", default="pbt", show_default=True, help="How to find the best model.")
@settings_options
@placing_options
@click.option("--work", type=PATH, help="Folder to work in, which is kept  [default: one beside the output, which is not]")
@click.option("--resume", is_flag=True, help="Go on in the folder --work with what was interrupted there.")
@click.option("--max-size", default="100GB", show_default=True, metavar="SIZE", help="Most that a zip's recordings may take unpacked.")
@click.option("--force", is_flag=True, help="Replace an output that is there.")
def command(sources: tuple[str, ...], output: Path, work: Path | None, *, resume: bool, force: bool, **given: Any) -> None:
    """Turn recordings and settings into one zip: outputs, the best model, the log of all models, figures.

    DATA.h5 is one recording; SESSIONS.zip holds several that one model is for. CONFIG.yaml holds settings as for `lfads run`;
    its section `search` says how to search. README.txt in the zip says what each file is.

    \b
      lfads bundle data.h5 config.yaml -o autolfads.zip
      lfads bundle sessions.zip config.yaml --search none --work somewhere
      lfads bundle sessions.zip config.yaml --search none --work somewhere --resume
    """
    from lfads_plugins_tune.bundle.make import check_order
    from lfads_plugins_tune.bundle.work import Work

    order = _order(sources, output, given)
    if resume and work is None:
        raise ConfigError("--resume: needs --work to say where, got none.")
    check_order(order, force=force)
    if work is not None:
        _carry_out(order, Work(work), resume=resume)
        return
    with spoken_failure(output):
        folder = Path(tempfile.mkdtemp(prefix=f".{output.stem}-", dir=output.parent))
    try:
        _carry_out(order, Work(folder), resume=False)
    except BaseException:
        if Work(folder).has_begun:
            click.echo(f"what was done is in {folder}; go on with the same command and: --work {shlex.quote(str(folder))} --resume", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _carry_out(order: Order, work: Work, *, resume: bool) -> None:
    from lfads_core.cli.display import make_display
    from lfads_core.plugins import load_registry
    from lfads_plugins_tune.bundle.make import make_bundle
    from lfads_plugins_tune.cli.search_output import make_search_display

    searching = make_search_display()
    display = make_display()  # log messages go through the one made last
    packed = make_bundle(order, work, load_registry(), (display, searching), resume=resume)
    if packed is None:
        display.message(f"interrupted; everything is saved in {work.path}")
        raise click.exceptions.Exit(INTERRUPTED)
    for name, value in packed.scores.items():
        if name.startswith("valid/") and name.count("/") == 1:
            display.message(f"  {name:<28} {value:.4f}")
    display.message(f"wrote {packed.output}: {len(packed.names)} files, README.txt says what they are")


def _order(sources: tuple[str, ...], output: Path, given: dict[str, Any]) -> Order:
    from lfads_core.plugins import load_registry
    from lfads_plugins_tune.bundle.make import Order, settings_for
    from lfads_plugins_tune.collection.sizes import parse_size
    from lfads_plugins_tune.search.placing import placing_of

    data, files = recordings_and_settings(sources, "Try `lfads bundle data.h5 config.yaml`.")
    if len(data) > 1:
        raise ConfigError(f"DATA: must be one recording or one zip of several, got {len(data)}: {', '.join(data)}. Zip the recordings.")
    placing = placing_of(given, load_registry())
    if given["kind"] == "none" and placing is not None:
        raise ConfigError("--executor: and what goes with it are for a search, got --search none. Leave one of them out.")
    return Order(
        source=Path(data[0]),
        config=settings_for(given["kind"], files, given["plugins"], given["overrides"], load_registry()),
        kind=given["kind"],
        output=output,
        max_size=parse_size(given["max_size"], "--max-size"),
        placing=placing,
    )
