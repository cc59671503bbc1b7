"""A small recording in every form it can come in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest


@dataclass(frozen=True)
class Recording:
    """Events of three channels, ten trials of two conditions, and the position of a hand."""

    units: dict[str, np.ndarray]  # s
    start: np.ndarray
    stop: np.ndarray
    go: np.ndarray
    side: np.ndarray
    hand_times: np.ndarray
    hand: np.ndarray

    def counts(self, before: float, after: float, width: float, order: np.ndarray | None = None) -> np.ndarray:
        """(trials, bins, channels) around ``go``, by NumPy's histogram, one trial and channel after the other."""
        bins = round((before + after) / width)
        edges = [self.go[b] - before + np.arange(bins + 1) * width for b in range(len(self.go))]
        one_by_one = [[np.histogram(times, bins=e)[0] for times in self.units.values()] for e in edges]
        counts = np.array(one_by_one).transpose(0, 2, 1)
        return counts if order is None else counts[order]

    def write_csv(self, folder: Path) -> tuple[Path, Path, Path]:
        """Tables of events, trials and the hand."""
        spikes, trials, hand = folder / "spikes.csv", folder / "trials.csv", folder / "hand.csv"
        lines = [f"{name},{time!r}" for name, times in self.units.items() for time in times.tolist()]
        spikes.write_text("\n".join(["unit,time", *lines]) + "\n", encoding="utf-8")
        rows = zip(self.start.tolist(), self.stop.tolist(), self.go.tolist(), self.side.tolist(), strict=True)
        trials.write_text("\n".join(["start;stop;go;side", *(f"{a};{b};{c};{d}" for a, b, c, d in rows)]) + "\n", encoding="utf-8")
        rows = zip(self.hand_times.tolist(), *self.hand.T.tolist(), strict=True)
        hand.write_text("\n".join(["time\tx\ty", *(f"{t}\t{x}\t{y}" for t, x, y in rows)]) + "\n", encoding="utf-8")
        return spikes, trials, hand

    def arrays(self) -> dict[str, np.ndarray]:
        """The same as flat arrays."""
        return {
            "spike_times": np.concatenate(list(self.units.values())),
            "spike_units": np.repeat([int(name) for name in self.units], [times.size for times in self.units.values()]),
            "trial_start": self.start,
            "trial_stop": self.stop,
            "trial_go": self.go,
            "hand": self.hand,
            "hand_times": self.hand_times,
        }


@pytest.fixture
def recording() -> Recording:
    rng = np.random.default_rng(5)
    start = np.arange(10) * 1.5
    # Whole microseconds, and none on an edge of a bin: what an edge does has a test of its own.
    units = {str(n): np.sort(np.round(rng.uniform(0, 15, 400), 3) + 0.0003) for n in (3, 7, 12)}
    times = np.arange(0, 15, 0.004)
    return Recording(
        units=units,
        start=start,
        stop=start + 1.25,
        go=start + 0.3,
        side=np.array(["left", "right"] * 5),
        hand_times=times,
        hand=np.stack([3 * times, 5 - times], axis=1),
    )
