"""A recording read whole is in memory once: beside it there is room for a block of trials, and numbers are those of whole arrays."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import h5py
import numpy as np
import pytest

from lfads_core.data import rows
from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.layout import Agreement, agreement, same_values, session_from_arrays
from lfads_core.data.means import observed_means
from lfads_core.data.rows import row_blocks
from lfads_core.infer.outputs import write_outputs
from pairwise import pairwise

MB = 2**20


def rng():
    return np.random.default_rng(0)


CHILD = """
import json, sys
from pathlib import Path
import lfads_core.data.rows as rows
rows.BLOCK_BYTES = 1 << 22
from lfads_plugins_lab.bench.peak import resident_peak
from lfads_core.config.load import resolve
from lfads_core.model.build import build_stacks, prepare_model
from lfads_core.plugins import load_registry
from lfads_core.train.data import check_for, put_on, read_for

registry = load_registry()
config = resolve([], [], ["data.memory_gb=100", "data.batch_size=2", "train.device=cpu", *sys.argv[3:]], registry)
peaks = []
for path in sys.argv[1:3]:  # the first is small: it loads code
    sessions = read_for(config, [Path(path)], registry)
    check_for(config, sessions, registry)
    prepare_model(config, sessions, registry, "cpu")
    data = put_on("cpu", sessions)
    peaks.append(resident_peak())
print(json.dumps(peaks))
"""


def write(path, trials, *, twice):
    """Trials of 100 bins and 100 channels, 0.04 MB each."""
    with h5py.File(path, "w") as file:
        for split, count in (("train", trials), ("valid", max(2, trials // 20))):
            data = np.zeros((count, 100, 100), "f4")
            data[:, ::7] = 1.0
            file[f"{split}_encod_data"] = data
            if twice:
                file[f"{split}_recon_data"] = data
        file.attrs["bin_ms"] = 10.0
    return path


@pytest.mark.long
@pytest.mark.parametrize(
    ("twice", "settings", "most"),
    [
        pytest.param(False, [], 1.4, id="stored once"),
        pytest.param(True, [], 1.4, id="stored twice"),
        pytest.param(False, ["data.hold_out.fraction=0.3"], 2.4, id="channels in another order beside those of the file"),
    ],
)
def test_memory_until_training_is_that_of_the_data(tmp_path, twice, settings, most):
    small, large = write(tmp_path / "small.h5", 4, twice=twice), write(tmp_path / "large.h5", 3000, twice=twice)
    command = [sys.executable, "-c", CHILD, str(small), str(large), *settings]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, after = json.loads(done.stdout.splitlines()[-1])
    size = 3150 * 100 * 100 * 4 / MB
    assert size < after - before < most * size


LENGTHS = [(50, 100, 1), (50, 100, 2), (7, 11, 100), (30, 10, 5000), (1, 50, 4), (100, 1, 7), (300, 40, 8), (1, 1, 5)]


@pairwise(shape=LENGTHS, missing=[0.0, 0.05], order=["C", "F"], kind=["f4", "f8"])
def test_means_found_block_by_block_have_the_bits_of_means_of_whole_arrays(shape, missing, order, kind, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 4096)
    rng = np.random.default_rng(1)
    values = (rng.normal(size=shape) * 10.0 ** rng.integers(-4, 4, size=shape)).astype(kind, order=order)
    values[rng.random(shape) < missing] = np.nan
    seen = ~np.isnan(values)
    whole = np.where(seen, values, 0.0).sum(axis=(0, 1), dtype=np.float64) / np.maximum(seen.sum(axis=(0, 1)), 1)
    assert observed_means(values).tobytes() == whole.tobytes()
    np.testing.assert_allclose(
        whole, [np.nansum(values[..., n], dtype=np.longdouble) / max(1, seen[..., n].sum()) for n in range(shape[2])], rtol=1e-9
    )


def test_a_channel_never_observed_has_the_mean_0():
    values = np.array([[[1.0, np.nan], [4.0, np.nan]]])
    assert observed_means(values).tolist() == [2.5, 0.0]


@pytest.mark.parametrize(("count", "multiple", "starts"), [(10, 1, [0, 4, 8]), (10, 3, [0, 3, 6, 9]), (10, 7, [0, 7]), (0, 1, []), (4, 1, [0])])
def test_blocks_of_rows_hold_as_many_as_fit_but_whole_chunks(count, multiple, starts, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 100)
    found = list(row_blocks((count, 6), 4, multiple))
    assert [part.start for part in found] == starts
    assert [part.stop for part in found] == [*starts[1:], count][: len(starts)]


@pytest.mark.parametrize("layout", [{}, {"chunks": (3, 5, 2), "compression": "gzip"}], ids=["one block", "chunks"])
def test_a_target_is_told_from_the_input_in_whichever_block_they_differ(tmp_path, layout, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 200)
    data = rng().poisson(1.0, (23, 5, 4)).astype("f4")
    data[4, 1, 1] = np.nan
    for trial in (None, 0, 11, 22):
        target = data.copy()
        if trial is not None:
            target[trial, 2, 3] += 1
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for split in ("train", "valid"):
                file.create_dataset(f"{split}_encod_data", data=data, **layout)
                file.create_dataset(f"{split}_recon_data", data=target, **layout)
        for split in (read_hdf5(tmp_path / "a.h5").splits["train"], _of_arrays(data, target)):
            assert (split.recon is split.encod) == (trial is None)
            assert same_values(data, target) == (trial is None)
            assert split.nested
            np.testing.assert_array_equal(split.recon, target)


def _of_arrays(data, target):
    arrays = {"encod_data": data, "recon_data": target}
    return session_from_arrays("a", {f"{split}_{key}": values for split in ("train", "valid") for key, values in arrays.items()}).splits["train"]


def test_agreement_counts_every_block(monkeypatch):
    recon = rng().poisson(1.0, (40, 6, 5)).astype("f4")
    encod = recon[:, :4, :3].copy()
    encod[rng().random(encod.shape) < 0.3] = 2.0
    encod[0, 0, 0] = np.nan
    pairs = [(e, r) for e, r in zip(encod.ravel().tolist(), recon[:, :4, :3].ravel().tolist(), strict=True) if not math.isnan(e) and (e, r) != (0, 0)]
    monkeypatch.setattr(rows, "BLOCK_BYTES", 500)
    assert agreement(encod, recon) == Agreement(telling=len(pairs), agreeing=sum(e == r for e, r in pairs))


@pytest.mark.parametrize("changed", [None, 1, 21])
def test_outputs_carry_a_dataset_as_it_is_stored_only_if_every_row_is_the_recordings(tmp_path, changed, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 200)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for split in ("train", "valid"):
            file.create_dataset(f"{split}_encod_data", data=rng().poisson(1.0, (23, 5, 4)), dtype="i2", chunks=(4, 5, 4))
            file[f"{split}_encod_data"].attrs["probe"] = "left"
    session = read_hdf5(tmp_path / "a.h5")
    if changed is not None:
        session.splits["train"].encod[changed, 4, 3] += 1
    write_outputs(tmp_path / "out.h5", session, {}, is_rate=True, samples=None, checkpoint="best")
    with h5py.File(tmp_path / "out.h5") as file:
        assert ("probe" in file["train_encod_data"].attrs, file["train_encod_data"].dtype.kind) == ((True, "i") if changed is None else (False, "f"))
        assert "probe" in file["valid_encod_data"].attrs
        np.testing.assert_array_equal(file["train_encod_data"][()], session.splits["train"].encod)
