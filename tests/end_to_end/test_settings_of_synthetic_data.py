"""Every setting of every generator of data, from the command line to the numbers in the file."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.ndimage import correlate1d

from lfads_core.cli.main import cli
from lfads_plugins_std.network_data import INSTALLED_WEIGHTS

SMALL = {
    "lorenz": {"conditions": 4, "trials_per_condition": 10, "bins": 20, "channels": 6, "burn_in": 2},
    "drifting-days": {"conditions": 4, "trials_per_condition": 10, "bins": 20, "channels": 6, "burn_in": 2},
    "chaotic-rnn": {"seconds": 0.3, "conditions": 3, "trials_per_condition": 4, "units": 12, "channels": 8, "components": 3},
    "labelled-rnns": {"seconds": 0.3, "conditions": 4, "trials_per_condition": 4, "units": 12, "channels": 8, "components": 3},
    "integration-to-bound": {"seconds": 0.3, "conditions": 4, "trials_per_condition": 4, "channels": 8, "components": 3},
    "calcium": {"conditions": 2, "trials_per_condition": 5, "frames": 6, "channels": 6, "warm_up_ms": 66},
    "emg": {"trials": 20, "bins": 20, "channels": 6},
}

LORENZ = ("lorenz", "drifting-days")


@pytest.fixture
def synth(tmp_path):
    """``synth("lorenz", bins=30)`` are arrays and attributes of a small file, other settings as given; a list of them for several sessions."""

    def read(path):
        with h5py.File(path) as file:
            return {key: value[()] for key, value in file.items()}, dict(file.attrs)

    def call(name, *options, **settings):
        given = SMALL[name] | settings
        words = [word for key, value in given.items() for word in ("--set", f"{key}={str(value).lower() if isinstance(value, bool) else value}")]
        place = tmp_path / "made"
        done = CliRunner().invoke(cli, ["synth", name, "-o", str(place), "--force", *options, *words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        files = sorted(place.glob("*.h5")) if place.is_dir() else [place]
        return [read(path) for path in files] if "sessions" in settings else read(files[0])

    return call


def whole(arrays, key="encod_data"):
    return np.concatenate([arrays[f"train_{key}"], arrays[f"valid_{key}"]])


BINS_AND_CHANNELS = {
    "lorenz": ("bins", 11, 11),
    "drifting-days": ("bins", 11, 11),
    "chaotic-rnn": ("seconds", 0.15, 15),
    "labelled-rnns": ("seconds", 0.15, 15),
    "integration-to-bound": ("seconds", 0.15, 15),
    "calcium": ("frames", 4, 12),
    "emg": ("bins", 11, 11),
}


@pytest.mark.parametrize("name", BINS_AND_CHANNELS)
def test_sizes_are_those_that_are_asked_for(synth, name):
    length, value, bins = BINS_AND_CHANNELS[name]
    arrays, _ = synth(name, **{length: value, "channels": 5})
    assert whole(arrays).shape[1:] == (bins, 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SMALL if name != "emg"])
def test_trials_of_conditions_are_split_as_is_asked_for(synth, name):
    arrays, _ = synth(name, conditions=3, trials_per_condition=6, train_share=0.5)
    assert np.bincount(arrays["train_cond"]).tolist() == [3, 3, 3]
    assert np.bincount(arrays["valid_cond"]).tolist() == [3, 3, 3]


def test_trials_of_envelopes_are_as_many_as_are_asked_for(synth):
    arrays, _ = synth("emg", trials=10, train_share=0.6)
    assert (len(arrays["train_encod_data"]), len(arrays["valid_encod_data"])) == (6, 4)


@pytest.mark.parametrize("name", ["lorenz", "chaotic-rnn", "labelled-rnns"])
def test_several_sessions_are_files_of_the_same_conditions_and_other_cells(synth, name):
    (first, _), (second, _) = synth(name, sessions=2)
    of = {which: {k: arrays["train_latents"][arrays["train_cond"] == k][0] for k in range(3)} for which, arrays in ((1, first), (2, second))}
    for k in range(3):
        np.testing.assert_allclose(of[1][k], of[2][k], atol=1e-5)
    assert not np.array_equal(np.sort(first["train_truth"].mean(axis=(0, 1))), np.sort(second["train_truth"].mean(axis=(0, 1))))


@pytest.mark.parametrize("name", LORENZ)
def test_rates_of_lorenz_data_have_the_mean_and_the_modulation_in_bins_of_the_width(synth, name):
    arrays, attrs = synth(name, bin_ms=40, mean_rate=50, modulation=0.3)
    truth = whole(arrays, "truth")
    assert attrs["bin_ms"] == 40
    np.testing.assert_allclose(truth.mean(axis=(0, 1)), 50 * 0.04, rtol=1e-4)
    np.testing.assert_allclose(np.log(truth).std(axis=(0, 1)), 0.3, rtol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", LORENZ)
def test_the_lorenz_system_has_the_speed_and_the_constants_that_are_asked_for(synth, name):
    plain, _ = synth(name)
    fast, _ = synth(name, speed=3, bin_ms=10)  # as far from bin to bin
    np.testing.assert_allclose(whole(fast, "latents"), whole(plain, "latents"), atol=1e-4)
    for key, value in (("speed", 3), ("sigma", 12), ("rho", 20), ("beta", 2), ("burn_in", 3)):
        other, _ = synth(name, **{key: value})
        assert np.abs(whole(other, "latents") - whole(plain, "latents")).max() > 0.1, key
    steps = [whole(synth(name, step=step)[0], "latents") for step in (0.02, 0.005, 0.0025)]
    away = [np.abs(steps[0] - steps[2]).max(), np.abs(steps[1] - steps[2]).max()]
    assert away[0] > 10 * away[1] > 0  # the error of the fourth order


def test_days_drift_as_is_asked_for(synth):
    still = {"channels": 60, "lost": 0, "gained": 0, "rescaled": 0, "permuted": 0}

    def days(**changed):
        found = [arrays for arrays, _ in synth("drifting-days", **still | {"sessions": 2} | changed)]
        truth = [np.array([whole(day, "truth")[whole(day, "cond") == k][0] for k in range(4)]) for day in found]
        return truth, [day["channel_neuron"] for day in found], found

    (before, after), (first, second), _ = days()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(before, after, rtol=1e-5)
    (_, after), _, _ = days(lost=0.25)
    assert (after == 0).all(axis=(0, 1)).sum() == 15
    _, (first, second), _ = days(gained=0.2)
    assert (first != second).sum() == 12
    (before, after), _, _ = days(rescaled=0.5)
    assert np.log(after / before)[0, 0].std() == pytest.approx(0.5, rel=0.25)
    _, (first, second), _ = days(permuted=0.5)
    assert 10 < (first != second).sum() <= 30
    assert sorted(first) == sorted(second)
    day = days(behaviour_noise=2, trials_per_condition=40)[2][0]
    behaviour, condition = whole(day, "behavior"), whole(day, "cond")
    left = np.concatenate([behaviour[condition == k] - behaviour[condition == k].mean(axis=0) for k in range(4)])
    assert left.std() == pytest.approx(2, rel=0.05)
    assert len(synth("drifting-days", sessions=3)) == 3


@pytest.mark.parametrize("name", ["chaotic-rnn", "labelled-rnns"])
def test_networks_have_the_units_rates_and_clock_that_are_asked_for(synth, name):
    arrays, attrs = synth(name, bin_ms=5, units=9, x0_std=100, max_rate=200, components=2, input_magnitude=7, pulses=True)
    assert attrs["bin_ms"] == 5
    assert whole(arrays).shape[1:] == (60, 8)
    assert arrays["channel_unit"].max() <= 8
    assert whole(arrays, "latents").shape[2] == 2
    assert whole(arrays, "truth").max() == pytest.approx(200 * 0.005, rel=1e-4)  # units begin saturated
    inputs, at = whole(arrays, "input_truth"), whole(arrays, "input_bin")
    np.testing.assert_array_equal(inputs[np.arange(len(at)), at, 0], 7)
    assert (synth(name)[0]["train_input_bin"] == -1).all()


@pytest.mark.parametrize("name", ["chaotic-rnn", "labelled-rnns"])
def test_networks_begin_and_go_on_as_their_constants_say(synth, name):
    still, _ = synth(name, x0_std=0)
    np.testing.assert_allclose(still["train_truth"], 0.15, rtol=1e-5)  # half of 30 spikes/s in 10 ms
    decays = {}
    for tau in (25, 100):
        arrays, _ = synth(name, g=0, x0_std=0.01, tau_ms=tau, max_rate=1e6)
        away = whole(arrays, "truth") - 5000
        decays[tau] = away[:, 5] / away[:, 4]
    np.testing.assert_allclose(decays[25], 1 - 10 / 25, rtol=0.01)
    np.testing.assert_allclose(decays[100], 1 - 10 / 100, rtol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chaotic-rnn", "labelled-rnns", "integration-to-bound"])
def test_values_are_counts_or_rates_with_noise_of_the_size_that_is_asked_for(synth, name):
    counts, _ = synth(name)
    assert (counts["train_encod_data"] == np.round(counts["train_encod_data"])).all()
    noisy, _ = synth(name, noise="gaussian", noise_std=0.5)
    assert (whole(noisy) - whole(noisy, "truth")).std() == pytest.approx(0.5, rel=0.1)
    plain, _ = synth(name, noise="gaussian")
    assert (whole(plain) - whole(plain, "truth")).std() == pytest.approx(np.sqrt(whole(plain, "truth").mean()), rel=0.2)


def test_trials_of_several_networks_say_which_they_are_of(synth):
    arrays, _ = synth("labelled-rnns", networks=3)
    np.testing.assert_array_equal(whole(arrays, "ext_input")[:, 0].argmax(axis=1), whole(arrays, "cond") % 3)


@pytest.mark.slow
def test_evidence_has_the_mean_and_the_spread_that_are_asked_for(synth, tmp_path):
    none, _ = synth("integration-to-bound", evidence=0, u_std=0, max_rate=60, components=2)
    assert (none["train_input_truth"] == 0).all()
    assert whole(none, "latents").shape[2] == 2
    steady, _ = synth("integration-to-bound", evidence=2, u_std=0, conditions=40)
    inputs = whole(steady, "input_truth")[..., 0]
    assert (inputs == inputs[:, :1]).all()
    assert 1.5 < np.abs(inputs).max() <= 2
    noisy, _ = synth("integration-to-bound", evidence=0, u_std=3, conditions=40)
    assert whole(noisy, "input_truth").std() == pytest.approx(3, rel=0.1)
    plain, _ = synth("integration-to-bound")
    np.testing.assert_allclose(whole(synth("integration-to-bound", max_rate=60)[0], "truth"), 2 * whole(plain, "truth"), rtol=1e-5)
    with np.load(INSTALLED_WEIGHTS) as weights:
        np.savez(tmp_path / "mine.npz", **{key: 0 * value for key, value in weights.items()})
    still, _ = synth("integration-to-bound", weights=tmp_path / "mine.npz")
    np.testing.assert_allclose(still["train_truth"], 0.15, rtol=1e-5)


@pytest.mark.slow
def test_calcium_is_imaged_with_the_frames_and_rates_that_are_asked_for(synth):
    arrays, attrs = synth("calcium", frame_ms=40, fine_bins=4, mean_rate=25, modulation=0)
    assert attrs["bin_ms"] == 10
    assert whole(arrays).shape[1] == 24
    assert np.isnan(arrays["train_encod_data"]).mean() == 0.75
    np.testing.assert_allclose(arrays["train_spike_rates"], 25 * 0.04, rtol=1e-5)
    frames, attrs = synth("calcium", grid="frames")
    assert attrs["bin_ms"] == 33
    assert not np.isnan(frames["train_encod_data"]).any()
    plain, slow = (synth("calcium", speed=speed)[0]["train_latents"] for speed in (6, 0.06))
    assert np.abs(np.diff(slow, axis=1)).max() < 0.2 < np.abs(np.diff(plain, axis=1)).max()
    varied = whole(synth("calcium", modulation=1.2, warm_up_ms=0)[0], "spike_rates")
    np.testing.assert_allclose(np.log(varied).std(axis=(0, 1)), 1.2, rtol=0.02)


@pytest.mark.slow
def test_events_of_calcium_follow_the_indicator(synth):
    """Without noise the kernel is the only thing between spikes and events; each constant moves them as it must."""
    clear = {"noise": 0, "smallest_event": 0, "rise_ms": 0, "half_saturation": "null", "cooperativity": 1, "fine_bins": 1, "frames": 20}
    exact = whole(synth("calcium", **clear)[0])
    spikes = exact / np.exp(-33 / (2 * 400))  # calcium is seen in the middle of a bin
    np.testing.assert_allclose(spikes, np.round(spikes), atol=1e-3)
    events = {}
    for key, value in (("noise", 0.5), ("smallest_event", 1.5), ("rise_ms", 60), ("half_saturation", 2), ("cooperativity", 2), ("decay_ms", 60)):
        events[key] = whole(synth("calcium", **clear | {key: value})[0])
        assert np.abs(events[key] - exact).max() > 0.05, key
    fired = events["smallest_event"][events["smallest_event"] > 0]
    assert fired.min() >= 1.5 - 1e-5
    assert events["half_saturation"].sum() < exact.sum()
    assert events["cooperativity"].sum() > exact.sum()


def test_envelopes_have_the_clock_the_synergies_and_the_noise_that_are_asked_for(synth):
    arrays, attrs = synth("emg", bin_ms=2, synergies=4, modulation=0, artefact_rate=0, shape=100, trials=60)
    assert attrs["bin_ms"] == 2
    assert whole(arrays, "latents").shape[2] == 4
    np.testing.assert_allclose(arrays["train_truth"], 1, rtol=1e-5)
    assert whole(arrays).std() == pytest.approx(0.1, rel=0.1)  # 1/sqrt(shape)
    log = np.log(whole(synth("emg", modulation=0.5, trials=400, timescale_ms=10)[0], "truth"))
    assert log.std() == pytest.approx(0.5, rel=0.15)
    smooth, rough = (whole(synth("emg", timescale_ms=ms, trials=200)[0], "latents") for ms in (50, 10))
    for values, width in ((smooth, 10), (rough, 2)):  # a Gaussian kernel's neighbours correlate by exp(-1 / (4 width^2))
        assert (correlate1d(values, [0, 0, 1], axis=1) * values)[:, :-1].mean() == pytest.approx(np.exp(-1 / (4 * width**2)), abs=0.05)


def test_artefacts_come_as_often_as_large_and_as_wide_as_is_asked_for(synth):
    added = whole(synth("emg", artefact_rate=40, artefact_size=9, artefact_channels=0.5, trials=200)[0], "artefacts")
    struck = (added > 0).any(axis=2)
    assert struck.mean() == pytest.approx(0.2, rel=0.1)
    assert (added[struck] > 0).mean() == pytest.approx(0.5, rel=0.1)
    assert added[added > 0].mean() == pytest.approx(9, rel=0.1)


def test_the_command_names_the_file_and_draws_by_the_seed(synth, tmp_path, monkeypatch):
    values = [synth("emg", "--seed", str(seed))[0]["train_encod_data"] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])
    monkeypatch.chdir(tmp_path)
    again = ["synth", "emg", "-o", "made", "--set", "trials=10", "--set", "bins=8"]
    refused = CliRunner().invoke(cli, again)
    assert refused.exit_code == 2
    assert "--force" in refused.output
    assert CliRunner().invoke(cli, [*again, "--force"]).exit_code == 0
    with h5py.File("made") as file:
        assert file["train_encod_data"].shape[1] == 8
