"""The real recordings beside the repository, where they are there."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from lfads_core.data.checks import check_sessions, require
from lfads_core.data.hold_out import hold_out_channels
from lfads_core.data.loader import SplitTensors, epoch_batches
from lfads_core.data.read import read_sessions
from lfads_core.data.summary import suggest_reconstruction, summarise

RECORDINGS = [
    pytest.param("spikes_mcmaze_large_subset", (129, 36, 100, 162), 5.0, "counts", "poisson", id="maze"),
    pytest.param("spikes_rat_motor_taps", (1013, 253, 200, 30), 10.0, "counts", "poisson", id="taps"),
    pytest.param("calcium_offline_ensembles_run", (96, 24, 100, 180), 52.535, "nonnegative", "zig", id="calcium"),
    pytest.param("emg_uci_actions_sub02", (149, 38, 500, 8), 2.0, "positive", "emg", id="emg"),
]


@pytest.mark.parametrize(("name", "sizes", "bin_ms", "support", "plugin"), RECORDINGS)
def test_a_real_recording_is_read_whole_and_fits_its_reconstruction(shared, name, sizes, bin_ms, support, plugin):
    path = shared / "data" / f"{name}.h5"
    (session,) = read_sessions([path])
    train, valid = session.splits["train"], session.splits["valid"]
    assert (session.name, train.trials, valid.trials, *train.recon.shape[1:]) == (name, *sizes)
    assert session.bin_ms == pytest.approx(bin_ms)
    require(check_sessions([session], support=support, observes_missing=False, batch_size=64))
    assert f"--plugin {plugin} " in suggest_reconstruction(summarise(session))
    with h5py.File(path) as file:
        assert {f"train_{key}" for key in train.extras} == {k for k in file if k.startswith("train_")} - {"train_encod_data", "train_recon_data"}
        batches = epoch_batches({name: SplitTensors.from_split(train)}, 64, torch.Generator().manual_seed(0))
        total = sum(float(step[name].recon.sum(dtype=torch.float64)) for step in batches)
        assert total == pytest.approx(float(file["train_recon_data"][()].sum(dtype=np.float64)))


def test_the_maze_recording_with_channels_held_out(shared):
    (session,) = read_sessions([shared / "data" / "spikes_mcmaze_large_subset.h5"])
    held = hold_out_channels(session, 0.25, 0)
    out = np.sort(np.random.RandomState(0).permutation(162)[:40])
    valid, original = held.splits["valid"], session.splits["valid"]
    assert valid.encod.shape == (36, 100, 122)
    np.testing.assert_array_equal(valid.recon[:, :, 122:], original.recon[:, :, out])
    np.testing.assert_array_equal(valid.encod, np.delete(original.recon, out, axis=2))
