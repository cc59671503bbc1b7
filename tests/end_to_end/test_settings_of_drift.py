"""Options and settings for recordings that drift: data of known drift, and what an adapted model follows."""

from __future__ import annotations

import csv

import pytest

from lfads_core.infer.loading import load
from lfads_core.pipeline.adapt import adapt_run
from lfads_core.train.progress import Display


@pytest.fixture
def followed(train_tiny, write_tiny, tmp_path):
    """Epochs of a run that follows a new day by ``nomad`` with these settings."""
    parent, new = train_tiny(name="parent").run, write_tiny("new.h5", seed=2)

    def call(name, settings):
        part = f"components.alignment={{name: nomad, {settings}}}"
        run = adapt_run(load(parent.path), [new], ("train.epochs=4", part), Display(), tmp_path / "runs" / name, align="nomad").run
        with (run.path / "fitlog.csv").open(encoding="utf-8") as file:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]

    return call


def test_a_distance_from_days_before_counts_with_its_scale_and_ramp_and_floor(followed):
    rows = followed("a", "scale: 3, start_epoch: 1, increase_epochs: 2, floor: 0.2")
    (distance,) = [key for key in rows[0] if key.startswith("valid/loss/nomad/")]
    for epoch, (row, weight) in enumerate(zip(rows, (0, 1 / 3, 2 / 3, 1), strict=True)):
        assert row["loss_ramp/nomad"] == pytest.approx(weight), epoch
        others = row["valid/recon"] + row["kl_ramp"] * 2e-5 * (row["valid/ic_kl"] + row["valid/input_kl"]) + row["l2_ramp"] * row["valid/l2"]
        assert row["valid/total"] == pytest.approx(1e4 * (others + weight * 3 * row[distance]), rel=1e-4)
    other = followed("b", "scale: 3, start_epoch: 1, increase_epochs: 2, floor: 0.9")
    assert other[0][distance] != pytest.approx(rows[0][distance], rel=1e-3)
