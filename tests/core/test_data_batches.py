"""Batches from memory, from the host and from disk: which device and type they come in, what they share, who reads ahead."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from lfads_core.data.loader import HostTrials, SplitTensors, StoredTrials, ahead, epoch_batches, steps_per_epoch
from lfads_core.data.rows import AbstractRows
from lfads_core.data.session import KnownData, Session, Split, StoredSplit
from lfads_core.errors import ConfigError

rng = np.random.default_rng(0)
ENCOD, RECON = rng.normal(size=(7, 5, 3)).astype("f4"), rng.normal(size=(7, 6, 4)).astype("f4")


def split(**changes):
    nothing = np.zeros((7, 6, 0), "f4")
    extras = {"cond": np.arange(7, dtype="u4"), "speed": np.arange(7, dtype="f8"), "hit": np.arange(7) % 2 == 0, "label": np.array(["x"] * 7)}
    return Split(**{"encod": ENCOD, "recon": RECON, "external": nothing, "extras": extras} | changes)


class Kept(AbstractRows):
    """An array in memory that counts how often it is read."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.reads = values, values.shape, values.dtype, 0

    def take(self, rows):
        self.reads += 1
        return self.values[rows]


def stored(encod=ENCOD, recon=RECON, external=None, **options):
    encod = Kept(encod)
    external = None if external is None else Kept(external)
    return StoredSplit(encod=encod, recon=encod if recon is None else Kept(recon), external=external, sample=np.array([0, 3]), **options)


def test_a_split_shares_its_memory_with_its_tensors_where_it_can():
    tensors = SplitTensors.from_split(split())
    assert (tensors.trials, tensors.sample, tensors.nested, tensors.encod.device.type) == (7, None, True, "cpu")
    assert tensors.encod.numpy().ctypes.data == ENCOD.ctypes.data
    assert tensors.recon.numpy().ctypes.data == RECON.ctypes.data
    assert {key: value.dtype for key, value in tensors.extras.items()} == {"cond": torch.int64, "speed": torch.float32, "hit": torch.bool}
    assert set(SplitTensors.from_split(split(), extras=()).extras) == set()
    assert not SplitTensors.from_split(split(nested=False)).nested


def test_a_split_of_halves_and_doubles_becomes_the_type_that_is_wanted():
    whole = split(encod=(RECON * 4).astype("f2"), recon=RECON.astype("f8"), external=np.ones((7, 6, 2), "f8"))
    for dtype in (torch.float32, torch.float64):
        tensors = SplitTensors.from_split(whole, "cpu", dtype)
        assert tensors.encod.dtype == tensors.recon.dtype == tensors.external.dtype == tensors.extras["speed"].dtype == dtype
        np.testing.assert_array_equal(tensors.encod.numpy(), (RECON * 4).astype("f2").astype("f8"))


def test_unsigned_numbers_of_a_byte_stay_and_wider_ones_are_widened():
    extras = {"u1": np.arange(7, dtype="u1"), "u2": np.arange(7, dtype="u2"), "u8": np.arange(7, dtype=">u8"), "i2": np.arange(7, dtype=">i2")}
    extras["frozen"] = np.broadcast_to(np.int64(3), (7,))
    tensors = SplitTensors.from_split(split(extras=extras)).extras
    assert {key: value.dtype for key, value in tensors.items()} == {
        "u1": torch.uint8,
        "u2": torch.int64,
        "u8": torch.int64,
        "i2": torch.int16,
        "frozen": torch.int64,
    }
    assert all(tensors[key].tolist() == list(range(7)) for key in ("u1", "u2", "u8", "i2"))
    assert tensors["u1"].numpy().ctypes.data == extras["u1"].ctypes.data


def test_trials_are_taken_with_all_that_rides_along():
    rows = torch.tensor([4, 0, 6])
    batch = SplitTensors.from_split(split(external=ENCOD, nested=False)).take(rows)
    np.testing.assert_array_equal(batch.encod.numpy(), ENCOD[[4, 0, 6]])
    np.testing.assert_array_equal(batch.recon.numpy(), RECON[[4, 0, 6]])
    np.testing.assert_array_equal(batch.external.numpy(), ENCOD[[4, 0, 6]])
    assert batch.trials.tolist() == [4, 0, 6]
    assert not batch.nested
    assert batch.extras["speed"].tolist() == [4, 0, 6]


@pytest.mark.parametrize("nested", [True, False])
def test_trials_on_disk_are_read_once_and_carry_their_numbers(nested):
    on_disk = stored(recon=None, nested=nested)
    source = StoredTrials(on_disk)
    assert (source.trials, source.sample.tolist()) == (7, [0, 3])
    batch = source.take(torch.tensor([5, 2]))
    np.testing.assert_array_equal(batch.encod.numpy(), ENCOD[[5, 2]])
    assert batch.recon is batch.encod
    assert on_disk.encod.reads == 1
    assert batch.trials.tolist() == [5, 2]
    assert batch.nested is nested
    assert batch.encod.device.type == "cpu"
    assert batch.external.shape == (2, 5, 0)
    other = StoredTrials(stored(external=ENCOD.astype("f8")), "cpu", torch.float64).take(torch.tensor([1]))
    assert other.encod.dtype == other.recon.dtype == other.external.dtype == torch.float64
    np.testing.assert_array_equal(other.recon.numpy(), RECON[[1]])
    np.testing.assert_array_equal(other.external.numpy(), ENCOD[[1]])


def test_trials_go_to_the_device_that_was_named():
    """Torch's device without memory stands for one that is not the CPU."""
    rows = torch.tensor([5, 2, 3])
    for source in (SplitTensors.from_split(split(), "meta"), StoredTrials(stored(), "meta"), HostTrials(SplitTensors.from_split(split()), "meta")):
        batch = source.take(rows)
        devices = {value.device.type for value in (batch.encod, batch.recon, batch.external, batch.trials, *batch.extras.values())}
        assert devices == {"meta"}
        assert (batch.encod.shape, batch.recon.shape, batch.external.shape) == ((3, 5, 3), (3, 6, 4), (3, 6, 0))


def test_trials_of_the_host_share_their_input_and_keep_what_rides_along():
    host = HostTrials(SplitTensors.from_split(split(recon=ENCOD)), "cpu")
    assert (host.trials, host.sample) == (7, None)
    same = HostTrials(SplitTensors.from_split(split(encod=RECON, recon=RECON)), "meta").take(torch.tensor([0]))
    assert same.recon is same.encod
    batch = HostTrials(SplitTensors.from_split(split(nested=False, external=RECON)), "cpu").take(torch.tensor([6, 1]))
    assert batch.extras["cond"].tolist() == [6, 1]
    assert batch.trials.tolist() == [6, 1]
    assert not batch.nested
    for values, wanted in ((batch.encod, ENCOD), (batch.recon, RECON), (batch.external, RECON)):
        np.testing.assert_array_equal(values.numpy(), wanted[[6, 1]])


def test_batches_for_a_gpu_are_pinned_and_nothing_waits():
    moved = []
    pinned = SimpleNamespace(to=lambda device, non_blocking: moved.append((str(device), non_blocking)) or torch.zeros(1))
    values = Mock(spec=torch.Tensor, pin_memory=lambda: pinned)
    HostTrials(SplitTensors.from_split(split()), "cuda:0")._moved(values)
    assert moved == [("cuda:0", True)]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_next_is_read_by_one_thread_while_the_last_is_used(steps):
    seen = []

    def take(step):
        seen.append((step, threading.current_thread().name))
        return step * 10

    found = []
    for value in ahead(take, steps):
        found.append(value)
        if len(found) < steps:  # the next comes without being asked for
            for _ in range(2000):
                if len(seen) > len(found):
                    break
                threading.Event().wait(0.001)
            assert len(seen) == len(found) + 1
    assert found == [10 * step for step in range(steps)]
    assert [step for step, _ in seen] == list(range(steps))
    assert {name for _, name in seen} == {"lfads-read_0"}


def test_only_what_is_not_on_the_device_is_read_ahead(monkeypatch):
    asked = []
    monkeypatch.setattr("lfads_core.data.loader.ahead", lambda take, steps: asked.append(steps) or map(take, range(steps)))
    tensors = SplitTensors.from_split(split())
    assert len(list(epoch_batches({"a": tensors, "b": tensors}, 4))) == 4
    assert asked == []
    assert len(list(epoch_batches({"a": tensors, "b": StoredTrials(stored())}, 4))) == 4
    assert len(list(epoch_batches({"a": HostTrials(tensors, "cpu")}, 7))) == 1
    assert asked == [4, 1]


def test_steps_are_as_few_as_hold_all_trials():
    tensors = SplitTensors.from_split(split())
    assert [steps_per_epoch({"a": tensors}, size) for size in (1, 3, 6, 7, 8)] == [7, 3, 2, 1, 1]
    assert steps_per_epoch({"a": tensors, "b": tensors}, 7) == 2
    with pytest.raises(ConfigError, match=r"^data\.batch_size: must be >= 1, got 0$"):
        steps_per_epoch({"a": tensors}, 0)


def test_steps_of_one_session_stay_in_order_and_those_of_several_are_shuffled():
    tensors = SplitTensors.from_split(split())
    shares = [[step["a"].trials.numel() for step in epoch_batches({"a": tensors}, 3, torch.Generator().manual_seed(seed))] for seed in range(9)]
    assert shares == [[3, 2, 2]] * 9
    assert [[len(b.trials) for b in step.values()] for step in epoch_batches({"a": tensors, "b": tensors}, 5)] == [[3, 2], [2, 3], [2, 2]]


def test_what_is_read_of_a_stored_split_is_a_split():
    read = stored(nested=False).read(np.array([2, 6]))
    np.testing.assert_array_equal(read.recon, RECON[[2, 6]])
    assert (read.external.shape, read.external.dtype) == ((2, 6, 0), np.dtype("f4"))
    assert not read.nested
    double = stored(encod=RECON.astype("f8"), recon=None)
    read = double.read(np.array([2]))
    assert read.recon is read.encod
    assert double.encod.reads == 1
    assert read.external.dtype == np.float64


def test_channels_of_a_stored_split_are_taken_in_their_order():
    some = stored(encod=RECON, recon=None, nested=False).with_channels(np.array([3, 1]), np.array([3, 1, 0, 2]))
    read = some.read(np.array([5]))
    np.testing.assert_array_equal(read.encod, RECON[[5]][:, :, [3, 1]])
    np.testing.assert_array_equal(read.recon, RECON[[5]][:, :, [3, 1, 0, 2]])
    assert some.sample.tolist() == [0, 3]
    assert not some.nested


def session(**attributes):
    return Session(name="s", path=Path("a.h5"), splits={"train": split()}, attributes=attributes)


def test_what_a_session_s_file_says_comes_as_numbers_and_text():
    nothing = session()
    assert (nothing.bin_ms, nothing.first_bin_ms, nothing.behaviour, nothing.aligned_to) == (None, 0.0, "", None)
    said = session(bin_ms=5, first_bin_ms=np.float32(-250), behaviour="reach", aligned_to=np.str_("go"))
    assert (said.bin_ms, said.first_bin_ms, said.behaviour, said.aligned_to) == (5.0, -250.0, "reach", "go")
    assert type(said.bin_ms) is float
    assert type(said.first_bin_ms) is float
    assert type(said.aligned_to) is str
    assert session(behavior="tap", behaviour="reach").behaviour == "tap"
    assert session(behavior=3).behaviour == "3"
    for odd in ("-250", np.nan, np.inf, np.array([1.0])):
        assert session(first_bin_ms=odd).first_bin_ms == 0.0


def test_trials_are_counted_in_memory_or_on_disk():
    whole = session()
    assert whole.trials("train") == 7
    assert whole.splits["train"].trials == 7
    few = replace(whole, splits={"train": split(encod=ENCOD[:2], recon=RECON[:2], external=RECON[:2], extras={})})
    assert few.trials("train") == 2
    assert replace(few, stored={"train": stored()}).trials("train") == 7


def test_nothing_is_known_of_what_was_not_looked_at():
    assert session().known is None
    assert KnownData() == KnownData(channels=None, bin_ms=None, aligned_to=None, first_bin_ms=None, contents={})
