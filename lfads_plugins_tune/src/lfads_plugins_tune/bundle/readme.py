"""``README.txt`` of a bundle: what each file is, how well the model fits, and how to go on."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from lfads_plugins_tune.search.report import WHY_STOPPED, headline
from lfads_plugins_tune.search.state import SearchState, read_state

WIDTH = 36

FILES = {
    r"README\.txt": "this text",
    r"lfads_output_(.+)\.h5": "rates, factors, initial conditions and inferred inputs of every trial of {0}, beside its own arrays",
    r"fitlog\.csv": "one row for each epoch of each model: costs, metrics, learning rate",
    r"fitlog_best\.csv": "the same of the best model alone, followed back through every model it went on from",
    r"search\.json": "the search: spaces, every decision, each model's hyperparameters and scores",
    r"config\.yaml": "all settings of the best model; a settings file for `lfads run`",
    r"run\.json": "how training ended, versions of the software, final scores",
    r"checkpoints/kept\.json": "the best epochs that were kept, with their costs",
    r"checkpoints/.+\.json": "what weights these are, in plain text, and the hash of their file",
    r"checkpoints/.+\.pt": "the weights (PyTorch, loadable without executing anything)",
    r"plugins/files\.json": "hashes of the plugin files",
    r"plugins/.+\.py": "a plugin that is one file, which the model needs",
    r"plots/search/.+": "figure of the search",
    r"plots/.+": "figure of the best model",
    r"report\.html": "all of this on one page, for any browser: is it good, trials, factors, inputs, decoding, settings",
    r"evaluation\.json": "scores of every split beside baselines, and costs of what the model did not see",
}
"""What a name means; the first that fits."""


def readme(names: Sequence[str], state: Mapping[str, object], search: Path | None, source: str) -> str:
    """The whole text."""
    lines = [f"LFADS, made from {source}", "", *textwrap.wrap(_what(search), 110), "", "Files", "-----"]
    lines += [f"{name:<{WIDTH}}  {meaning(name)}" if len(name) <= WIDTH else f"{name}\n{'':<{WIDTH}}  {meaning(name)}" for name in names]
    scores = state.get("scores")
    found = {name: value for name, value in scores.items() if name.startswith("valid/") and name.count("/") == 1} if isinstance(scores, dict) else {}
    if found:
        lines += [
            "",
            "Scores on validation trials",
            "---------------------------",
            *(f"{name:<{WIDTH}}  {value:.4f}" for name, value in found.items()),
        ]
    lines += ["", "How to go on", "------------", *_GOING_ON]
    versions = state.get("versions")
    if isinstance(versions, dict):
        lines += ["", "Made with", "---------", *(f"{name:<{WIDTH}}  {version}" for name, version in versions.items())]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def meaning(name: str) -> str:
    """What a file of this name is."""
    for pattern, text in FILES.items():
        if found := re.fullmatch(pattern, name):
            return text.format(*found.groups())
    raise ValueError(f"a file of a bundle must have a meaning, {name!r} has none")


_GOING_ON = (
    "This folder, unpacked, is a run of the `lfads` command (pip install lfads-core lfads-plugins-std).",
    "",
    "In Python:",
    "    import lfads_core",
    "    run = lfads_core.load('.')        # '.' or wherever this folder is",
    "    rates = run.outputs()             # arrays by name, such as valid_output_params (trials, bins, channels)",
    "",
    "In MATLAB (axes come in reverse order: channels, bins, trials):",
    "    rates = h5read('lfads_output_NAME.h5', '/valid_output_params');",
    "",
    "Rates of other trials of the same channels:",
    "    lfads infer . other.h5 -o other_rates.h5",
)


def _what(search: Path | None) -> str:
    if search is None:
        return "One model was trained with the settings given; this is it."
    found = read_state(search)
    why = WHY_STOPPED.get(found.stopped or "", "it was ended")
    chosen = f"member {found.best.member}" if found.best is not None else "the best"
    return f"A search ({headline(found)}) ended because {why}. The best model, {chosen}, is this one. {_hyperparameters(found)}"


def _hyperparameters(found: SearchState) -> str:
    if found.best is None:
        return ""
    values = next(member.values for member in found.members if member.member == found.best.member)
    shown = ", ".join(f"{path} = {value:.4g}" if isinstance(value, float) else f"{path} = {value}" for path, value in values.items())
    return f"Its hyperparameters in the end: {shown}."
