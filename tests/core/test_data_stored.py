"""Recordings larger than memory: rows read from disk are those of the file, and a training on them is the training in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lfads_core.data import hdf5, memory
from lfads_core.data.hdf5 import read_hdf5, size_in_memory
from lfads_core.data.hold_out import hold_out_channels
from lfads_core.data.loader import HostTrials, SplitTensors, StoredTrials, epoch_batches
from lfads_core.data.read import read_sessions
from lfads_core.data.rows import BlockRows, ChunkRows, open_rows
from lfads_core.data.summary import summarise
from lfads_core.errors import DataError
from lfads_core.rng import stream
from lfads_core.train.data import fits

LAYOUTS = {
    "one block": {},
    "one block of big-endian integers": {"dtype": ">i2"},
    "chunks of one trial": {"chunks": (1, 5, 4), "compression": "gzip"},
    "chunks over many trials": {"chunks": (7, 5, 4), "compression": "gzip"},
    "float64": {"dtype": "f8"},
}


def counts(trials: int, seed: int = 0, bins: int = 5, channels: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).poisson(1.0, (trials, bins, channels)).astype("f4")


def write(path: Path, *, recon: bool = False, external: bool = False, **layout: object) -> Path:
    with h5py.File(path, "w") as file:
        for split, trials in (("train", 23), ("valid", 11)):
            data = counts(trials, trials)
            file.create_dataset(f"{split}_encod_data", data=data[:, :4, :3] if recon else data, **({} if recon else layout))
            if recon:
                file.create_dataset(f"{split}_recon_data", data=data, **layout)
            if external:
                file.create_dataset(f"{split}_ext_input", data=data[:, :, :2])
            file[f"{split}_truth"] = data + 0.5
            file[f"{split}_label"] = np.array([f"t{i}" for i in range(trials)], dtype=h5py.string_dtype())
        file["readout_bias"] = np.ones(4)
        file.attrs["bin_ms"] = 10.0
    return path


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_rows_taken_in_any_order_are_those_of_the_file(tmp_path, layout):
    data = counts(23)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=data, **layout)
    with h5py.File(tmp_path / "a.h5") as file:
        rows = open_rows(tmp_path / "a.h5", file["x"], "f4")
        for numbers in ([0], [22, 0, 5], list(range(23)), [3, 4, 5, 9, 10, 2], [], [7, 7, 7]):
            wanted = np.array(numbers, dtype=np.int64)
            got = rows.take(wanted)
            assert got.dtype == np.float32
            assert np.array_equal(got, data[wanted])
        assert np.array_equal(np.concatenate([block for _, block in rows.blocks()]), data)


def test_contiguous_data_are_read_from_the_file_itself_and_compressed_chunks_of_many_trials_from_a_copy(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plain = open_rows(tmp_path / "a.h5", file.create_dataset("plain", data=counts(9)), "f4")
        single = open_rows(tmp_path / "a.h5", file.create_dataset("single", data=counts(9), chunks=(1, 5, 4)), "f4")
        many = open_rows(tmp_path / "a.h5", file.create_dataset("many", data=counts(9), chunks=(3, 5, 4)), "f4")
    assert isinstance(plain, BlockRows)
    assert isinstance(single, ChunkRows)
    assert isinstance(many, BlockRows)


def test_a_file_that_became_shorter_is_told_in_a_sentence(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        rows = open_rows(path, file.create_dataset("x", data=counts(9)), "f4")
    os.truncate(path, 600)
    with pytest.raises(DataError, match=r"a\.h5: must stay as it was while it is used, but it has become shorter\. Restore it, then resume\."):
        rows.take(np.arange(9))


def test_a_copy_that_finds_no_room_is_told_in_a_sentence(tmp_path, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

        def write(self, content):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    with (
        h5py.File(tmp_path / "a.h5", "w") as file,
        pytest.raises(DataError, match=r"must be copied once \(0\.0 GB\) into .*, got: No space left on device\. Make room, set TMPDIR"),
    ):
        open_rows(tmp_path / "a.h5", file.create_dataset("x", data=counts(9), chunks=(3, 5, 4)), "f4")


@pytest.mark.parametrize("recon", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_session_on_disk_reads_the_trials_that_the_session_in_memory_holds(tmp_path, layout, recon):
    path = write(tmp_path / "a.h5", recon=recon, external=True, **layout)
    whole, session = read_hdf5(path), read_hdf5(path, keep_on_disk=True)
    for split in ("train", "valid"):
        stored, held = session.stored[split], whole.splits[split]
        read = stored.read(np.arange(stored.trials))
        assert stored.nested == held.nested
        assert session.trials(split) == held.trials == stored.trials
        for what in ("encod", "recon", "external"):
            assert np.array_equal(getattr(read, what), getattr(held, what))
    assert asdict(summarise(session)) == asdict(summarise(whole))


def test_equal_input_and_target_are_read_once(tmp_path):
    with h5py.File(write(tmp_path / "a.h5"), "a") as file:
        for split in ("train", "valid"):
            file[f"{split}_recon_data"] = file[f"{split}_encod_data"][()]
    stored = read_hdf5(tmp_path / "a.h5", keep_on_disk=True).stored["train"]
    assert stored.recon is stored.encod


def test_another_modality_is_seen_beyond_the_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "SAMPLE_BYTES", 2 * 5 * 4 * 4)
    with h5py.File(write(tmp_path / "a.h5"), "a") as file:
        for split in ("train", "valid"):
            other = file[f"{split}_encod_data"][()]
            other[1:-1] = 7.0  # the sample, first and last trial, agrees
            file[f"{split}_recon_data"] = other
    session = read_hdf5(tmp_path / "a.h5", keep_on_disk=True)
    assert not session.stored["train"].nested
    assert not session.splits["train"].nested


def test_the_sample_is_evenly_spaced_and_what_rides_along_follows_it(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "SAMPLE_BYTES", 3 * 5 * 4 * 4)
    session, whole = read_hdf5(write(tmp_path / "a.h5"), keep_on_disk=True), read_hdf5(tmp_path / "a.h5")
    rows = session.stored["train"].sample
    assert rows.tolist() == [0, 11, 22]
    sample, held = session.splits["train"], whole.splits["train"]
    assert np.array_equal(sample.recon, held.recon[rows])
    assert np.array_equal(sample.extras["truth"], held.extras["truth"][rows])
    assert sample.extras["label"].tolist() == ["t0", "t11", "t22"]


def test_held_out_channels_are_the_same_on_disk(tmp_path):
    path = write(tmp_path / "a.h5")
    whole, session = (hold_out_channels(read_hdf5(path, keep_on_disk=on_disk), 0.5, 0) for on_disk in (False, True))
    read = session.stored["valid"].read(np.arange(11))
    assert np.array_equal(read.encod, whole.splits["valid"].encod)
    assert np.array_equal(read.recon, whole.splits["valid"].recon)


def test_batches_from_disk_are_those_from_memory(tmp_path):
    path = write(tmp_path / "a.h5", recon=True, external=True)
    whole, session = read_hdf5(path), read_hdf5(path, keep_on_disk=True)
    kept = {"a": SplitTensors.from_split(whole.splits["train"], extras=())}
    stored = {"a": StoredTrials(session.stored["train"])}
    pairs = list(zip(epoch_batches(kept, 4, stream(0)), epoch_batches(stored, 4, stream(0)), strict=True))
    assert len(pairs) == 6
    for one, other in pairs:
        for what in ("encod", "recon", "external", "trials"):
            assert torch.equal(getattr(one["a"], what), getattr(other["a"], what))


def test_batches_from_the_host_are_those_from_the_device(tmp_path):
    whole = read_hdf5(write(tmp_path / "a.h5", recon=True, external=True))
    held = SplitTensors.from_split(whole.splits["train"])
    for one, other in zip(epoch_batches({"a": held}, 4, stream(0)), epoch_batches({"a": HostTrials(held, "cpu")}, 4, stream(0)), strict=True):
        for what in ("encod", "recon", "external", "trials"):
            assert torch.equal(getattr(one["a"], what), getattr(other["a"], what))


def test_data_that_would_crowd_a_gpu_stay_on_the_host(tmp_path, monkeypatch):
    session = read_hdf5(write(tmp_path / "a.h5"))
    need = 4 * 23 * 5 * 4 * 4
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (need, need))
    assert fits(session.splits["train"], "cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (need - 1, need))
    assert not fits(session.splits["train"], "cuda")
    assert fits(session.splits["train"], "cpu")


def test_only_files_that_together_exceed_the_room_stay_on_disk(tmp_path):
    path = write(tmp_path / "a.h5")
    need = size_in_memory(path)
    assert need == 2 * (23 + 11) * 5 * 4 * 4  # data and truth
    assert not read_sessions([path], room=need)[0].stored
    assert read_sessions([path], room=need - 1)[0].stored
    assert not read_sessions([path])[0].stored


def test_an_epoch_that_is_left_early_leaves_no_reader_behind(tmp_path):
    import threading

    session = read_hdf5(write(tmp_path / "a.h5"), keep_on_disk=True)
    batches = epoch_batches({"a": StoredTrials(session.stored["train"])}, 4)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lfads-read")]


def test_a_limit_on_the_process_counts():
    code = (
        "import resource; from lfads_core.data.memory import usable_memory; before = usable_memory(); "
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)); print(before, usable_memory())"
    )
    free, limited = map(int, subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())
    assert limited < min(free, 2 << 30)


def test_evenly_spaced_rows_hold_first_and_last():
    assert memory.evenly(10, 4).tolist() == [0, 3, 6, 9]
    assert memory.evenly(3, 8).tolist() == [0, 1, 2]


@pytest.mark.long
@pytest.mark.parametrize("held_out", [None, 0.5])
def test_a_run_from_disk_is_the_run_from_memory_to_the_bit(tmp_path, held_out):
    from lfads_core.config.load import resolve
    from lfads_core.pipeline.run import start_run
    from lfads_core.plugins import load_registry
    from lfads_core.train.progress import Display

    path = write(tmp_path / "a.h5", recon=held_out is None, chunks=(1, 5, 4))
    with h5py.File(path, "a") as file:
        file["conversion_factor"] = 0.5
    registry, outputs = load_registry(), []
    sizes = ["model.generator.hidden=4", "model.generator.ic_size=3", "model.generator.factors=3", "model.encoder.hidden=3"]
    short = ["train.epochs=3", "train.metrics_every=1", "infer.samples=2", "infer.figures=false", "track.mlflow=false"]
    small = [*sizes, *short, "model.controller=null", "data.batch_size=5"]
    held = [] if held_out is None else [f"data.hold_out.fraction={held_out}"]
    for memory_gb in (1.0, 1e-9):
        config = resolve([], [], [*small, *held, f"data.memory_gb={memory_gb}"], registry)
        finished = start_run(tmp_path / f"run-{memory_gb}", [path], config, registry, Display())
        with h5py.File(finished.run.output("a")) as file:
            outputs.append(({key: value[()] for key, value in file.items()}, dict(finished.scores), finished.run.fitlog.read_text()))
    (one, scores, log), (other, other_scores, other_log) = outputs
    assert set(one) == set(other)
    for key in one:
        assert np.array_equal(one[key], other[key]), key
    assert scores == other_scores
    assert drop_seconds(log) == drop_seconds(other_log)


def drop_seconds(log: str) -> list[list[str]]:
    rows = [line.split(",") for line in log.splitlines()]
    at = rows[0].index("seconds")
    return [row[:at] + row[at + 1 :] for row in rows]
