"""The page: sections in order, style and script inside."""

from __future__ import annotations

import logging
from collections.abc import Callable
from html import escape
from importlib.resources import files
from pathlib import Path

from lfads_core.files import write_text
from lfads_core.infer.loading import LoadedRun
from lfads_core.report.behaviour import decoding
from lfads_core.report.facts import Facts, gather
from lfads_core.report.latents import factors, initial_conditions, inputs
from lfads_core.report.origin import history, outputs, settings
from lfads_core.report.quality import course, quality
from lfads_core.report.summary import summary
from lfads_core.report.trials import averages, single_trials

log = logging.getLogger(__name__)

FILE = "report.html"

SECTIONS: tuple[tuple[str, str, Callable[[Facts], str]], ...] = (
    ("quality", "Is it good?", quality),
    ("training", "Training", course),
    ("trials", "Single trials", single_trials),
    ("conditions", "Condition averages", averages),
    ("factors", "Factor trajectories", factors),
    ("initial", "Initial conditions", initial_conditions),
    ("inputs", "Inferred inputs", inputs),
    ("decoding", "Decoding of behaviour", decoding),
    ("search", "Hyperparameters", history),
    ("settings", "Settings and versions", settings),
    ("outputs", "What the outputs mean", outputs),
)
"""Anchor, title, and what draws it."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What a browser may load for the page: nothing from anywhere."""


def write_page(loaded: LoadedRun, path: Path | None = None, say: Callable[[str], None] = lambda _: None) -> Path:
    """Make a run's page, by default ``report.html`` in its folder; returns the file.

    Raises:
        RunError: there are no outputs yet, or the page cannot be written.
        DataError: an output file is damaged.
    """
    target = path or loaded.run.path / FILE
    write_text(target, page(gather(loaded, say)))
    return target


def page(facts: Facts) -> str:
    """The whole text. A section that fails is named in one line, and costs nothing else."""
    style, script = (files("lfads_core.report").joinpath("assets", name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    title = escape(f"{facts.run.name}: LFADS report")
    links = "".join(f'<li><a href="#{anchor}">{escape(heading)}</a></li>' for anchor, heading, _ in SECTIONS)
    body = "".join(f'<section id="{anchor}"><h2>{escape(heading)}</h2>{_drawn(draw, heading, facts)}</section>' for anchor, heading, draw in SECTIONS)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{title}</title><link rel="icon" '
        f'href="data:,"><style>{style}</style></head>'
        f"<body><header><h1>{escape(facts.run.name)}</h1>{_drawn(summary, 'Summary', facts)}</header>"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{body}</main>'
        "<footer>Made by the LFADS framework. The page stands alone: nothing is loaded from "
        f"anywhere.</footer><script>{script}</script></body></html>\n"
    )


def _drawn(draw: Callable[[Facts], str], heading: str, facts: Facts) -> str:
    try:
        return draw(facts)
    except Exception as err:  # noqa: BLE001 - a page without one section is better than none
        log.warning("report: the section '%s' could not be drawn (%s: %s)", heading, type(err).__name__, err)
        return f'<p class="none">This section could not be drawn: {escape(type(err).__name__)}: {escape(str(err))}</p>'
