"""Replay of the JSON fixture of schedules."""

from __future__ import annotations

from typing import Any

from lfads_core.config.schema import OptimConfig
from lfads_core.objective.terms import ramp
from lfads_core.train.schedule import Plateau
from parity.report import Report


def replay_schedules(data: dict[str, Any], report: Report) -> None:
    """Ramps, and the learning rate after each epoch of a given metric."""
    for i, entry in enumerate(data["ramps"]):
        values = entry["values_by_epoch_from_0"]
        ours = [ramp(epoch, entry["start_epoch"], entry["increase_epoch"]) for epoch in range(len(values))]
        report.compare(f"ramps/{i}/values_by_epoch_from_0", values, ours)
    for i, entry in enumerate(data["plateau"]):
        settings = OptimConfig(lr=entry["lr_init"], decay=entry["lr_decay"], patience=entry["lr_patience"], min_lr=entry["lr_stop"])
        plateau = Plateau(settings, settings.lr)
        ours = [plateau.update(cost) for cost in entry["metric_by_epoch"]]
        report.compare(f"plateau/{i}/lr_after_epoch", entry["lr_after_epoch"], ours)
    known = {
        "ramps": {"start_epoch", "increase_epoch", "values_by_epoch_from_0"},
        "plateau": {"lr_init", "lr_decay", "lr_stop", "lr_patience", "metric_by_epoch", "lr_after_epoch"},
    }
    for section, entries in data.items():
        for i, entry in enumerate(entries if isinstance(entries, list) else []):
            for key in entry.keys() - known.get(section, set()) - {"note"}:
                report.add(f"{section}/{i}/{key}", float("inf"), note="not compared: the replay knows nothing of this name")
