"""Is it good? Scores beside baselines, costs, and the course of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from lfads_core.components.page import Block, PictureBlock, TableBlock, TextBlock
from lfads_core.infer.loading import LoadedRun
from lfads_plugins_lab.evaluate.lacking import ordered, title
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.evaluate.run import MODEL
from lfads_plugins_lab.report.facts import ReportFacts, gather
from lfads_plugins_lab.report.words import each_session, nothing
from lfads_plugins_std.figures import draw_curves

EXPLAINED = (
    "Bits per spike: how much better the rates explain the spikes than each channel's mean rate does; 0 is the mean rate. On channels that the model "
    "sees it rewards copying, on held-out channels (co-bps) it cannot be won that way. Baselines are fitted to training "
    "trials and scored on the same "
    "trials: the condition average is told each trial's condition, and makes up most of the averages that PSTH scores compare with; smoothing takes "
    "neighbouring bins of the channel itself, and a ridge regression for held-out channels; factor analysis works on the smoothed data."
)
CURVES = (
    "Training cost is measured with dropout and, if chosen, coordinated dropout; validation cost without. A validation "
    "cost that rises while the training cost falls is overfitting. Panels are named as the columns of fitlog.csv: recon is the cost of the data, "
    "heldout that of held-out channels, masked that of hidden values; bps, co_bps and fp_bps are bits per spike of seen channels, held-out channels "
    "and later bins; ic_kl and input_kl are divergences from the priors of initial conditions and inferred inputs."
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
            yield _scores(split, by)
    costs = found.get("costs", {})
    rows = [
        [name, *(_cost(of.get(key)) for of in costs.values())] for key, name in COSTS.items() if any(of.get(key) is not None for of in costs.values())
    ]
    if rows:
        yield TableBlock(head=["negative log-likelihood per value (nats)", *(f"{split} trials" for split in costs)], rows=rows, label="Costs")
    if missing := "; ".join(f"{title(name)} ({why})" for name, why in found.get("lacking", {}).items()):
        yield TextBlock(text=f"Not available: {missing}.", role="note")


def _scores(split: str, by: Mapping[str, Mapping[str, float | None]]) -> Block:
    names = ordered(list(dict.fromkeys(key for scores in by.values() for key in scores)))
    rows = [[title(name), *(_number(scores.get(name), name) for scores in by.values())] for name in names]
    if not rows:
        return nothing(f"No score of {split} trials.")
    return TableBlock(head=[f"{split} trials", *by], rows=rows, strong=1 if MODEL in by else None, label=f"Scores, {split} trials")


def course(loaded: LoadedRun) -> Iterator[Block]:
    """Curves over epochs."""
    log = gather(loaded).log
    if not log or not len(log["epoch"]):
        yield nothing("There is no fitlog.csv.")
        return
    yield TextBlock(text=CURVES)
    yield PictureBlock(image=partial(draw_curves, log), caption="Costs, scores, learning rate and ramps over epochs")


def _number(value: float | None, name: str) -> str:
    return "n/a" if value is None else f"{value:g}" if name.endswith("_ms") else f"{value:.3f}"


def _cost(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.5g}"
