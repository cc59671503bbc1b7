"""``python -m lfads_plugins_emg``: raw EMG to envelopes, and outputs of a run back to the units of the recording."""

from __future__ import annotations

from pathlib import Path

import click

from lfads_core.cli.errors import spoken_errors

_FILE = click.Path(path_type=Path)
_OUTPUT = click.option("-o", "--output", type=_FILE, required=True, help="File to write.")
_FORCE = click.option("--force", is_flag=True, help="Replace a file that is there.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Prepare EMG for `lfads run --plugin emg`, and bring its outputs back to the units of the recording."""


@main.command()
@click.argument("raw", type=_FILE)
@_OUTPUT
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the preparation; may be repeated.")
@_FORCE
def prepare(*, raw: Path, output: Path, overrides: tuple[str, ...], force: bool) -> None:
    """Make envelopes of raw EMG.

    RAW is HDF5 with train_raw, valid_raw (trials, samples, channels) and the sampling rate fs_hz. Settings and their defaults: docs/emg.md.
    """
    with spoken_errors(debug=False):
        from lfads_core.plugins import load_registry
        from lfads_core.synth.settings import settings_from
        from lfads_plugins_emg.envelope_settings import EnvelopeConfig
        from lfads_plugins_emg.files import prepare_file

        settings = settings_from(EnvelopeConfig, overrides, load_registry())
        click.echo(f"wrote {prepare_file(raw, output, settings, overwrite=force)}")
        click.echo(f"next: lfads run {output} --plugin emg")


@main.command()
@click.argument("outputs", type=_FILE)
@_OUTPUT
@_FORCE
def restore(*, outputs: Path, output: Path, force: bool) -> None:
    """Multiply data and expected values back to the units of the recording.

    OUTPUTS is an output file of a run, or a file of envelopes, that began with `prepare`.
    """
    with spoken_errors(debug=False):
        from lfads_plugins_emg.files import restore_file

        click.echo(f"wrote {restore_file(outputs, output, overwrite=force)}")


if __name__ == "__main__":
    main(prog_name="python -m lfads_plugins_emg")
