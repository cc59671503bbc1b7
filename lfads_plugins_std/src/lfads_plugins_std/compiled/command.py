"""``lfads compile``: the recurrent loops, compiled for this machine's processor."""

from __future__ import annotations

import click


@click.command("compile")
@click.option("--check", "what", flag_value="check", help="Only say whether it is there; exit status 1 if not.")
@click.option("--remove", "what", flag_value="remove", help="Delete what was compiled, for older versions too.")
@click.option("--anew", "what", flag_value="anew", help="Compile even if it is there.")
def command(what: str | None) -> None:
    """Compile the recurrent loops for this processor: training on a CPU becomes several times faster.

    Needs a C compiler (CC, or cc, gcc, clang) and about ten seconds. The result is compared with the reference, then kept in your cache folder
    (XDG_CACHE_HOME or ~/.cache), where `train.recurrence: auto` finds it.
    """
    from lfads_core.errors import LfadsError
    from lfads_plugins_std.compiled import cache
    from lfads_plugins_std.compiled.build import NoLibraryError, build

    if what == "remove":
        gone = cache.remove()
        click.echo("\n".join(f"removed {path}" for path in gone) or f"nothing to remove in {cache.folder()}")
        return
    there = None if what == "anew" else cache.find()
    if there is not None:
        click.echo(f"{there}: there, and as it was made")
    elif what == "check":
        click.echo(f"not compiled: nothing in {cache.folder()} fits this version and this processor")
        raise SystemExit(1)
    else:
        try:
            click.echo(f"{build(anew=what == 'anew')}: compiled, and equal to the reference")
        except NoLibraryError as error:
            raise LfadsError(f"lfads compile: needs a C compiler that works, but {error}. Install gcc or clang, or name one in CC.") from error
