"""Small real runs that the documentation is held to."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli

SMALL = (
    "model.encoder.hidden=6",
    "model.controller={encoder_hidden: 6, hidden: 6, inputs: 2}",
    "model.generator={hidden: 8, ic_size: 4, factors: 3}",
    "regularisation.kl_ramp.increase_epochs=0",
    "regularisation.l2_ramp.increase_epochs=0",
    "data.batch_size=32",
    "train.epochs=2",
    "train.metrics_every=1",
    "infer.samples=2",
    "track.mlflow=false",
    "infer.figures=false",
)


@dataclass(frozen=True)
class Journey:
    """A folder in which the pages' examples have been followed: ``mine.h5`` and ``runs/mine``."""

    folder: Path

    @property
    def run(self) -> Path:
        """The run of the page's own recording."""
        return self.folder / "runs" / "mine"


def _lfads(folder: Path, *args: str) -> None:
    with contextlib.chdir(folder):
        done = CliRunner().invoke(cli, [*args, *(part for text in SMALL for part in ("--set", text))])
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="session")
def journey(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """The first example of start.md written to disk and trained on for two epochs."""
    folder = tmp_path_factory.mktemp("journey")
    page = (root / "docs" / "start.md").read_text(encoding="utf-8")
    first = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[0]
    with contextlib.chdir(folder):
        exec(compile(first, "start.md", "exec"), {})
    _lfads(folder, "run", "mine.h5", "--hold-out", "0.25")
    return Journey(folder)


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two sessions that have all there can be: truth, behaviour, held-out channels, later bins, measuring augmentation, masked values."""
    folder = tmp_path_factory.mktemp("everything")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.attrs["bin_ms"] = 20.0
            for split, trials in (("train", 40), ("valid", 12)):
                rates = rng.uniform(0.2, 2.0, (trials, 12, 6))
                counts = rng.poisson(rates).astype("float32")
                file[f"{split}_recon_data"], file[f"{split}_truth"] = counts, rates
                file[f"{split}_encod_data"] = counts[:, :10, :4]
                file[f"{split}_behavior"] = rates[..., :2].cumsum(axis=1)
    augmentations = "components.train_augmentations=[coordinated-dropout, sample-validation]"
    more = (
        augmentations,
        "validation.masked.fraction=0.2",
        "components.losses=[{name: input-correlation, scale: 0.1}, behaviour]",
        "components.latents=[context]",
    )
    _lfads(folder, "run", "a.h5", "b.h5", "--name", "both", *(part for text in more for part in ("--set", text)))
    return folder / "runs" / "both"
