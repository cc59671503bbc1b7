"""Recordings: known by their contents, looked at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time

import numpy as np
import pytest

from lfads_core.errors import DataError
from lfads_plugins_tune.collection import recordings as module
from lfads_plugins_tune.collection.recordings import Recordings, data_hash

OLD = (1.6e9, 1.6e9)


@pytest.fixture
def reads(monkeypatch):
    """Names of the recordings that were really read."""
    seen = []
    read = module.read_session
    monkeypatch.setattr(module, "read_session", lambda path, readers: seen.append(path.name) or read(path, readers))
    return seen


def test_a_recording_is_measured_and_hashed_by_its_bytes(write_tiny, tmp_path):
    path = write_tiny(train_cond=np.arange(12) % 3, valid_cond=np.arange(6) % 3)
    found = Recordings(tmp_path / "memory.json", ()).look("tiny", path)
    assert found.content == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    facts = found.facts
    assert (facts.trials, facts.bins, facts.channels, facts.bin_ms, facts.conditions) == ({"train": 12, "valid": 6}, 8, 5, 10.0, 3)


def test_a_recording_that_keeps_its_size_and_time_is_read_once(write_tiny, tmp_path, reads):
    path = write_tiny()
    os.utime(path, OLD)
    first = Recordings(tmp_path / "memory.json", ())
    assert first.look("tiny", path).facts.conditions is None
    first.keep()
    before = (tmp_path / "memory.json").stat().st_mtime_ns
    again = Recordings(tmp_path / "memory.json", ())
    assert again.look("tiny", path) == first.look("tiny", path)
    again.keep()
    assert reads == ["tiny.h5"]
    assert (tmp_path / "memory.json").stat().st_mtime_ns == before


def test_a_recording_written_a_moment_ago_is_hashed_again_until_it_has_settled(write_tiny, tmp_path, reads):
    path = write_tiny()
    recordings = Recordings(tmp_path / "memory.json", ())
    first = recordings.look("tiny", path).content
    stamp = path.stat().st_mtime_ns
    size = path.stat().st_size
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stamp, stamp))  # as on a file system whose times are coarse
    assert path.stat().st_size == size
    assert recordings.look("tiny", path).content != first


def test_other_contents_are_seen_by_their_time(write_tiny, tmp_path, reads):
    path = write_tiny()
    os.utime(path, OLD)
    recordings = Recordings(tmp_path / "memory.json", ())
    first = recordings.look("tiny", path)
    write_tiny(seed=3)
    assert recordings.look("tiny", path).content != first.content
    assert reads == ["tiny.h5", "tiny.h5"]


def test_a_damaged_memory_is_as_good_as_none(write_tiny, tmp_path):
    (tmp_path / "memory.json").write_text("{")
    recordings = Recordings(tmp_path / "memory.json", ())
    recordings.look("tiny", write_tiny())
    recordings.keep()
    assert (tmp_path / "memory.json").read_text().startswith("{\n")


@pytest.mark.parametrize("damaged", [{}, {"facts": {"bins": 3}}, {"facts": None}, {"content": 5}, {"facts": {"trials": 3}}, {"more": 1}])
def test_a_damaged_line_of_the_memory_is_as_good_as_none(damaged, write_tiny, tmp_path, reads):
    path = write_tiny()
    os.utime(path, OLD)
    recordings = Recordings(tmp_path / "memory.json", ())
    whole = recordings.look("tiny", path)
    recordings.keep()
    memory = json.loads((tmp_path / "memory.json").read_text())
    (tmp_path / "memory.json").write_text(json.dumps({key: line | damaged if damaged else [] for key, line in memory.items()}))
    assert Recordings(tmp_path / "memory.json", ()).look("tiny", path) == whole
    assert reads == ["tiny.h5", "tiny.h5"]


def test_the_hash_of_a_dataset_is_of_names_and_contents_not_of_places_or_order(write_tiny, tmp_path):
    recordings = Recordings(tmp_path / "memory.json", ())
    a, b = (recordings.look(name, write_tiny(f"{name}.h5", seed=seed)) for seed, name in enumerate("ab"))
    (tmp_path / "moved").mkdir()
    moved = recordings.look("a", shutil.copy2(a.path, tmp_path / "moved" / "a.h5"))
    assert data_hash([a, b]) == data_hash([b, moved])
    assert len({data_hash([a]), data_hash([b]), data_hash([a, b]), data_hash([recordings.look("b", a.path)])}) == 4
    assert data_hash([a]) == hashlib.sha256(f"a {a.content}".encode()).hexdigest()[:16]


def test_every_file_of_a_recording_that_is_a_folder_counts(write_tiny, tmp_path):
    from lfads_core.data.hdf5 import read_hdf5
    from lfads_core.plugins import DataReaderSpec

    folder = tmp_path / "one.store"
    folder.mkdir()
    write_tiny("one.store/a.h5")
    reader = DataReaderSpec(
        name="store", summary="folders", matches=lambda path: path.suffix == ".store", read=lambda path: read_hdf5(path / "a.h5", name="one")
    )
    recordings = Recordings(tmp_path / "memory.json", (reader,))
    first = recordings.look("one", folder).content
    (folder / "more.txt").write_text("x")
    second = recordings.look("one", folder).content
    (folder / "more.txt").rename(folder / "less.txt")
    third = recordings.look("one", folder).content
    assert len({first, second, third}) == 3


def test_a_recording_that_is_gone_is_told(tmp_path):
    with pytest.raises(DataError, match=r"^.*/gone\.h5: must be an HDF5 file, found nothing there\. Check the path\.$"):
        Recordings(tmp_path / "memory.json", ()).look("gone", tmp_path / "gone.h5")


def test_looking_at_a_known_recording_is_quick(write_tiny, tmp_path):
    path = write_tiny()
    os.utime(path, OLD)
    recordings = Recordings(tmp_path / "memory.json", ())
    recordings.look("tiny", path)
    began = time.perf_counter()
    for _ in range(100):
        recordings.look("tiny", path)
    assert time.perf_counter() - began < 1.0
