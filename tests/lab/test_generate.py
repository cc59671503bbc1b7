"""New trials from the command line."""

from __future__ import annotations

import h5py
import numpy as np
from click.testing import CliRunner

from lfads_core.cli.main import cli


def test_trials_are_as_many_and_as_random_as_the_command_says(train_tiny, tmp_path):
    run, made = train_tiny("train.epochs=1").run, {}
    for name, seed in (("one", 5), ("same", 5), ("other", 6)):
        path = tmp_path / f"{name}.h5"
        done = CliRunner().invoke(cli, ["generate", str(run.path), "-n", "3", "--seed", str(seed), "-o", str(path)], catch_exceptions=False)
        assert done.output == f"prior samples: {path}\n"
        with h5py.File(path) as file:
            made[name] = file["ic"][()]
    assert made["one"].shape == (3, 4)
    assert np.array_equal(made["one"], made["same"])
    assert not np.array_equal(made["one"], made["other"])
