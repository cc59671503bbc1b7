"""Where a model comes from: its exact settings and versions; and what the files hold."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from lfads_core import __version__
from lfads_core.components.page import Block, TableBlock, TextBlock
from lfads_core.config.differences import differences
from lfads_core.config.flat import flatten
from lfads_core.infer.loading import LoadedRun
from lfads_core.infer.outputs import MEANINGS
from lfads_plugins_lab.report.facts import gather
from lfads_plugins_lab.report.words import nothing


def settings(loaded: LoadedRun) -> Iterator[Block]:
    """What differs from the defaults, all settings, versions."""
    rows = [[key, "on, with its defaults" if value == "{}" else value] for key, value in flatten(differences(loaded.config)).items()]
    yield TextBlock(text="Settings that differ from the defaults", role="heading")
    yield _table(["setting", "value"], rows, "Settings that differ from the defaults") if rows else nothing("All settings are the defaults.")
    yield TextBlock(text="All settings (config.yaml)", role="heading")
    yield TextBlock(text=loaded.run.config_path.read_text(encoding="utf-8"), role="code")
    made = [[str(name), str(version)] for name, version in gather(loaded).state.get("versions", {}).items()]
    yield TextBlock(text="Versions that trained it", role="heading")
    yield _table(["package", "version"], made, "Versions") if made else nothing("run.json names no versions.")
    yield TextBlock(text=f"This page was made by lfads-core {__version__} on Python {platform.python_version()}.", role="note")


def outputs(loaded: LoadedRun) -> Iterator[Block]:
    """Arrays of the output files, in words."""
    sessions = [session.name for session in gather(loaded).sessions]
    names = ", ".join(loaded.run.output(name).name for name in sessions)
    rows = [[f"<split>_{name}", text] for name, text in MEANINGS.items()]
    rows += [["time_ms", "start of each bin, ms"], ["channel_order", "index in the recording of each channel, if channels were held out"]]
    yield TextBlock(
        text=f"Everything inferred stands in {names}, one row per trial in the order of the recording, beside the recording's own "
        "arrays. <split> is train, valid or test."
    )
    yield _table(["array", "what it is"], rows, "Arrays of the output file")
    yield TextBlock(
        text=f"import lfads_core as lf\n\nrun = lf.load({loaded.run.name!r})  # the run's folder\n"
        f"rates = run{'' if len(sessions) == 1 else f'.of({sessions[0]!r})'}.rates  # labelled: trials, times, units",
        role="code",
    )


def _table(head: list[str], rows: list[list[str]], label: str) -> TableBlock:
    return TableBlock(head=head, rows=rows, words=(1,), label=label)
