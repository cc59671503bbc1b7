"""How a training ended, how far its ramps had come, and which of its epochs is the best."""

from __future__ import annotations

import numpy as np

from lfads_plugins_lab.report.facts import ReportFacts
from lfads_plugins_std.metrics.titles import column_title

_FULL = 0.9999
"""A ramp from here on has ended."""


def told(facts: ReportFacts) -> list[str]:
    """Sentences: how the training ended, the ramps if they had not, the best epoch, the weights that are shown."""
    epochs, seconds = _length(facts)
    took = "" if seconds is None else f" and {_spoken(seconds)}"
    found = [f"Training {_ended(facts)} after {epochs} epochs{took}{_ramps(facts)}."]
    best = facts.run.read_best()
    if best is not None:
        found.append(f"The best epoch is {best.epoch + 1} of {epochs} (smoothed validation cost {best.cost:.5g}).")
    found.append(f"Shown are the weights of the {facts.loaded.checkpoint} checkpoint.")
    return found


def _length(facts: ReportFacts) -> tuple[int, float | None]:
    log = facts.log
    epochs = len(log["epoch"]) if log else int(facts.state.get("epochs") or 0)
    return epochs, float(log["seconds"][-1]) if log and "seconds" in log and len(log["seconds"]) else None


def _ended(facts: ReportFacts) -> str:
    status = str(facts.state.get("status", "ended"))
    train, optim = facts.loaded.config.train, facts.loaded.config.optim
    reasons = {
        "epochs": f"came to its last epoch (train.epochs {train.epochs})",
        "minutes": f"was stopped by the time limit (train.minutes {train.minutes})",
        "early stopping": f"was stopped early, {train.early_stopping} epochs without a better validation cost,",
        "learning rate": f"was stopped by the learning rate, which fell to {optim.min_lr:g},",
    }
    known = reasons.get(str(facts.state.get("outcome"))) if status == "finished" else None
    states = {"running": "has not ended, and stands", "interrupted": "was interrupted", "failed": "failed"}
    return known or states.get(status, "ended")


def _ramps(facts: ReportFacts) -> str:
    """How far ramps had come that had not ended; nothing where all had."""
    names = [name for name in facts.log if name in ("kl_ramp", "l2_ramp") or name.startswith("loss_ramp/")]
    last = {name: float(facts.log[name][-1]) for name in names if len(facts.log[name])}
    short = {name: value for name, value in last.items() if np.isfinite(value) and value < _FULL}
    if not short:
        return ""
    if len({round(value, 6) for value in short.values()}) == 1 and set(short) == set(last):
        return f", with the ramps at {_percent(next(iter(short.values())))}"
    return ", with the ramp " + " and that ".join(f"{column_title(name)} at {_percent(value)}" for name, value in short.items())


def _percent(value: float) -> str:
    """Rounded down: what is not full is never said to be."""
    return f"{int(100 * value + 1e-9)}%"


def _spoken(seconds: float) -> str:
    """A time in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
