"""Settings that are found from the recording: lengths in steps, batches that fit, prices of divergences by the size of a trial."""

from __future__ import annotations

import math

import h5py
import numpy as np
import pytest

from lfads_core.config.fields import AUTO, known
from lfads_core.config.load import resolve, resolve_saved
from lfads_core.data.read import read_sessions
from lfads_core.errors import ConfigError
from lfads_core.plugins import load_registry
from lfads_core.train.auto import LENGTHS, resolve_auto


@pytest.fixture
def recording(tmp_path):
    def write(trials, bins=10, channels=4, name="r.h5"):
        rng = np.random.default_rng(0)
        with h5py.File(tmp_path / name, "w") as file:
            file["train_encod_data"] = rng.poisson(1.0, (trials, bins, channels)).astype("f4")
            file["valid_encod_data"] = rng.poisson(1.0, (2, bins, channels)).astype("f4")
        return tmp_path / name

    return write


def settled(paths, *overrides):
    registry = load_registry()
    return resolve_auto(resolve([], (), overrides, registry), read_sessions(paths, registry))


@pytest.mark.parametrize(("trials", "batch"), [(1, 1), (3, 3), (11, 11), (16, 16), (60, 16), (129, 32), (200, 50), (1013, 64), (20000, 64)])
def test_a_step_takes_a_quarter_of_the_trials_but_no_fewer_than_16_and_no_more_than_64_nor_than_there_are(recording, trials, batch):
    assert settled([recording(trials, bins=2, channels=1)]).data.batch_size == batch


@pytest.mark.parametrize("trials", [1, 3, 11, 129, 1013, 20000])
def test_lengths_are_steps_whatever_the_number_of_trials(recording, trials):
    config = settled([recording(trials, bins=2, channels=1)])
    steps = config.data.passes * math.ceil(trials / config.data.batch_size)
    assert steps >= 12
    ramp = config.regularisation.kl_ramp.increase_epochs
    assert 100 <= ramp * steps < 100 + steps
    assert config.regularisation.l2_ramp.increase_epochs == ramp
    assert 60 <= config.optim.patience * steps < 60 + steps
    assert config.train.early_stopping == max(10, math.ceil(600 / steps))
    assert config.train.smoothing == pytest.approx(math.exp(-steps / 36), abs=5e-4)


def test_the_price_of_a_nat_is_a_share_of_what_makes_the_loss_an_elbo(recording):
    one, two = recording(20, bins=10, channels=4), recording(20, bins=10, channels=20, name="s.h5")
    whole = settled([one], "regularisation.reduce=sum").regularisation
    mean = settled([one]).regularisation
    both = settled([one, two]).regularisation
    assert mean.kl_ic == pytest.approx(whole.kl_ic / 40, rel=1e-2)
    assert mean.kl_inputs == pytest.approx(whole.kl_inputs / 40, rel=1e-2)
    assert both.kl_ic == pytest.approx(whole.kl_ic * (1 / 40 + 1 / 200) / 2, rel=1e-2)


def test_a_loss_counts_as_much_as_one_channel_unless_a_scale_is_said(recording):
    one, two = recording(20, bins=10, channels=4), recording(20, bins=10, channels=20, name="s.h5")
    chosen = "components.losses=[input-correlation]"
    mean, both, summed, said = (
        settled(paths, chosen, *more).components.losses[0].settings
        for paths, more in (
            ([one], ()),
            ([one, two], ()),
            ([one], ["regularisation.reduce=sum"]),
            ([one], ["components.losses.0.scale=0.3", "components.losses.0.increase_epochs=2"]),
        )
    )
    assert (mean.scale, both.scale, summed.scale) == (1 / 4, (1 / 4 + 1 / 20) / 2, 10)
    assert (said.scale, said.increase_epochs) == (0.3, 2)


@pytest.mark.parametrize(("trials", "share"), [(1, 0.5), (16, 0.5), (31, 0.5), (32, 0.3), (400, 0.3)])
def test_with_few_training_trials_of_all_sessions_together_more_units_are_dropped(recording, trials, share):
    assert settled([recording(trials, bins=2, channels=1)]).model.dropout == share
    if trials > 1:
        assert settled([recording(trials - 1, bins=2, channels=1), recording(1, bins=2, channels=1, name="s.h5")]).model.dropout == share
    assert settled([recording(trials, bins=2, channels=1)], "model.dropout=0.1").model.dropout == 0.1


@pytest.mark.parametrize(
    ("prior", "bins"), [("autoregressive", 1), ("{name: autoregressive, over_time: mean}", 10), ("normal", 10), ("student-t", 10), ("null", 1)]
)
def test_inputs_whose_divergence_is_a_mean_over_bins_are_priced_by_so_many_bins(recording, prior, bins):
    scales = settled([recording(20, bins=10, channels=4)], f"components.input_prior={prior}").regularisation
    assert scales.kl_inputs == pytest.approx(0.01 * bins / 40, rel=1e-2)
    assert scales.kl_ic == pytest.approx(0.03 / 40, rel=1e-2)


def test_what_somebody_said_stays_as_it_was_said(recording):
    said = {
        "data.batch_size": 7, "data.passes": 2, "optim.patience": 0, "regularisation.kl_ic": 0.0, "regularisation.kl_inputs": 1e-3,
        "regularisation.kl_ramp.increase_epochs": 0, "regularisation.l2_ramp.increase_epochs": 80, "train.early_stopping": None,
        "train.smoothing": 0.0, "train.average": 0, "train.metrics_every": 9, "model.dropout": 0.2,
    }  # fmt: skip
    texts = [f"{key}={'null' if value is None else value}" for key, value in said.items()]
    config = resolve([], (), texts, load_registry())
    assert settled([recording(30)], *texts) == config


def test_settings_are_settled_once(recording):
    path, registry = recording(30), load_registry()
    once = settled([path])
    assert resolve_auto(once, read_sessions([path], registry)) == once
    assert not any(known(_at(once, key), key) == AUTO for key in (*LENGTHS, "data.batch_size", "data.passes"))


def test_a_number_that_was_never_found_is_named():
    with pytest.raises(ConfigError) as err:
        known(AUTO, "optim.patience")
    assert str(err.value) == ("optim.patience: must be a number once the recordings are known, got auto. Resolve them with lfads_core.train.auto.")


def test_a_run_keeps_the_numbers_that_were_found(train_tiny):
    run = train_tiny("data.batch_size=auto", "train.early_stopping=auto", "regularisation.kl_ic=auto").run
    kept = resolve_saved(run.config_path, load_registry())
    assert (kept.data.batch_size, kept.train.early_stopping) == (12, 600)
    assert kept.regularisation.kl_ic == pytest.approx(0.03 / (8 * 5), rel=1e-2)


def test_a_runs_own_settings_of_before_mean_what_they_meant(tmp_path):
    (tmp_path / "config.yaml").write_text("train: {epochs: 3}\n", encoding="utf-8")
    kept = resolve_saved(tmp_path / "config.yaml", load_registry())
    assert (kept.data.passes, kept.train.average) == (1, 0)
    anew = resolve([tmp_path / "config.yaml"], (), (), load_registry())
    assert (anew.data.passes, anew.train.average) == (AUTO, AUTO)


@pytest.mark.parametrize("trials", [1, 3, 11])
def test_few_trials_make_a_model(recording, train_tiny, trials):
    finished = train_tiny("data.batch_size=auto", "data.passes=auto", data=recording(trials))
    assert finished.outcome == "epochs"
    assert finished.run.outputs


@pytest.mark.parametrize("channels", [1, 4])
def test_one_channel_and_silent_channels_make_a_model(recording, train_tiny, channels):
    path = recording(30, channels=channels)
    if channels > 1:
        with h5py.File(path, "a") as file:
            for key in ("train_encod_data", "valid_encod_data"):
                file[key][..., 1:] = 0.0
    finished = train_tiny("data.batch_size=auto", "data.passes=auto", "train.average=auto", data=path)
    assert finished.outcome == "epochs"
    with h5py.File(finished.run.outputs[0]) as file:
        assert np.isfinite(file["valid_output_params"][...]).all()


def _at(config, key):
    for part in key.split("."):
        config = getattr(config, part)
    return config
