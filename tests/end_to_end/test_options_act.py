"""From an option, a setting or a file's attribute to what it does: the step that formulas' own tests do not take."""

from __future__ import annotations

import csv
import itertools

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import lfads_core
from lfads_core.cli.main import cli
from lfads_core.model.noise import Noise

BIN_MS, FIRST_MS = 7.0, -250.0


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = CliRunner().invoke(cli, [str(part) for part in arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return call


@pytest.fixture
def sets(tiny_settings):
    return [part for setting in (*tiny_settings, "train.epochs=2") for part in ("--set", setting)]


def arrays(path):
    with h5py.File(path) as file:
        return {key: value[()] for key, value in file.items()}, dict(file.attrs)


def test_every_output_is_what_its_name_says_in_units_of_the_files_bins(train_tiny, write_tiny, invoke, tmp_path):
    """Bins of 7 ms from -250 ms on; each array is the model's latent of that name, for posterior means."""
    run = train_tiny("train.epochs=2", data=write_tiny(bin_ms=BIN_MS, first_bin_ms=FIRST_MS)).run
    invoke("infer", run.path, "--means", "-o", tmp_path / "means.h5")
    found, about = arrays(tmp_path / "means.h5")
    assert about["lfads_posterior_samples"] == 0
    np.testing.assert_allclose(found["time_ms"], FIRST_MS + BIN_MS * np.arange(8))
    np.testing.assert_allclose(found["valid_rates_hz"], found["valid_output_params"] * 1000 / BIN_MS, rtol=1e-6)
    loaded = lfads_core.load(run.path)
    from lfads_core.data.loader import SplitTensors
    from lfads_core.train.data import read_for

    (session,) = read_for(loaded.config, run.data, loaded.registry)
    with torch.no_grad():
        output = loaded.model({"tiny": SplitTensors.from_split(session.splits["valid"], extras=()).take(torch.arange(6))}, Noise())
    latents, reconstruction = output.latents, loaded.model.reconstructions["tiny"]
    wanted = {
        "output_params": reconstruction.mean(output.params["tiny"]),
        "ic_mean": latents.ic.mean,
        "ic_std": latents.ic.std,
        "co_means": latents.inputs.mean,
        "co_stds": latents.inputs.std,
        **{name: getattr(latents, name) for name in ("factors", "gen_states", "gen_init", "gen_inputs", "con_states")},
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(found[f"valid_{name}"], value.detach().numpy(), atol=2e-6, err_msg=name)


def test_samples_are_as_many_as_are_asked_for(train_tiny, invoke, tmp_path):
    run = train_tiny("train.epochs=2").run
    outputs = {}
    for count in (1, 2, 40):
        invoke("infer", run.path, "--samples", count, "-o", tmp_path / f"{count}.h5")
        outputs[count], about = arrays(tmp_path / f"{count}.h5")
        assert about["lfads_posterior_samples"] == count
    invoke("infer", run.path, "--means", "-o", tmp_path / "means.h5")
    means = arrays(tmp_path / "means.h5")[0]["valid_factors"]
    away = {count: np.abs(found["valid_factors"] - means).mean() for count, found in outputs.items()}
    assert away[40] < away[2] < away[1]
    assert arrays(run.output("tiny"))[1]["lfads_posterior_samples"] == 3  # as the settings of the run say


def test_channels_are_held_out_by_the_share_and_epochs_or_time_end_a_training(invoke, write_tiny, sets):
    data = write_tiny(channels=7)
    invoke("run", data, "--name", "held", "--hold-out", "0.45", *sets)
    found, _ = arrays("runs/held/lfads_output_tiny.h5")
    assert found["valid_encod_data"].shape[2] == 7 - int(0.45 * 7)
    assert found["valid_recon_data"].shape[2] == 7
    invoke("run", data, "--name", "few", *sets, "--set", "train.epochs=500", "--epochs", "3")
    assert lfads_core.load("runs/few").columns()["epoch"] == [0, 1, 2]
    said = invoke("run", data, "--name", "short", "--minutes", "1e-7", *sets, "--set", "train.epochs=500")
    assert "train.minutes (1e-07) used up" in said
    assert arrays("runs/short/lfads_output_tiny.h5")[1]["lfads_posterior_samples"] == 3


def column(run, name):
    with (run.path / "fitlog.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def test_without_sampling_a_training_is_that_of_an_autoencoder(train_tiny):
    """No posterior is sampled in any step, and outputs come from posterior means."""
    seen = []

    from lfads_core.model import lfads

    original = lfads.LFADS.draw_noise

    def watched(self, *arguments, **options):
        seen.append(bool(options.get("sample")))
        return original(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lfads.LFADS, "draw_noise", watched)
        patch.setattr("lfads_core.train.trainer.try_components", lambda *_, **_more: None)  # which tries priors as well
        plain = train_tiny("train.epochs=1", "model.variational=false", name="plain").run
        assert seen
        assert not any(seen)
        train_tiny("train.epochs=1", name="sampled")
        assert sum(seen) == 3  # steps of the epoch
    assert arrays(plain.output("tiny"))[1]["lfads_posterior_samples"] == 0


def test_validation_knows_nothing_of_the_augmentations_of_training(train_tiny, write_tiny):
    """The cost of the last epoch is that of the weights it left, on the recording as it is."""
    heavy = ["components.train_augmentations=[{name: coordinated-dropout, rate: 0.9}]", "components.infer_augmentations=[]"]
    run = train_tiny("train.epochs=3", *heavy, data=write_tiny()).run
    loaded = lfads_core.load(run.path, "last")
    from lfads_core.data.loader import SplitTensors
    from lfads_core.train.data import read_for

    (session,) = read_for(loaded.config, run.data, loaded.registry)
    batch = SplitTensors.from_split(session.splits["valid"], extras=()).take(torch.arange(6))
    with torch.no_grad():
        output = loaded.model({"tiny": batch}, Noise())
        cost = loaded.model.reconstructions["tiny"].nll(output.params["tiny"], batch.recon).mean()
    assert column(run, "valid/recon")[-1] == pytest.approx(float(cost), rel=1e-5)
    assert column(run, "train/recon")[-1] != pytest.approx(float(cost), rel=1e-3)


def test_sessions_of_equal_size_have_a_reconstruction_each(train_tiny, write_tiny):
    """Events of one recording are a hundred times as large as the other's: scales that both shared would suit neither."""
    rng = np.random.default_rng(0)
    paths = []
    for name, scale in (("quiet", 0.1), ("loud", 10.0)):
        sizes = (("train", 12), ("valid", 6))
        events = {split: rng.gamma(2.0, scale, (count, 8, 5)) * (rng.random((count, 8, 5)) < 0.5) for split, count in sizes}
        paths.append(write_tiny(f"{name}.h5", **{f"{split}_encod_data": values.astype("f4") for split, values in events.items()}))
    run = train_tiny("train.epochs=2", "components.reconstruction=zero-inflated-gamma", "optim.lr=0.02", data=paths).run
    parameters = lfads_core.load(run.path).parameters()
    own = {name: {key: value for key, value in parameters.items() if f".{name}." in key} for name in ("quiet", "loud")}
    assert {key.replace("quiet", "loud") for key in own["quiet"]} == set(own["loud"])
    assert any(key.startswith("reconstructions.") for key in own["quiet"])
    for key, value in own["quiet"].items():
        assert not np.array_equal(value, own["loud"][key.replace("quiet", "loud")]), key


@pytest.mark.parametrize("trained", [True, False])
def test_whether_the_time_constant_of_the_prior_is_trained_is_said_by_its_setting(train_tiny, trained):
    word = str(trained).lower()
    prior = f"components.input_prior={{name: autoregressive, tau: 10.0, train_tau: {word}}}"
    run = train_tiny("train.epochs=4", prior, "optim.lr=0.05", "regularisation.kl_inputs=1.0", "regularisation.kl_ramp.increase_epochs=0").run
    taus = column(run, "prior/inputs/tau")
    assert taus[0] == pytest.approx(10.0, abs=2.0)
    assert (taus[-1] != pytest.approx(10.0, abs=1e-4)) == trained


def test_a_split_is_another_with_another_seed_and_the_same_with_the_same(invoke, write_tiny):
    data = write_tiny(train_inds=np.arange(12), valid_inds=np.arange(12, 18))
    found = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        invoke("data", "split", data, "-o", f"{name}.h5", "--seed", seed, "--valid", "0.3")
        found[name] = arrays(f"{name}.h5")[0]["valid_inds"].tolist()
    assert found["a"] == found["b"] != found["c"]


def test_decay_of_weights_follows_its_ramp(train_tiny):
    from lfads_core.train import optim

    seen = []
    original = optim.AdamW.step

    def watched(self, *arguments, **options):
        seen.append(float(self.weight_decay))
        return original(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optim.AdamW, "step", watched)
        ramp = ("regularisation.l2_ramp.start_epoch=1", "regularisation.l2_ramp.increase_epochs=4")
        run = train_tiny("train.epochs=6", "optim.weight_decay=0.1", *ramp).run
    by_epoch = [sorted({round(value, 9) for value in seen[3 * k : 3 * k + 3]}) for k in range(6)]
    logged = column(run, "l2_ramp")
    assert (logged[0], logged[-1]) == (0, 1)
    assert all(low < high for low, high in itertools.pairwise(logged))
    assert by_epoch == [[pytest.approx(0.1 * ramp)] for ramp in logged]
