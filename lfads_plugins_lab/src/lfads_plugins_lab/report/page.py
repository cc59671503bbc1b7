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
from lfads_core.wording import printable
from lfads_plugins_lab.report.blocks import markup, para
from lfads_plugins_lab.report.facts import gather
from lfads_plugins_lab.report.summary import summary

log = logging.getLogger(__name__)

FILE = "report.html"

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What a browser may load for the page: nothing from anywhere."""


def write_page(loaded: LoadedRun, path: Path | None = None) -> Path:
    """Make a run's page, by default ``report.html`` in its folder; returns the file.

    Raises:
        RunError: there are no outputs yet, or the page cannot be written.
        DataError: an output file is damaged.
    """
    target = path or loaded.run.path / FILE
    write_text(target, printable(page(loaded)))
    return target


def export_page(loaded: LoadedRun, path: Path | None) -> list[Path]:
    """:func:`write_page` for ``lfads_exporters``."""
    return [write_page(loaded, path)]


def page(loaded: LoadedRun) -> str:
    """The whole text. A section that fails is named in one line, and costs nothing else."""
    style, script = (files("lfads_plugins_lab.report").joinpath("assets", name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    title = escape(f"{loaded.run.name}: LFADS report")
    try:
        facts = gather(loaded)
        header = _drawn(partial(summary, facts), "Summary")
        specs = sorted(loaded.registry.all(ReportSectionSpec), key=lambda spec: spec.place)
        sections = [(spec, text) for spec in specs if (text := _drawn(partial(_section, spec, loaded), spec.title))]
    finally:
        gather.cache_clear()
    links = "".join(f'<li><a href="#{spec.name}">{escape(spec.title)}</a></li>' for spec, _ in sections)
    body = "".join(f'<section id="{spec.name}"><h2>{escape(spec.title)}</h2>{text}</section>' for spec, text in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{title}</title><link rel="icon" '
        f'href="data:,"><style>{style}</style></head>'
        f"<body><header><h1>{escape(loaded.run.name)}</h1>{header}</header>"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{body}</main>'
        "<footer>Made by the LFADS framework. The page stands alone: nothing is loaded from "
        f"anywhere.</footer><script>{script}</script></body></html>\n"
    )


def _section(spec: ReportSectionSpec, loaded: LoadedRun) -> str:
    return loaded.registry.blame(ReportSectionSpec, spec.name, lambda: markup(spec.draw(loaded)))


def _drawn(draw: Callable[[], str], heading: str) -> str:
    try:
        return draw()
    except (Exception, SystemExit) as err:  # noqa: BLE001 - a page without one section is better than none
        why = str(err) if isinstance(err, LfadsError) else f"{type(err).__name__}: {err}"
        log.warning("report: the section '%s' could not be drawn (%s)", heading, why)
        return para(f"This section could not be drawn: {why}", "none")
