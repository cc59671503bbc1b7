"""What suite2p and CaImAn leave behind: events of the cells, at the frame rate of the file."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from calcium_files import FS, caiman, fall, fall_73, plane
from lfads_core.cli.main import cli
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings import read_source

N, T = 9, 700
RNG = np.random.default_rng(0)
EVENTS = np.where(RNG.random((N, T)) < 0.05, RNG.gamma(2, 50, (N, T)), 0).astype("f4")
CELL = np.stack([np.array([1, 0, 1, 1, 0, 1, 1, 0, 1.0]), RNG.random(N)], 1)
KEPT = np.flatnonzero(CELL[:, 0])


@pytest.mark.parametrize("form", ["Fall.mat", "mouse_Fall.mat", "v73.mat", "plane0", "plane0/spks.npy", "suite2p", "combined"])
def test_suite2p_gives_the_events_of_its_cells(tmp_path, form):
    if form.endswith(".mat"):
        path = fall_73(tmp_path / form, EVENTS, CELL) if form == "v73.mat" else fall(tmp_path / form, EVENTS, CELL)
    elif form == "combined":
        path = tmp_path / "suite2p"
        for name in ("plane0", "plane1", "combined"):
            plane(path / name, EVENTS, CELL)
    else:
        path = tmp_path / "suite2p" / "plane0"
        plane(path, EVENTS, CELL)
        path = {"plane0": path, "plane0/spks.npy": path / "spks.npy", "suite2p": path.parent}[form]
    found = read_source(path)
    np.testing.assert_array_equal(found.signal.values, EVENTS[KEPT].T)
    assert found.signal.bin_ms == pytest.approx(1000 / 30)
    assert found.names == tuple(map(str, KEPT))


@pytest.mark.parametrize("chosen", [None, [4, 1, 7]])
def test_caiman_gives_the_events_of_its_components(tmp_path, chosen):
    found = read_source(caiman(tmp_path / "a.hdf5", EVENTS, chosen))
    np.testing.assert_array_equal(found.signal.values, EVENTS[chosen if chosen is not None else slice(None)].T)
    assert found.signal.bin_ms == pytest.approx(1000 / 30)


def test_they_are_cut_by_a_table_of_trials_at_frames(tmp_path):
    """Ten trials of two seconds are ten times sixty frames."""
    starts = np.arange(9) * 2.4 + 1
    (tmp_path / "trials.csv").write_text("\n".join(["start,stop", *(f"{s:.1f},{s + 2:.1f}" for s in starts)]))
    arguments = [
        "data",
        "make",
        str(fall(tmp_path / "Fall.mat", EVENTS, CELL)),
        "--trials",
        str(tmp_path / "trials.csv"),
        "-o",
        str(tmp_path / "a.h5"),
        "--last",
    ]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    with h5py.File(tmp_path / "a.h5") as file:
        both = np.concatenate([file[f"{split}_encod_data"][()] for split in ("train", "valid")])
        assert file.attrs["bin_ms"] == pytest.approx(1000 / 30)
    first = np.rint(starts * FS).astype(int)
    np.testing.assert_allclose(both, np.stack([EVENTS[KEPT, a : a + 60].T for a in first]))


def test_what_is_missing_is_named(tmp_path):
    folder = plane(tmp_path / "plane0", EVENTS, CELL)
    (folder / "spks.npy").unlink()
    with pytest.raises(DataError, match=re.escape(f"{folder}: must hold 'spks', got none. Run suite2p to its end, with its deconvolution")):
        read_source(folder)
    for name in ("plane0", "plane1"):
        plane(tmp_path / "several" / name, EVENTS, CELL)
    with pytest.raises(DataError, match="one plane must be named, got plane0, plane1"):
        read_source(tmp_path / "several")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["estimates/C"], file["params/data/fr"] = EVENTS, FS
    with pytest.raises(DataError, match="must hold deconvolved events as 'estimates/S'"):
        read_source(tmp_path / "a.hdf5")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (np.array([["yes", "0.9"]] * N), "'spks' and 'iscell' must be numbers, got float32 and <U3"),
        (np.zeros((N, 0)), "'spks' (regions, frames) and 'iscell' (regions, 2) must fit together, got (9, 700) and (9, 0)"),
        (CELL[:4], "'spks' (regions, frames) and 'iscell' (regions, 2) must fit together, got (9, 700) and (4, 2)"),
        (np.zeros((N, 2)), "some region must be a cell, got none of 9"),
    ],
)
def test_cells_that_do_not_fit_the_events_are_refused(tmp_path, cell, text):
    with pytest.raises(DataError, match=re.escape(f"plane0: {text}")):
        read_source(plane(tmp_path / "plane0", EVENTS, cell))


@pytest.mark.parametrize("chosen", [[0, 9], [-1, 2]])
def test_components_that_are_not_there_are_refused(tmp_path, chosen):
    path = caiman(tmp_path / "a.hdf5", EVENTS, chosen)
    text = f"{path}: 'estimates/idx_components' must be among the 9 rows of 'estimates/S', got {chosen[0]} to {chosen[1]}. Save it again."
    with pytest.raises(DataError, match=re.escape(text)):
        read_source(path)


@pytest.mark.parametrize(("write", "name"), [(fall_73, "spks"), (caiman, "estimates/S")])
def test_events_that_are_declared_and_were_never_written_are_not_made_up(tmp_path, write, name):
    path = write(tmp_path / ("a.mat" if write is fall_73 else "a.hdf5"), EVENTS, CELL if write is fall_73 else None)
    with h5py.File(path, "a") as file:
        del file[name]
        file.create_dataset(name, (10**6, 10**7), "f4", chunks=(10, 10))
    with pytest.raises(DataError, match=re.escape(f"{path}: '{name}' ")):
        read_source(path)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_cut_file_of_matlab_is_one_sentence(tmp_path, share):
    path = fall(tmp_path / "Fall.mat", EVENTS, CELL)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=re.escape(f"{path}: ")):
        read_source(path)


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch evil",)


def test_ops_are_read_without_running_what_they_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = read_source(plane(tmp_path / "plane0", EVENTS, CELL, path=Evil()))
    assert found.signal.bin_ms == pytest.approx(1000 / 30)
    assert not (tmp_path / "evil").exists()
