"""What plugins draw of a run, as far as the page does not draw it itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from lfads_core.components.page import Block, PictureBlock, TextBlock
from lfads_core.infer.loading import LoadedRun
from lfads_core.plugins.specs import ReportSpec
from lfads_core.wording import one_line
from lfads_plugins_lab.report.words import nothing

log = logging.getLogger(__name__)

DRAWN = {"training-curves", "trials", "factors", "inputs", "truth"}
"""Reports of the standard package that sections of the page show already."""


def figures(loaded: LoadedRun) -> Iterator[Block]:
    """The files of every other report, drawn anew of the outputs as they are."""
    for spec in loaded.registry.all(ReportSpec):
        if spec.name not in DRAWN:
            yield from _drawn(loaded, spec)


def _drawn(loaded: LoadedRun, spec: ReportSpec) -> Iterator[Block]:
    with TemporaryDirectory() as folder:
        try:
            files = {path.name: path.read_bytes() for path in map(Path, spec.render(loaded.run, Path(folder)))}
        except (Exception, SystemExit) as err:  # noqa: BLE001 - anything a stranger's code raises
            log.warning("report: %s of %s could not be drawn (%s)", spec.name, loaded.registry.owner(ReportSpec, spec.name), one_line(err))
            yield nothing(f"{spec.summary} ({spec.name}): could not be drawn ({one_line(err)})")
            return
    shown = [name for name in files if name.lower().endswith((".png", ".svg"))]
    for name in shown:
        yield PictureBlock(image=files[name], caption=f"{spec.summary} ({name})")
    if others := ", ".join(sorted(files.keys() - shown)):
        yield TextBlock(text=f"{spec.summary} ({spec.name}) stands in the run's folder plots: {others}.", role="note")
