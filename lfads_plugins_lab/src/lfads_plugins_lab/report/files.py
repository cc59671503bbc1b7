"""Every figure of the page as a file of its own, for papers and slides."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lfads_core.components.page import Block, ChartBlock, ChoiceBlock, Drawing, PictureBlock
from lfads_core.config.fields import FIGURE_FORMATS
from lfads_core.errors import ConfigError
from lfads_core.infer.loading import LoadedRun
from lfads_core.plugins.specs import ReportSectionSpec
from lfads_core.wording import one_line
from lfads_plugins_lab.report.facts import gather
from lfads_plugins_std.figures.chart import draw_chart
from lfads_plugins_std.figures.files import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

Draw = Callable[[], Drawing]


def save_figures(loaded: LoadedRun, folder: Path | None, form: str) -> list[Path]:
    """Write the figures of all sections in this format, into the run's folder of plots by default; returns the files.

    A figure that cannot be drawn costs one warning, and pictures that a plugin has drawn already are left out: they stand among the plots.

    Raises:
        ConfigError: there is no such format.
        RunError: there are no outputs yet.
    """
    if form not in FIGURE_FORMATS:
        raise ConfigError(f"--format: must be one of {', '.join(FIGURE_FORMATS)}, got {form!r}.")
    if folder is None:
        loaded.run.refuse_links()
    written: dict[str, Path] = {}
    try:
        gather(loaded)
        for name, draw in _of_sections(loaded):
            free = next(candidate for number in range(1, 1000) if (candidate := name if number == 1 else f"{name}-{number}") not in written)
            try:
                written[free] = save(cast("Figure", draw()), (folder or loaded.run.plots) / f"{free}.{form}")
            except OSError:
                raise
            except Exception as err:  # noqa: BLE001 - all the other figures are better than none
                log.warning("report: the figure '%s' could not be drawn (%s)", name, one_line(err))
    finally:
        gather.cache_clear()
    return list(written.values())


def _of_sections(loaded: LoadedRun) -> Iterator[tuple[str, Draw]]:
    """Name of the file, and what draws it."""
    for spec in sorted(loaded.registry.all(ReportSectionSpec), key=lambda spec: spec.place):
        found = loaded.registry.shield(ReportSectionSpec, spec.name, partial(_of_section, spec, loaded)) or []
        yield from ((f"{spec.name}_{name}", draw) for name, draw in found)


def _of_section(spec: ReportSectionSpec, loaded: LoadedRun) -> list[tuple[str, Draw]]:
    return list(_of_blocks(spec.draw(loaded)))


def _of_blocks(blocks: Iterable[Block]) -> Iterator[tuple[str, Draw]]:
    for block in blocks:
        if isinstance(block, ChoiceBlock):
            for _, inside in block.options:
                yield from _of_blocks(inside)
        elif isinstance(block, ChartBlock):
            yield _plain(block.title), partial(draw_chart, block)
        elif isinstance(block, PictureBlock) and not isinstance(block.image, bytes):
            yield _plain(block.caption), block.image


def _plain(text: str) -> str:
    """A caption as part of a file's name."""
    return re.sub(r"\W+", "-", text.lower()).strip("-")[:80] or "figure"
