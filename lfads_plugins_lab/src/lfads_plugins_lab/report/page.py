"""The page: sections in order, style and script inside."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path

from lfads_core.errors import LfadsError
from lfads_core.files import write_text
from lfads_core.infer.loading import LoadedRun
from lfads_core.plugins.specs import ReportSectionSpec
from lfads_plugins_lab.report.behaviour import decoding
from lfads_plugins_lab.report.blocks import markup
from lfads_plugins_lab.report.facts import Facts, gather
from lfads_plugins_lab.report.latents import factors, initial_conditions, inputs
from lfads_plugins_lab.report.origin import outputs, settings
from lfads_plugins_lab.report.quality import course, quality
from lfads_plugins_lab.report.summary import summary
from lfads_plugins_lab.report.trials import averages, single_trials

log = logging.getLogger(__name__)

FILE = "report.html"

Section = tuple[str, str, Callable[[Facts], str]]

SECTIONS: tuple[Section, ...] = (
    ("quality", "Is it good?", quality),
    ("training", "Training", course),
    ("trials", "Single trials", single_trials),
    ("conditions", "Condition averages", averages),
    ("factors", "Factor trajectories", factors),
    ("initial", "Initial conditions", initial_conditions),
    ("inputs", "Inferred inputs", inputs),
    ("decoding", "Decoding of behaviour", decoding),
    ("settings", "Settings and versions", settings),
    ("outputs", "What the outputs mean", outputs),
)
"""Anchor, title, and what draws it; sections of ``lfads_report_sections`` stand between these."""

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


def export_page(loaded: LoadedRun, path: Path | None) -> list[Path]:
    """:func:`write_page` for ``lfads_exporters``."""
    return [write_page(loaded, path)]


def page(facts: Facts) -> str:
    """The whole text. A section that fails is named in one line, and costs nothing else."""
    style, script = (files("lfads_plugins_lab.report").joinpath("assets", name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    title = escape(f"{facts.run.name}: LFADS report")
    sections = sections_for(facts)
    links = "".join(f'<li><a href="#{anchor}">{escape(heading)}</a></li>' for anchor, heading, _ in sections)
    body = "".join(f'<section id="{anchor}"><h2>{escape(heading)}</h2>{_drawn(draw, heading, facts)}</section>' for anchor, heading, draw in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{title}</title><link rel="icon" '
        f'href="data:,"><style>{style}</style></head>'
        f"<body><header><h1>{escape(facts.run.name)}</h1>{_drawn(summary, 'Summary', facts)}</header>"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{body}</main>'
        "<footer>Made by the LFADS framework. The page stands alone: nothing is loaded from "
        f"anywhere.</footer><script>{script}</script></body></html>\n"
    )


def sections_for(facts: Facts) -> list[Section]:
    """The page's own sections, at 10, 20, ..., and those of plugins that have something to show, each at its place."""
    placed: list[tuple[int, Section]] = [(10 * i, section) for i, section in enumerate(SECTIONS, 1)]
    for spec in facts.loaded.registry.all(ReportSectionSpec):
        placed.append((spec.place, (spec.name, spec.title, partial(_of_plugin, spec))))
    return [section for _, section in sorted(placed, key=lambda pair: pair[0])]


def _of_plugin(spec: ReportSectionSpec, facts: Facts) -> str:
    return facts.loaded.registry.blame(ReportSectionSpec, spec.name, lambda: markup(spec.draw(facts.loaded)))


def _drawn(draw: Callable[[Facts], str], heading: str, facts: Facts) -> str:
    try:
        return draw(facts)
    except Exception as err:  # noqa: BLE001 - a page without one section is better than none
        why = str(err) if isinstance(err, LfadsError) else f"{type(err).__name__}: {err}"
        log.warning("report: the section '%s' could not be drawn (%s)", heading, why)
        return f'<p class="none">This section could not be drawn: {escape(why)}</p>'
