"""``python scripts/gallery.py``: train the small models of the landing page and the gallery, and draw them into ``docs/img`` (minutes).

Names on the command line draw only those.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

import lfads_core as lf

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "img"
QUIET: dict[str, Any] = {"infer.figures": False, "track.mlflow": False}
SHORT = {"regularisation.kl_ramp.increase_epochs": 20, "regularisation.l2_ramp.increase_epochs": 20, "optim.lr": 0.008}
SMALL = {"model.encoder.hidden": 48, "model.generator": {"hidden": 64, "ic_size": 32, "factors": 8}}
Drawn = Iterator[tuple[str, Figure]]


def lorenz() -> Drawn:
    """Spikes of a Lorenz system: a raster beside rates, trajectories, the training."""
    recording = lf.synthetic("lorenz", conditions=24, trials_per_condition=12)
    run = lf.run(recording, settings={**QUIET, **SHORT, **SMALL, "model.controller": None, "train.epochs": 120}, hold_out=0.25)
    yield "trials", run.plot.trials()
    yield "factors", run.plot.factors()
    yield "training", run.plot.training()


def chaotic() -> Drawn:
    """A network that is pushed by pulses: the inputs that are inferred."""
    recording = lf.synthetic("chaotic-rnn", pulses=True, conditions=10, trials_per_condition=24)
    run = lf.run(recording, settings={**QUIET, **SHORT, **SMALL, "model.controller.inputs": 1, "train.epochs": 80})
    yield "inputs", run.plot.inputs()
    yield "psth", run.plot.psth()


def emg() -> Drawn:
    """Envelopes of muscles with artefacts."""
    recording = lf.synthetic("emg", trials=120, bins=60)
    settings = {**QUIET, **SHORT, "model.controller": None, "train.epochs": 120}
    yield "emg", lf.run(recording, plugin="emg", settings=settings).plot.trials()


def calcium() -> Drawn:
    """Events finer than frames."""
    recording = lf.synthetic("calcium", conditions=6, trials_per_condition=20, channels=60, frames=20)
    settings = {**QUIET, **SHORT, **SMALL, "model.controller": None, "train.epochs": 150}
    yield "calcium", lf.run(recording, plugin="radical", settings=settings).plot.trials()


def search() -> Drawn:
    """A population and its lineage."""
    recording = lf.synthetic("lorenz", conditions=16, trials_per_condition=8, channels=24)
    small = {"model.encoder.hidden": 32, "model.generator": {"hidden": 48, "ic_size": 24, "factors": 6}, "model.controller": None}
    settings = {**QUIET, **SHORT, **small, "optim.lr": 0.004, "search.interval": 15, "search.min_improvement": None}
    found = lf.search(recording, "pbt", members=6, epochs=110, settings=settings)
    yield "search_curves", found.plot.curves()
    yield "search_lineage", found.plot.lineage()


ALL: dict[str, Callable[[], Drawn]] = {of.__name__: of for of in (lorenz, chaotic, emg, calcium, search)}


def main(names: list[str]) -> None:
    """Draw."""
    for name in names or ALL:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            for what, figure in ALL[name]():
                path = IMAGES / f"gallery_{what}.png"
                figure.savefig(path, dpi=110)
                with Image.open(path) as image:
                    few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)  # half the size, and nothing to be seen of it
                few.save(path, optimize=True)
                sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
