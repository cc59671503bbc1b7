"""What suite2p and CaImAn leave behind: events of the cells, at the frame rate of the file."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import savemat

from lfads_core.cli.main import cli
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings import read_source

N, T, FS = 9, 700, 30.0
RNG = np.random.default_rng(0)
EVENTS = np.where(RNG.random((N, T)) < 0.05, RNG.gamma(2, 50, (N, T)), 0).astype("f4")
CELL = np.stack([np.array([1, 0, 1, 1, 0, 1, 1, 0, 1.0]), RNG.random(N)], 1)
KEPT = np.flatnonzero(CELL[:, 0])


def plane(folder, **ops):
    folder.mkdir(parents=True)
    for name, value in {"F": EVENTS + 1000, "spks": EVENTS, "iscell": CELL}.items():
        np.save(folder / f"{name}.npy", value)
    np.save(folder / "ops.npy", np.array({"fs": FS, **ops}, dtype=object), allow_pickle=True)
    return folder


def fall(path, **more):
    savemat(path, {"F": EVENTS, "Fneu": EVENTS, "spks": EVENTS, "iscell": CELL, "ops": {"fs": FS, "nplanes": 1}, **more})
    return path


def fall_73(path):
    with h5py.File(path, "w") as file:
        file["spks"], file["iscell"], file["ops/fs"] = EVENTS.T, CELL.T, np.array([[FS]])
    return path


@pytest.mark.parametrize("form", ["Fall.mat", "mouse_Fall.mat", "v73.mat", "plane0", "plane0/spks.npy", "suite2p", "combined"])
def test_suite2p_gives_the_events_of_its_cells(tmp_path, form):
    if form.endswith(".mat"):
        path = fall_73(tmp_path / form) if form == "v73.mat" else fall(tmp_path / form)
    elif form == "combined":
        path = tmp_path / "suite2p"
        for name in ("plane0", "plane1", "combined"):
            plane(path / name)
    else:
        path = tmp_path / "suite2p" / "plane0"
        plane(path)
        path = {"plane0": path, "plane0/spks.npy": path / "spks.npy", "suite2p": path.parent}[form]
    found = read_source(path)
    np.testing.assert_array_equal(found.signal.values, EVENTS[KEPT].T)
    assert found.signal.bin_ms == pytest.approx(1000 / 30)
    assert found.names == tuple(map(str, KEPT))


@pytest.mark.parametrize("chosen", [None, [4, 1, 7]])
def test_caiman_gives_the_events_of_its_components(tmp_path, chosen):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["estimates/S"], file["estimates/C"], file["params/data/fr"] = EVENTS, EVENTS + 7, FS
        if chosen is not None:
            file["estimates/idx_components"] = np.array(chosen)
    found = read_source(tmp_path / "a.hdf5")
    np.testing.assert_array_equal(found.signal.values, EVENTS[chosen if chosen is not None else slice(None)].T)
    assert found.signal.bin_ms == pytest.approx(1000 / 30)


def test_they_are_cut_by_a_table_of_trials_at_frames(tmp_path):
    """Ten trials of two seconds are ten times sixty frames."""
    starts = np.arange(9) * 2.4 + 1
    (tmp_path / "trials.csv").write_text("\n".join(["start,stop", *(f"{s:.1f},{s + 2:.1f}" for s in starts)]))
    arguments = ["data", "make", str(fall(tmp_path / "Fall.mat")), "--trials", str(tmp_path / "trials.csv"), "-o", str(tmp_path / "a.h5"), "--last"]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    with h5py.File(tmp_path / "a.h5") as file:
        both = np.concatenate([file[f"{split}_encod_data"][()] for split in ("train", "valid")])
        assert file.attrs["bin_ms"] == pytest.approx(1000 / 30)
    first = np.rint(starts * FS).astype(int)
    np.testing.assert_allclose(both, np.stack([EVENTS[KEPT, a : a + 60].T for a in first]))


def test_what_is_missing_is_named(tmp_path):
    folder = plane(tmp_path / "plane0")
    (folder / "spks.npy").unlink()
    with pytest.raises(DataError, match=re.escape(f"{folder}: must hold 'spks', got none. Run suite2p to its end, with its deconvolution")):
        read_source(folder)
    for name in ("plane0", "plane1"):
        plane(tmp_path / "several" / name)
    with pytest.raises(DataError, match="one plane must be named, got plane0, plane1"):
        read_source(tmp_path / "several")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["estimates/C"], file["params/data/fr"] = EVENTS, FS
    with pytest.raises(DataError, match="must hold deconvolved events as 'estimates/S'"):
        read_source(tmp_path / "a.hdf5")


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch evil",)


def test_ops_are_read_without_running_what_they_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = read_source(plane(tmp_path / "plane0", path=Evil()))
    assert found.signal.bin_ms == pytest.approx(1000 / 30)
    assert not (tmp_path / "evil").exists()
