"""A simulated search: members whose validation cost falls towards a floor that their hyperparameters set; PBT moves them.

Nothing is trained. The folder looks as `lfads search` leaves it: ``search.json``, one table of all members, one per member.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lfads_core.config.load import resolve
from lfads_core.config.yaml_io import dump
from lfads_core.plugins import load_registry
from lfads_plugins_tune.search import state
from lfads_plugins_tune.search.history import Generation, MemberRecord, generation_to_json
from lfads_plugins_tune.search.state import Best
from lfads_plugins_tune.search.table import SearchLog

MASKING = "components.train_augmentations.coordinated-dropout.rate"
SPACES = {
    "optim.lr": (1e-4, 2e-2, "log"),
    "model.dropout": (0.0, 0.6, "uniform"),
    MASKING: (0.05, 0.6, "uniform"),
    "regularisation.kl_ic": (1e-6, 1e-3, "log"),
    "regularisation.kl_inputs": (1e-6, 1e-3, "log"),
    "regularisation.l2_generator": (1e-5, 1e-1, "log"),
}
BEST = {"optim.lr": 3e-3, "model.dropout": 0.2, MASKING: 0.3, "regularisation.kl_ic": 2e-5, "regularisation.kl_inputs": 3e-5}


@dataclass
class Member:
    """What one member is at."""

    values: dict[str, float]
    cost: float = 0.62
    parent: int | None = None
    status: str = "done"
    rows: list[dict[str, float]] = field(default_factory=list)


class FakeSearch:
    """Runs generation by generation; each is a pair of its rows by member and its record."""

    def __init__(self, members: int, *, kind: str = "pbt", interval: int = 20, seed: int = 0, words: bool = False) -> None:
        self.kind, self.interval, self.words = kind, interval, words
        self.rng = np.random.default_rng(seed)
        self.members = [Member(self._sample()) for _ in range(members)]
        self.history: list[Generation] = []

    def run(self, generations: int) -> Iterator[tuple[list[tuple[int, int, dict[str, float]]], Generation]]:
        """Go on for some generations."""
        for _ in range(generations):
            rows = list(self._train())
            yield rows, self.history[-1]
            self._exploit()

    def _sample(self) -> dict[str, float]:
        drawn = {}
        for name, (low, high, scale) in SPACES.items():
            at = self.rng.uniform()
            drawn[name] = float(low * (high / low) ** at if scale == "log" else low + at * (high - low))
        return drawn

    def _floor(self, values: Mapping[str, float]) -> float:
        cost = 0.30
        for name, best in BEST.items():
            low, high, scale = SPACES[name]
            off = math.log(values[name] / best) / math.log(high / low) if scale == "log" else (values[name] - best) / (high - low)
            cost += 0.25 * off**2
        return cost

    def _train(self) -> Iterator[tuple[int, int, dict[str, float]]]:
        first = len(self.history) * self.interval
        for number, member in enumerate(self.members):
            diverges = member.values["optim.lr"] > 1.2e-2 and self.rng.uniform() < 0.5
            fails = self.rng.uniform() < 0.01
            member.status = "diverged" if diverges else "failed" if fails else "done"
            floor, speed = self._floor(member.values), min(0.08, 12 * member.values["optim.lr"] ** 0.7 / 10)
            for epoch in range(first, first + self.interval):
                if member.status != "done" and epoch == first + self.interval // 2:
                    break
                member.cost += speed * (floor - member.cost)
                noisy = member.cost + float(self.rng.normal(0, 0.003))
                yield (
                    number,
                    epoch,
                    {
                        "train/total": 0.97 * noisy * 1e4,
                        "train/recon": 0.97 * member.cost + float(self.rng.normal(0, 0.002)),
                        "valid/recon": noisy,
                        "valid/recon_smooth": member.cost,
                        "valid/ic_kl": 20 * math.exp(-epoch / 50),
                        "lr": member.values["optim.lr"],
                        "kl_ramp": min(1.0, epoch / 80),
                        "grad_norm": 30 + float(self.rng.gamma(2, 5)),
                        **({"valid/bps": 1.2 * (0.62 - noisy), "valid/co_bps": 0.62 - noisy} if epoch % 5 == 4 else {}),
                    },
                )
        self.history.append(self._record(first))

    def _record(self, first: int) -> Generation:
        records = tuple(
            MemberRecord(
                member=number,
                parent=member.parent,
                score=member.cost if member.status == "done" else None,
                status=member.status,
                hyperparameters={**member.values, **({"components.ic_prior": "normal" if number % 2 else "student-t"} if self.words else {})},
                error=None if member.status == "done" else "the term 'recon' is not finite",
            )
            for number, member in enumerate(self.members)
        )
        return Generation(generation=len(self.history), first_epoch=first, epochs=first + self.interval, members=records)

    def _exploit(self) -> None:
        before = [(m.cost if m.status == "done" else math.inf, dict(m.values)) for m in self.members]
        for number, member in enumerate(self.members):
            member.parent = number
            rival = int(self.rng.integers(len(self.members) - 1))
            rival += rival >= number
            if self.kind != "pbt" or before[rival][0] >= before[number][0]:
                continue
            member.parent, member.cost, member.values = rival, before[rival][0], dict(before[rival][1])
            for name, (low, high, _) in SPACES.items():
                member.values[name] = float(np.clip(member.values[name] * self.rng.uniform(0.7, 1.3), low, high))


def write_search(folder: Path, search: FakeSearch, generations: int) -> Path:
    """Run it, and leave its files in ``folder``."""
    rows: list[tuple[int, int, int, dict[str, float]]] = []
    for some, record in search.run(generations):
        rows += [(epoch, member, record.generation, row) for member, epoch, row in some]
    folder.mkdir(parents=True)
    (folder / "search.json").write_text(json.dumps({"kind": search.kind, "history": [generation_to_json(g) for g in search.history]}))
    values = {(m.member, g.generation): m.hyperparameters for g in search.history for m in g.members}
    names = list(rows[0][3])
    names += [name for *_, row in rows for name in row if name not in names]
    names = list(dict.fromkeys(names))
    lines = ["epoch,member,generation," + ",".join([f"hp/{name}" for name in SPACES] + names)]
    for epoch, member, generation, row in sorted(rows, key=lambda item: item[:2]):
        numbers = [repr(values[member, generation][name]) for name in SPACES] + [repr(row[name]) if name in row else "" for name in names]
        lines.append(f"{epoch},{member},{generation}," + ",".join(numbers))
    (folder / "fitlog.csv").write_text("\n".join(lines) + "\n")
    return folder


class SearchFolder:
    """The folder of a simulated search as its driver would leave it at any moment: settings, journal, table of all members."""

    def __init__(self, folder: Path, members: int = 2, *, kind: str = "pbt", interval: int = 3, seed: int = 2, words: bool = False) -> None:
        self.folder, self.search = folder, FakeSearch(members, kind=kind, interval=interval, seed=seed, words=words)
        self.first = [dict(member.values) for member in self.search.members]
        self.log = SearchLog(folder / "fitlog.csv")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(dump(resolve([], (), (), load_registry(), defaults={"search": {}})))
        self.write("running")

    def go_on(self, generations: int) -> None:
        """Some generations more."""
        for rows, record in self.search.run(generations):
            for member, epoch, row in rows:
                self.log.append((member, record.generation, epoch), record.members[member].hyperparameters, row)
            self.write("running")

    def write(self, status: str, best: Best | None = None, **changes: Any) -> None:
        """Write the journal."""
        members = [state.Member(member=i, values=dict(m.values)) for i, m in enumerate(self.search.members)]
        history, interval = self.search.history, self.search.interval
        targets = tuple(interval * (g + 1) for g in range(len(history) + 1))
        known = {
            "kind": self.search.kind,
            "executor": "serial",
            "data": ("data.h5",),
            "spaces": {},
            "score": "valid/recon_smooth",
            "targets": targets,
            "burn_in": interval,
            "generation": len(history),
            "members": tuple(members),
            "versions": {"torch": "2.13.0"},
        }
        state.write_state(self.folder, state.SearchState(**{**known, "status": status, "best": best, "history": tuple(history), **changes}))
