"""EMG at the rails of the converter: counted in the raw signal, said by the preparation and by the check."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_plugins_emg.__main__ import main
from lfads_plugins_emg.rails import at_rails


def raw(trials, seed=0):
    """Channel 2 is amplified too much, channel 3 hangs at the upper rail for a fifth of every fourth trial."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(trials, 2000, 6)) * 0.2
    values[:, :, 2] *= 3
    values[::4, 500:900, 3] = 1.0
    return np.clip(values, -1, 1)


def test_the_share_at_the_rails_is_counted_and_said_before_filters_hide_it(tmp_path, caplog):
    path = tmp_path / "raw.h5"
    with h5py.File(path, "w") as file:
        file["train_raw"], file["valid_raw"] = raw(24), raw(12, 1)
        file.attrs["fs_hz"] = 2000.0
    done = CliRunner().invoke(main, ["prepare", str(path), "-o", str(tmp_path / "out.h5")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    wanted = (np.abs(raw(24)) == 1).mean(axis=(0, 1))
    said = next(text for text in caplog.messages if "rails" in text)
    assert f"is at the converter's rails in channels 2 ({wanted[2]:.1%}), 3 ({wanted[3]:.1%}) of the samples" in said
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_allclose(file["emg_rails"][()], wanted * np.isin(np.arange(6), [2, 3]))
    checked = CliRunner().invoke(cli, ["data", "check", str(tmp_path / "out.h5"), "--plugin", "emg"])
    text = " ".join(checked.output.split())
    assert f"the raw recording is at the converter's rails in channels 2 ({wanted[2]:.1%}), 3 ({wanted[3]:.1%})" in text


@pytest.mark.parametrize("kind", ["floats", "integers", "coarse"])
def test_a_signal_within_its_range_is_not_at_the_rails(kind):
    values = np.random.default_rng(0).normal(size=(10, 3000, 2))
    if kind != "floats":
        values = np.rint(values * (1000 if kind == "integers" else 1.2)).astype(np.int16)
    assert at_rails(values).tolist() == [0, 0]


def test_both_rails_count_and_integers_too():
    values = np.clip(np.rint(np.random.default_rng(0).normal(size=(4, 1000, 1)) * 30000), -32768, 32767).astype(np.int16)
    assert at_rails(values)[0] == pytest.approx(((values == -32768) | (values == 32767)).mean())
