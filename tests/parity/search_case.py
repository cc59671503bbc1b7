"""Replay of the decisions of population-based training: explored values, samples, tournaments, and when improvement has ended."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

from lfads_core.config.spaces import SpaceConfig
from lfads_plugins_tune.search.decide import Improvement, tournament
from lfads_plugins_tune.search.spaces import explore, sample
from parity.report import Report

_KINDS = {"loguniform": "log", "uniform": "uniform", "randint": "int"}
_KNOWN = {
    "explore": {
        *("name", "min", "max", "explore_wt", "enforce", "start", "python_random_seed", "values"),
        *("min_value", "max_value", "ratio_min", "ratio_max", "fraction_up", "closest_ratio_to_1"),
    },
    "sampling": {"sample_fn", "min", "max", "numpy_global_seed", "values"},
    "tournament": {"python_random_seed", "scores", "finished", "losers", "winners"},
    "stopper": {
        *("num_trials", "perturbation_interval", "burn_in_period", "patience", "min_improvement_ratio"),
        *("calls_epoch_trial_value_result", "stops_at_epoch_trial"),
    },
}


class LegacyNumpy:
    """The chance behind ``numpy.random.seed(n)``, in the words that sampling uses."""

    def __init__(self, seed: int) -> None:
        self.state = np.random.RandomState(seed)

    def uniform(self, low: float, high: float) -> float:
        return float(self.state.uniform(low, high))

    def randrange(self, start: int, stop: int) -> int:
        return int(self.state.randint(start, stop))


def replay_search(data: dict[str, Any], report: Report) -> None:
    """Compare every piece of every section."""
    for i, entry in enumerate(data["explore"]):
        _explore(entry, report, f"explore/{i}")
    for i, entry in enumerate(data.get("sampling", [])):
        _sampling(entry, report, f"sampling/{i}")
    for i, entry in enumerate(data["tournament"]):
        _tournament(entry, report, f"tournament/{i}")
    for i, entry in enumerate(data.get("stopper", [])):
        _stopper(entry, report, f"stopper/{i}")
    for section, entries in data.items():
        for i, entry in enumerate(entries if isinstance(entries, list) else []):
            for key in entry.keys() - _KNOWN.get(section, set()) - {"note"}:
                report.add(f"{section}/{i}/{key}", float("inf"), note="not compared: the replay knows nothing of this name")


def _explore(entry: dict[str, Any], report: Report, at: str) -> None:
    """Values one by one; where a file gives statistics alone, ours of as many draws as tell them apart."""
    space = SpaceConfig(kind="uniform", low=entry["min"], high=entry["max"], explore=entry["explore_wt"], enforce=entry["enforce"])
    rng, start, exact = random.Random(entry["python_random_seed"]), entry["start"], "values" in entry
    ours = [explore(space, start, rng) for _ in range(len(entry["values"]) if exact else 2000)]
    if exact:
        report.compare(f"{at}/values", entry["values"], ours)
    ratios = [value / start for value in ours] if start else None
    found = {
        "min_value": min(ours),
        "max_value": max(ours),
        "ratio_min": min(ratios) if ratios else None,
        "ratio_max": max(ratios) if ratios else None,
        "fraction_up": sum(r > 1 for r in ratios) / len(ratios) if ratios else None,
        "closest_ratio_to_1": min(abs(r - 1) for r in ratios) if ratios else None,
    }
    for name, value in found.items():
        if name not in entry:
            continue
        wanted = entry[name]
        if wanted is None or value is None:
            report.require(f"{at}/{name}", wanted is None and value is None)
        elif exact:
            report.compare(f"{at}/{name}", wanted, value)
        else:  # of unknown draws: shares within five standard errors of both, ends within a hundredth of the range of moves
            size = 5 * math.sqrt(0.5 / len(ours)) if name == "fraction_up" else 0.02 * entry["explore_wt"] * (1 if "ratio" in name else abs(start))
            report.require(f"{at}/{name}", abs(wanted - value) <= size, note=f"expected {wanted!r}, got {value!r}")


def _sampling(entry: dict[str, Any], report: Report, at: str) -> None:
    kind = _KINDS.get(entry["sample_fn"])
    if kind is None:
        report.add(f"{at}/values", float("inf"), note=f"the replay knows no sample_fn {entry['sample_fn']!r}")
        return
    last = entry["max"] - 1 if kind == "int" else entry["max"]  # theirs excludes the upper end, ours includes it
    space, rng = SpaceConfig(kind=kind, low=entry["min"], high=last), LegacyNumpy(entry["numpy_global_seed"])
    report.compare(f"{at}/values", entry["values"], [sample(space, rng) for _ in entry["values"]])


def _tournament(entry: dict[str, Any], report: Report, at: str) -> None:
    """Their scores are better when higher, ours when lower; trials that have finished do not take part."""
    scores = {
        i: -score for i, (score, finished) in enumerate(zip(entry["scores"], entry["finished"], strict=True)) if not finished and score is not None
    }
    duels = tournament(scores, random.Random(entry["python_random_seed"]))
    report.compare(f"{at}/losers", entry["losers"], [duel.loser for duel in duels])
    report.compare(f"{at}/winners", entry["winners"], [duel.winner for duel in duels])


def _stopper(entry: dict[str, Any], report: Report, at: str) -> None:
    improvement = Improvement(patience=entry["patience"], least=entry["min_improvement_ratio"])
    generation: dict[int, float] = {}
    results, stops = [], None
    for epoch, trial, value, _ in entry["calls_epoch_trial_value_result"]:
        past = epoch + 1 - entry["burn_in_period"]
        ended = False
        if past >= 0 and past % entry["perturbation_interval"] == 0:
            generation[trial] = value
            if len(generation) == entry["num_trials"]:
                improvement, generation = improvement.update(list(generation.values())), {}
                ended = improvement.ended
        if ended and stops is None:
            stops = [epoch, trial]
        results.append(ended)
    report.compare(f"{at}/calls_epoch_trial_value_result", [call[3] for call in entry["calls_epoch_trial_value_result"]], results)
    report.require(
        f"{at}/stops_at_epoch_trial", entry["stops_at_epoch_trial"] == stops, note=f"expected {entry['stops_at_epoch_trial']}, got {stops}"
    )
