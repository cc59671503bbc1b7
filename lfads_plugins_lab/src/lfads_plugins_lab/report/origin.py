"""Where a model comes from: its exact settings and versions; and what the files hold."""

from __future__ import annotations

import platform
from html import escape

from lfads_core import __version__
from lfads_core.config.differences import differences
from lfads_core.config.flat import flatten
from lfads_core.infer.outputs import MEANINGS
from lfads_plugins_lab.report.facts import Facts
from lfads_plugins_lab.report.words import none, para, table


def settings(facts: Facts) -> str:
    """What differs from the defaults, all settings, versions."""
    changed = flatten(differences(facts.loaded.config))
    rows = [[key, "on, with its defaults" if value == "{}" else value] for key, value in changed.items()]
    first = (
        table(["setting", "value"], rows, words=(1,), label="Settings that differ from the defaults")
        if rows
        else none("All settings are the defaults.")
    )
    text = facts.run.config_path.read_text(encoding="utf-8")
    versions = facts.state.get("versions", {})
    made = [[str(name), str(version)] for name, version in versions.items()]
    return (
        "<h3>Settings that differ from the defaults</h3>"
        + first
        + f'<details><summary>All settings (config.yaml)</summary><pre tabindex="0">{escape(text)}</pre></details>'
        + "<h3>Versions that trained it</h3>"
        + (table(["package", "version"], made, words=(1,), label="Versions") if made else none("run.json names no versions."))
        + para(f"This page was made by lfads-core {__version__} on Python {platform.python_version()}.", "soft")
    )


def outputs(facts: Facts) -> str:
    """Arrays of the output files, in words."""
    names = ", ".join(facts.run.output(session.name).name for session in facts.sessions)
    rows = [[f"<split>_{name}", text] for name, text in MEANINGS.items()]
    rows += [["time_ms", "start of each bin, ms"], ["channel_order", "index in the recording of each channel, if channels were held out"]]
    text = (
        f"Everything inferred stands in {names}, one row per trial in the order of the recording, beside the recording's own "
        "arrays. <split> is train, valid or test."
    )
    load = (
        f"import lfads_core\nrun = lfads_core.load({facts.run.name!r})  # the run's folder\nrates = "
        f"run.outputs({'' if len(facts.sessions) == 1 else repr(facts.sessions[0].name)})['valid_output_params']"
    )
    return (
        para(text) + table(["array", "what it is"], rows, words=(1,), label="Arrays of the output file") + f'<pre tabindex="0">{escape(load)}</pre>'
    )
