"""Files in which HDF5 itself would go round for ever are refused before they are read."""

from __future__ import annotations

import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest

from heaps_of_texts import endless, free_spaces
from lfads_core.data import heaps
from lfads_core.data.hdf5 import opened
from lfads_core.errors import DataError

READ = "import sys, h5py; h5py.File(sys.argv[1])['names'][()]"


@pytest.fixture
def texts(tmp_path):
    """A file with heaps of texts, and where their first free space begins."""
    path = tmp_path / "texts.h5"
    with h5py.File(path, "w") as file:
        file["names"] = np.array([f"channel {i}" for i in range(300)], dtype=h5py.string_dtype())
        file.attrs["about"] = "names of channels"
    return path


def test_a_heap_whose_free_space_has_no_size_is_refused(texts):
    content = texts.read_bytes()
    places = list(free_spaces(content))
    assert places
    for at in places:
        texts.write_bytes(endless(content, at))
        with pytest.raises(DataError) as err:
            opened(texts)
        assert str(err.value) == (f"{texts}: must be a readable HDF5 file, but its heap of texts is damaged at byte {at}. Copy or write it again.")


def test_whole_heaps_and_what_only_looks_like_one_are_let_pass(texts):
    with h5py.File(texts, "a") as file:
        file["looks"] = np.frombuffer(b"GCOL\x01\0\0\0" + struct.pack("<QQQ", 1 << 60, 1, 8) + bytes(64) + b"GCOL\x01\0\0\0", dtype=np.uint8)[:20]
    with opened(texts) as file:
        assert file["names"].asstr()[7] == "channel 7"


def test_a_heap_is_found_wherever_blocks_of_the_file_end(texts, monkeypatch):
    content = texts.read_bytes()
    wanted = [at for at in range(len(content)) if content.startswith(b"GCOL\x01\0\0\0", at)]
    assert wanted
    for size in (*range(1, 40), 4096, len(content) - 1):
        monkeypatch.setattr(heaps, "_BLOCK", size)
        with texts.open("rb") as file:
            assert list(heaps._heaps(file)) == wanted


@pytest.mark.long
def test_hdf5_would_go_round_in_it_for_ever(texts):
    """When this fails, HDF5 has been mended, and ``heaps.py`` can go."""
    content = texts.read_bytes()
    for at in list(free_spaces(content)):
        content = endless(content, at)
    texts.write_bytes(content)
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", READ, texts], timeout=5, check=False, capture_output=True)
