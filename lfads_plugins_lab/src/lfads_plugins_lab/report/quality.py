"""Is it good? Scores beside baselines, costs, and the course of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lfads_plugins_lab.evaluate.lacking import ordered, title
from lfads_plugins_lab.evaluate.run import MODEL
from lfads_plugins_lab.report.facts import Facts
from lfads_plugins_lab.report.svg import Axes, Line, chart
from lfads_plugins_lab.report.words import grid, heading, none, para, table

EXPLAINED = (
    "Bits per spike: how much better the rates explain the spikes than each channel's mean rate does; 0 is the mean rate. On channels that the model "
    "sees it rewards copying, on held-out channels (co-bps) it cannot be won that way. Baselines are fitted to training "
    "trials and scored on the same "
    "trials: the condition average is told each trial's condition, and makes up most of the averages that PSTH scores compare with; smoothing takes "
    "neighbouring bins of the channel itself, and a ridge regression for held-out channels; factor analysis works on the smoothed data."
)
COSTS = {
    "all": "all values",
    "seen": "values the model sees",
    "null_seen": "the same at mean rates",
    "hidden": "values hidden from it",
    "heldout": "held-out channels",
    "null_heldout": "the same at mean rates ",
}


def quality(facts: Facts) -> str:
    """Tables of each session."""
    several, parts = len(facts.sessions) > 1, [para(EXPLAINED)]
    for session in facts.sessions:
        found = facts.found(session)
        parts.append(heading(session, several))
        for split, by in found.get("scores", {}).items():
            if split != "train" or len(found["scores"]) == 1:
                parts.append(_scores(split, by))
        parts.append(_costs(found.get("costs", {})))
        missing = "; ".join(f"{title(name)} ({why})" for name, why in found.get("lacking", {}).items())
        parts.append(para(f"Not available: {missing}.", "soft") if missing else "")
    return "".join(parts)


def _scores(split: str, by: Mapping[str, Mapping[str, float | None]]) -> str:
    names = ordered(list(dict.fromkeys(key for scores in by.values() for key in scores)))
    rows = [[title(name), *(_number(scores.get(name), name) for scores in by.values())] for name in names]
    return (
        table([f"{split} trials", *by], rows, ours=1 if MODEL in by else None, label=f"Scores, {split} trials")
        if rows
        else none(f"No score of {split} trials.")
    )


def _costs(costs: Mapping[str, Mapping[str, float | None]]) -> str:
    rows = [
        [name, *(_cost(of.get(key)) for of in costs.values())] for key, name in COSTS.items() if any(of.get(key) is not None for of in costs.values())
    ]
    head = ["negative log-likelihood per value (nats)", *(f"{split} trials" for split in costs)]
    return table(head, rows, label="Costs") if rows else ""


def course(facts: Facts) -> str:
    """Curves over epochs."""
    log = facts.log
    if not log or not len(log["epoch"]):
        return none("There is no fitlog.csv.")
    figures = [
        _curves(
            log,
            "Cost",
            "nats per value",
            {"train/recon": "training", "valid/recon": "validation", "valid/heldout": "held-out channels", "valid/masked": "hidden values"},
        ),
        _curves(
            log,
            "Bits per spike, validation trials",
            "bits per spike",
            {"valid/bps": "seen channels", "valid/co_bps": "held-out channels", "valid/fp_bps": "later bins"},
        ),
        _curves(log, "R², validation trials", "R²", _r2_columns(log)),
        _curves(
            log,
            "Divergence from the priors, validation trials",
            "nats per trial",
            {"valid/ic_kl": "initial condition", "valid/input_kl": "inferred inputs"},
        ),
        _curves(log, "Learning rate", "learning rate", {"lr": ""}, log=True),
        _curves(log, "Ramps", "weight", {"kl_ramp": "KL", "l2_ramp": "L2"}),
    ]
    text = (
        "Training cost is measured with dropout and, if chosen, coordinated dropout; validation cost without. A validation "
        "cost that rises while the training cost falls is overfitting."
    )
    return para(text) + grid([figure for figure in figures if figure])


def _r2_columns(log: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: title(name.removeprefix("valid/"))
        for name in log
        if name.startswith("valid/") and name.count("/") == 1 and "r2" in name and "_ms" not in name
    }


def _curves(table_: Mapping[str, np.ndarray], heading_: str, unit: str, columns: Mapping[str, str], *, log: bool = False) -> str:
    lines = []
    for i, (column, label) in enumerate(columns.items()):
        if column in table_ and np.isfinite(table_[column]).any():
            known = np.isfinite(table_[column])
            lines.append(Line(x=table_["epoch"][known], y=table_[column][known], label=label, colour=f"var(--c{i % 8})"))
    values = np.concatenate([line.y for line in lines]) if lines else np.zeros(0)
    cut = None if log or values.size < 20 or "KL" in heading_ else _without_the_start(lines)
    return chart(Axes(title=heading_, x="epoch", y=unit, log=log, limits=cut), lines) if lines else ""


def _without_the_start(lines: list[Line]) -> tuple[float, float] | None:
    """Limits that the first few epochs do not set, for they dwarf everything after; None where they do not."""
    late = np.concatenate([line.y[len(line.y) // 20 :] for line in lines])
    every = np.concatenate([line.y for line in lines])
    low, high = float(late.min()), float(late.max())
    pad = 0.08 * (high - low)
    return (low - pad, high + pad) if high > low and every.max() - every.min() > 1.5 * (high - low) else None


def _number(value: float | None, name: str) -> str:
    return "n/a" if value is None else f"{value:g}" if name.endswith("_ms") else f"{value:.3f}"


def _cost(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.5g}"
