"""What sections share: sessions one after the other, their times and units."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lfads_core.components.page import Block, TextBlock
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.report.facts import ReportFacts
from lfads_plugins_std.figures.units import Scale, TimeAxis, rate_scale, time_of


def each_session(facts: ReportFacts, draw: Callable[[Recorded], Iterator[Block]]) -> Iterator[Block]:
    """What is drawn of each session, below its name where there are several."""
    for session in facts.sessions:
        if len(facts.sessions) > 1:
            yield TextBlock(text=session.name, role="heading")
        yield from draw(session)


def nothing(text: str) -> TextBlock:
    """Why there is nothing to show."""
    return TextBlock(text=text, role="nothing")


def shown_split(session: Recorded) -> str:
    """The split that trials are shown of: validation, or what there is."""
    return "valid" if "valid" in session.splits else session.splits[-1]


def spoken_split(split: str) -> str:
    """A split in a word."""
    return {"train": "training", "valid": "validation"}.get(split, split)


def times_of(session: Recorded) -> TimeAxis:
    """The bins' times, from the event that trials are aligned to if the file names it."""
    return time_of(session.session, next(iter(session.session.splits.values())).recon.shape[1])


def scale_of(session: Recorded) -> Scale:
    """What expected values per bin are multiplied by, and the unit that comes out."""
    unit = str(session.session.attributes.get("data_unit", ""))
    return rate_scale(session.session.bin_ms, is_rate=session.is_rate, counts=session.support == "counts", unit=unit)
