"""Is it good? Scores beside baselines, costs, and the course of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from lfads_core.components.page import Block, PictureBlock, TableBlock, TextBlock
from lfads_core.infer.loading import LoadedRun
from lfads_plugins_lab.evaluate.lacking import ordered
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.evaluate.run import MODEL
from lfads_plugins_lab.report.ending import told
from lfads_plugins_lab.report.facts import ReportFacts, gather
from lfads_plugins_lab.report.words import each_session, nothing, spoken_split
from lfads_plugins_std.figures.of_session import dimensions_of
from lfads_plugins_std.metrics.titles import score_text, title
from lfads_plugins_std.reports import curves_of

EXPLAINED = (
    "Bits per spike: how much better the rates explain the spikes than each channel's mean rate does; 0 is the mean rate. On channels that the model "
    "sees it rewards copying, on held-out channels (co-bps) it cannot be won that way. Baselines are fitted to training "
    "trials and scored on the same "
    "trials: the condition average is told each trial's condition, and makes up most of the averages that PSTH scores compare with; smoothing takes "
    "neighbouring bins of the channel itself, and a ridge regression for held-out channels; factor analysis works on the smoothed data."
)
CURVES = (
    "Training cost is measured with dropout and, if chosen, coordinated dropout; validation cost without. A validation cost that rises while the "
    "training cost falls is overfitting. The loss is all costs together, each with its scale and ramp; KL divergences are those of the posteriors "
    "of initial conditions and inferred inputs from their priors. Every number stands in fitlog.csv, whose epochs count from 0."
)
COSTS = {
    "all": "all values",
    "seen": "values the model sees",
    "null_seen": "the same without dynamics",
    "hidden": "values hidden from it",
    "heldout": "held-out channels",
    "null_heldout": "the same without dynamics ",
}


def quality(loaded: LoadedRun) -> Iterator[Block]:
    """Tables of each session."""
    facts = gather(loaded)
    yield TextBlock(text=EXPLAINED)
    yield from each_session(facts, partial(_tables, facts))


def _tables(facts: ReportFacts, session: Recorded) -> Iterator[Block]:
    found = facts.found(session)
    for split, by in found.get("scores", {}).items():
        if split != "train" or len(found["scores"]) == 1:
            yield _scores(split, by, [name for name, _ in dimensions_of(session.session)])
    costs = found.get("costs", {})
    rows = [
        [name, *(_cost(of.get(key)) for of in costs.values())] for key, name in COSTS.items() if any(of.get(key) is not None for of in costs.values())
    ]
    if rows:
        yield TableBlock(
            head=["negative log-likelihood per value (nats)", *(f"{spoken_split(split)} trials" for split in costs)], rows=rows, label="Costs"
        )
    lacking: dict[str, list[str]] = {}
    for name, why in found.get("lacking", {}).items():
        lacking.setdefault(why, []).append(title(name))
    if missing := "; ".join(f"{'; '.join(names)} ({why})" for why, names in lacking.items()):
        yield TextBlock(text=f"Not available: {missing}.", role="note")


def _scores(split: str, by: Mapping[str, Mapping[str, float | None]], dimensions: Sequence[str]) -> Block:
    names = ordered(list(dict.fromkeys(key for scores in by.values() for key in scores)))
    rows = [[title(name, dimensions), *(score_text(scores.get(name), name, 3) for scores in by.values())] for name in names]
    if not rows:
        return nothing(f"No score of {spoken_split(split)} trials.")
    return TableBlock(
        head=[f"{spoken_split(split)} trials", *by], rows=rows, strong=1 if MODEL in by else None, label=f"Scores, {spoken_split(split)} trials"
    )


def course(loaded: LoadedRun) -> Iterator[Block]:
    """Curves over epochs."""
    facts = gather(loaded)
    if not facts.log or not len(facts.log["epoch"]):
        yield nothing("There is no fitlog.csv.")
        return
    yield TextBlock(text=" ".join(told(facts)))
    yield TextBlock(text=CURVES)
    yield PictureBlock(image=partial(curves_of, loaded.run), caption="Costs, scores, learning rate and ramps over epochs")


def _cost(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.5g}"
