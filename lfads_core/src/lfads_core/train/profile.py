"""A trace of a few training steps, for Perfetto or chrome://tracing."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

SPANS = ("lfads: forward", "lfads: loss", "lfads: backward", "lfads: update")
"""Names under which the parts of a step stand in the trace."""

STEPS = 5


class StepTrace:
    """Records the first steps of a training after one that warms up, then writes the trace and is done."""

    def __init__(self, path: Path, steps: int = STEPS) -> None:
        self.path, self.steps, self.done = path, steps, -1
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
        self.profiler: profile | None = profile(activities=activities)

    def step(self) -> None:
        """Be told that a step has ended."""
        self.done += 1
        if self.profiler is not None and self.done == 0:
            self.profiler.start()
        elif self.done == self.steps:
            self.close()

    def close(self) -> None:
        """Write what was recorded, once."""
        if self.profiler is not None and self.done > 0:
            self.profiler.stop()
            self.profiler.export_chrome_trace(str(self.path))
        self.profiler = None
