"""What every stage of a session on a GPU is told, and where its numbers go."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lfads_core.plugins import load_registry
from lfads_plugins_lab.bench import shapes
from lfads_plugins_lab.bench.clock import wait_for
from lfads_plugins_lab.bench.problem import WARM_UP, BenchProblem, load_problem

BEGAN = time.monotonic()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A stage's share of the session. ``dry`` goes every way on a CPU with tiny sizes, Triton interpreted: its numbers mean nothing."""

    out: Path
    dry: bool
    limit: float
    part: tuple[int, int] = (0, 1)
    faults: list[str] = field(default_factory=list)

    @property
    def device(self) -> str:
        """Where tensors lie."""
        return "cpu" if self.dry else "cuda"

    def late(self) -> bool:
        """Whether nothing more should be begun."""
        return time.monotonic() - BEGAN > self.limit

    def keep(self, name: str, found: Any) -> None:
        """Write what is known so far: a stage that is stopped has left what it had."""
        text = json.dumps(found, indent=1, default=str)
        (self.out / f"{name}.json").write_text(text + "\n", encoding="utf-8")

    def each(self, name: str, work: dict[str, Callable[[], Any]]) -> None:
        """Do one after the other while there is time; what fails, is wrong, or ran on other loops is a fault, and the next is begun."""
        found: dict[str, Any] = {}
        for key, do in work.items():
            if self.late():
                found[key] = {"left out": "no time left"}
            else:
                try:
                    found[key] = do()
                except Exception as error:  # noqa: BLE001 - whatever fails, the rest must still be measured
                    found[key] = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
            print(f"[{time.monotonic() - BEGAN:6.1f}] {name}: {key}: {found[key]}", flush=True)
            self.keep(name, found)
            if any(found[key].get(sign, good) != good for sign, good in {"error": None, "right": True, "refused": None, "ran": None}.items()):
                self.faults.append(key)

    def problem(self, config: str, *settings: str, batches: int = 1) -> BenchProblem:
        """Settings and data of a published shape, or of ``lorenz``; tiny ones in a dry session."""
        tiny = ["train.threads=1", "train.recurrence=fused", "data.passes=1", "infer.samples=2", "infer.batch_size=4"] if self.dry else []
        return load_problem(config, [], load_registry(), [f"train.device={self.device}", *tiny, *settings], batches=batches)

    def rate(self, step: Callable[[], object], seconds: float) -> dict[str, float]:
        """Milliseconds of a step that is waited for (median), of many in a row as a training takes them, and of the host's share of these.

        A step so slow that warming up takes three times ``seconds`` is measured twice and thrice.
        """
        spent = time.perf_counter()
        for _ in range(0 if self.dry else WARM_UP):
            step()
            wait_for(self.device)
            if time.perf_counter() - spent > 3 * seconds:
                break
        least = 1 if self.dry else 2 if time.perf_counter() - spent > 3 * seconds else 5
        alone, spent = [], time.perf_counter()
        while len(alone) < least or (time.perf_counter() - spent < seconds / 2 and not self.dry):
            began = time.perf_counter()
            step()
            wait_for(self.device)
            alone.append(time.perf_counter() - began)
        count = 1 if self.dry else max(3, min(200, int(seconds / 2 / statistics.median(alone))))
        began = time.perf_counter()
        for _ in range(count):
            step()
        host = time.perf_counter() - began
        wait_for(self.device)
        row = {"ms": statistics.median(alone), "ms in a row": (time.perf_counter() - began) / count, "ms of the host": host / count}
        return {name: round(1e3 * value, 3) for name, value in row.items()}


def make_tiny() -> None:
    """Published shapes with sizes that an interpreter can run."""
    for name, of in shapes.SHAPES.items():
        control = {"controller": 4, "input_encoder": 4} if of.controller else {}
        small = {"trials": 2, "encoded_bins": 2, "bins": 3, "encoded_channels": 4, "channels": 5, "generator": 6, "encoder": 5, "factors": 3}
        shapes.SHAPES[name] = replace(of, **small, **control)
