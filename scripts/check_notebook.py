"""Checks what notebooks are promised, cell by cell in real kernels; ``nox -s notebook`` runs it where only wheels are installed.

Ten lines go from pynapple's objects to rates, a table, two figures and a page; an interrupted cell gives the run so far; LFADS stands in a pipeline
of scikit-learn's. Exits with a sentence and status 1 at the first thing that is not as it should be.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Output = tuple[str, dict[str, Any]]
"""What a cell shows: the kind of message, and its content by MIME type or by field."""

LONGEST = 600.0
"""Seconds that a cell may take."""

OBJECTS = """
import warnings

import numpy as np
import pynapple as nap

warnings.filterwarnings("ignore", module="pynapple")
rng = np.random.default_rng(0)
start = np.arange(60) * 2.0
go, target = start + rng.uniform(0.4, 0.6, start.size), np.tile(["left", "right"], 30)
clock = np.arange(0, 122, 0.001)
since = clock - go[np.clip(np.searchsorted(go, clock) - 1, 0, None)]
way = np.where(target == "left", -1.0, 1.0)[np.clip(np.searchsorted(go, clock) - 1, 0, None)]
rates = [20 + 18 * np.sin(2 * np.pi * 2.5 * way * since + phase) for phase in np.linspace(0, 6, 12)]
units = nap.TsGroup({number: nap.Ts(clock[rng.random(clock.size) < hz * 0.001]) for number, hz in enumerate(rates)})
trials = nap.IntervalSet(start=start, end=start + 1.9, metadata={"go": go, "target": target})
hand = nap.TsdFrame(t=clock[::4], d=np.stack([np.sin(since), way * np.cos(since)], axis=1)[::4], columns=["x", "y"])
settings = {"train.epochs": 6, "model.generator.hidden": 24, "model.encoder.hidden": 16, "infer.figures": False, "track.mlflow": False}
"""
"""What a notebook begins with: objects of pynapple's, and settings so small that it ends soon."""

CELLS = (
    """
import lfads_core as lf
window = {"event": "go", "before": 200, "after": 600, "bin_ms": 20}
recording = lf.Recording.from_pynapple(units, trials, series={"hand": hand}, behaviour="hand", condition="target", **window)
run = lf.run(recording, hold_out=0.25, minutes=3, settings=settings)
""",
    'run.rates.sel(time=slice(0, 600)).groupby("condition").mean("trial")',
    "run.evaluate()",
    "run.plot.psth()",
    "run.plot.factors()",
    "run.report()",
)
"""The ten lines."""

ENDLESS = 'run = lf.run(recording, settings={**settings, "train.epochs": 100000, "train.early_stopping": None}, name="endless")\nrun'

PIPELINE = """
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import lfads_core as lf

recording = lf.synthetic("lorenz", conditions=8, trials_per_condition=8, bins=25, channels=20, mean_rate=40.0)
splits = recording.session.splits.values()
trials = np.concatenate([split.recon for split in splits])
state = np.concatenate([split.extras["latents"][:, :, 0] for split in splits])  # of the system that made the spikes
settings = {
    "train.epochs": 60, "optim.lr": 0.01, "model.generator.hidden": 24, "model.generator.factors": 4, "model.encoder.hidden": 16,
    "model.controller": None, "infer.samples": 8, "data.batch_size": 16, "train.device": "cpu",
    "regularisation.kl_ramp.increase_epochs": 10, "regularisation.l2_ramp.increase_epochs": 10,
}
decoder = make_pipeline(lf.LFADS(settings=settings, flatten=True), Ridge(alpha=1.0))
scores = cross_val_score(decoder, trials, state, cv=2)
"""
"""LFADS, then ridge, cross-validated on trials that neither has seen."""


def need(holds: object, sentence: str) -> None:
    """Stop with ``sentence`` unless ``holds``."""
    if not holds:
        sys.exit(f"check_notebook: {sentence}")


class Kernel:
    """A kernel of IPython's, and what its cells show."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager, self._client = manager, client

    def run(self, code: str, interrupt: Callable[[list[Output]], bool] = lambda _: False) -> list[Output]:
        """Run a cell; interrupt the kernel, as the button does, once what was shown so far says so.

        Raises:
            SystemExit: the cell ends in an error, or takes too long.
        """
        asked, shown, interrupted, end = self._client.execute(code), list[Output](), False, time.monotonic() + LONGEST
        while True:
            need(time.monotonic() < end, f"a cell must end within {LONGEST:g} s, got none of: {code}")
            try:
                message = self._client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != asked:
                continue
            need(kind != "error", f"a cell ended in an error:\n{code}\n" + "\n".join(content.get("traceback", ())))
            if kind == "status" and content["execution_state"] == "idle":
                return shown
            shown.append((kind, content.get("data", content)))
            if not interrupted and interrupt(shown):
                self._manager.interrupt_kernel()
                interrupted = True


@contextlib.contextmanager
def kernel(folder: Path) -> Iterator[Kernel]:
    """A kernel that works in ``folder``."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder))
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def result(shown: list[Output]) -> dict[str, Any]:
    """What the last line of a cell was, by MIME type."""
    return next((data for kind, data in reversed(shown) if kind == "execute_result"), {})


def check_ten_lines(folder: Path) -> None:
    """From pynapple's objects to rates, a table, two figures and a page; then an interrupted run."""
    lines = [line for cell in CELLS for line in cell.splitlines() if line]
    need(len(lines) <= 10, f"the notebook must have ten lines, got {len(lines)}")
    with kernel(folder) as notebook:
        notebook.run(OBJECTS)
        trained, rates, table, *figures, page = (notebook.run(cell) for cell in CELLS)
        need(any(kind == "update_display_data" for kind, _ in trained), "while it trains a table must be drawn over, got none")
        need("xarray.DataArray" in result(rates).get("text/html", ""), "rates must be shown as a labelled array")
        need("co_bps" in result(table).get("text/html", ""), "scores must be shown as a table with co_bps")
        need(all("image/png" in result(figure) for figure in figures), "figures must appear in the notebook")
        need("report.html" in result(page).get("text/plain", ""), "the page must be made")
        epochs = 2
        cut = notebook.run(ENDLESS, interrupt=lambda shown: sum(kind == "update_display_data" for kind, _ in shown) >= epochs)
        need("<Run 'endless'" in result(cut).get("text/plain", ""), f"an interrupted cell must give the run so far, got {result(cut)}")
        said = "".join(content.get("text", "") for kind, content in cut if kind == "stream")
        need("everything is saved in runs/endless" in said, f"an interrupted run must say that it is saved, got: {said}")
        need("60" in result(notebook.run("run.rates.sizes"))["text/plain"], "an interrupted run must have rates")


def check_pipeline() -> None:
    """A ridge on factors reads the state of a Lorenz system."""
    names: dict[str, Any] = {}
    exec(compile(PIPELINE, "pipeline", "exec"), names)
    need(names["scores"].shape == (2,) and names["scores"].min() > 0.3, f"R² of a Lorenz system's state must be > 0.3, got {names['scores']}")


def main() -> None:
    """All checks, in a folder that goes away."""
    import lfads_core

    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        check_ten_lines(Path(place))
        check_pipeline()
    print(f"check_notebook: notebooks work with {Path(lfads_core.__file__).parent}")


if __name__ == "__main__":
    main()
