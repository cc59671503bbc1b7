"""Chaotic networks, labelled networks, the network that integrates to a bound: activity against slow loops and scipy, and the layout."""

from __future__ import annotations

import re

import attrs
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import chi2

from lfads_core.data.layout import session_from_arrays
from lfads_core.errors import DataError
from lfads_plugins_std.bound_settings import BoundConfig
from lfads_plugins_std.bound_training import evidence_sum as evidence_sum_torch
from lfads_plugins_std.bound_training import reported, train
from lfads_plugins_std.network_data import (
    INSTALLED_WEIGHTS,
    evidence_sum,
    generate_bound,
    generate_chaotic,
    generate_labelled,
    principal_components,
    read_weights,
)
from lfads_plugins_std.network_settings import ChaoticConfig, LabelledConfig
from lfads_plugins_std.rate_network import Network, random_network, run_network

SMALL = ChaoticConfig(conditions=6, trials_per_condition=10, seconds=0.4, units=30, channels=12, components=5)


def rng(seed=0):
    return np.random.default_rng(seed)


def split_is_sound(data, settings, bins, channels):
    per = settings.conditions * settings.trials_per_condition
    train = settings.conditions * round(settings.train_share * settings.trials_per_condition)
    for name, rows in (("train", train), ("valid", per - train)):
        for key in ("encod_data", "recon_data", "truth"):
            assert data[f"{name}_{key}"].shape == (rows, bins, channels)
        np.testing.assert_array_equal(np.bincount(data[f"{name}_cond"]), rows // settings.conditions)
    assert sorted([*data["train_inds"], *data["valid_inds"]]) == list(range(per))
    session_from_arrays("x", {k: v for k, v in data.items() if isinstance(v, np.ndarray)})  # the reader takes it


def test_a_fine_step_follows_scipys_solution_of_the_equation():
    network = random_network(8, 1.5, 0.001, rng())
    start = rng(1).normal(size=(1, 8))
    got = run_network(network, start, np.full((1, 4000, 1), 0.3))[0, -1]

    def flow(_, x):
        return -x + network.recurrent @ np.tanh(x) + network.into[:, 0] * 0.3

    exact = solve_ivp(flow, (0, 4.0), start[0], rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(got, np.tanh(exact), atol=5e-3)


def test_steps_are_those_of_a_slow_loop():
    network = Network(recurrent=rng(0).normal(size=(3, 3)), into=rng(1).normal(size=(3, 2)), bias=np.array([0.1, -0.2, 0.3]), pace=0.4)
    start, inputs = rng(2).normal(size=(1, 3)), rng(3).normal(size=(1, 5, 2))
    x, expected = start[0].copy(), []
    for t in range(5):
        r = np.tanh(x)
        new = x.copy()
        for i in range(3):
            drive = (
                sum(network.recurrent[i, j] * r[j] for j in range(3)) + sum(network.into[i, k] * inputs[0, t, k] for k in range(2)) + network.bias[i]
            )
            new[i] = x[i] + 0.4 * (drive - x[i])
        x = new
        expected.append(np.tanh(x))
    np.testing.assert_allclose(run_network(network, start, inputs)[0], expected, atol=1e-12)


def test_recurrent_weights_have_the_variance_that_makes_g_the_edge_of_chaos():
    weights = random_network(400, 1.7, 0.4, rng()).recurrent
    assert weights.std() * np.sqrt(400) == pytest.approx(1.7, rel=6 / np.sqrt(2 * weights.size))
    assert np.abs(np.linalg.eigvals(weights)).max() == pytest.approx(1.7, rel=0.1)  # the circular law


@pytest.mark.parametrize(("g", "grows"), [(0.5, False), (2.5, True)])
def test_neighbouring_states_part_when_g_is_large_and_meet_when_it_is_small(g, grows):
    network = random_network(200, g, 0.1, rng(3))
    start = np.repeat(rng(4).normal(size=(1, 200)), 2, axis=0)
    start[1] += 1e-6 * rng(5).normal(size=200)
    activity = run_network(network, start, np.zeros((2, 600, 1)))
    distance = np.linalg.norm(activity[0] - activity[1], axis=1)
    assert (distance[-1] > 100 * distance[0]) if grows else (distance[-1] < 0.01 * distance[0])


def test_the_layout_holds_every_key_with_matching_rows():
    data = generate_chaotic(SMALL, rng())
    split_is_sound(data, SMALL, 40, 12)
    assert data["valid_latents"].shape == (12, 40, 5)
    assert data["train_input_truth"].shape == (48, 40, 1)
    assert not data["train_input_truth"].any()
    assert (data["train_input_bin"] == -1).all()
    assert len(set(data["channel_unit"])) == 12
    assert data["bin_ms"] == 10.0
    assert 0 <= data["train_truth"].min() <= data["train_truth"].max() <= 0.3  # 30 spikes/s in 10 ms


def test_trials_of_a_condition_share_everything_but_the_noise():
    data = generate_chaotic(attrs.evolve(SMALL, pulses=True), rng())
    for k in range(6):
        for key in ("truth", "latents", "input_truth", "input_bin"):
            trials = np.concatenate([data[f"{name}_{key}"][data[f"{name}_cond"] == k] for name in ("train", "valid")])
            np.testing.assert_array_equal(trials, np.broadcast_to(trials[:1], trials.shape))


def test_counts_are_poisson_draws_of_the_truth():
    data = generate_chaotic(attrs.evolve(SMALL, trials_per_condition=100, max_rate=200.0), rng())
    counts, truth = data["train_recon_data"].astype(float), data["train_truth"].astype(float)
    pearson = ((counts - truth) ** 2 / truth)[truth > 0.2]
    low, high = chi2.ppf([1e-6, 1 - 1e-6], pearson.size)
    assert 0.98 * low < pearson.sum() < 1.02 * high
    assert abs(counts.sum() - truth.sum()) < 6 * np.sqrt(truth.sum())


@pytest.mark.parametrize("given", [None, 0.07])
def test_gaussian_noise_has_the_standard_deviation_asked_for(given):
    data = generate_chaotic(attrs.evolve(SMALL, noise="gaussian", noise_std=given, trials_per_condition=50), rng())
    noise = data["train_recon_data"].astype(float) - data["train_truth"]
    truth = np.concatenate([data["train_truth"][data["train_cond"] == k][:1] for k in range(6)])
    expected = given or np.sqrt(truth.mean(dtype=float))
    assert noise.std() == pytest.approx(expected, rel=6 / np.sqrt(2 * noise.size))
    assert abs(noise.mean()) < 6 * expected / np.sqrt(noise.size)


def test_pulses_stand_where_their_times_say_and_move_the_network_from_there_on():
    settings = attrs.evolve(SMALL, conditions=40, pulses=True, input_magnitude=7.0)
    pushed, free = generate_chaotic(settings, rng()), generate_chaotic(attrs.evolve(settings, input_magnitude=0.0), rng())
    at = pushed["train_input_bin"]
    assert ((at >= 10) & (at < 30)).all()
    assert len(set(at)) > 5
    np.testing.assert_array_equal(pushed["train_input_truth"].argmax(axis=1)[:, 0], at)
    np.testing.assert_array_equal(pushed["train_input_truth"].sum(axis=(1, 2)), 7.0)
    differs = (pushed["train_truth"] != free["train_truth"]).any(axis=2)
    np.testing.assert_array_equal(differs.argmax(axis=1), at)  # the same start: equal until the pulse


def test_latents_are_the_leading_components_of_the_activity():
    activity = rng().normal(size=(5, 20, 4)) * (4.0, 3.0, 2.0, 1.0)
    got = principal_components(activity, 2).reshape(-1, 2)
    np.testing.assert_allclose(got.T @ got / 100, np.eye(2), atol=1e-12)
    rows = activity.reshape(-1, 4) - activity.reshape(-1, 4).mean(axis=0)
    _values, vectors = np.linalg.eigh(rows.T @ rows)
    for k in range(2):
        projected = rows @ vectors[:, -1 - k]
        assert abs(np.corrcoef(projected, got[:, k])[0, 1]) == pytest.approx(1, abs=1e-9)


def test_sessions_see_other_units_of_one_network_and_come_aligned():
    several = generate_chaotic(attrs.evolve(SMALL, sessions=3, components=4), rng())
    assert list(several) == ["session1", "session2", "session3"]

    def of_condition(arrays, key):
        return np.stack([arrays[f"train_{key}"][arrays["train_cond"] == k][0] for k in range(6)])

    first = several["session1"]
    for name, other in several.items():
        np.testing.assert_array_equal(of_condition(first, "latents"), of_condition(other, "latents"))
        assert other["readin_weight"].shape == (12, 4)
        assert other["readout_bias"].shape == (12,)
        if name != "session1":
            assert first["channel_unit"].tolist() != other["channel_unit"].tolist()
    shared = set(several["session1"]["channel_unit"]) & set(several["session2"]["channel_unit"])
    assert shared  # 12 of 30 twice: a unit seen by both has the same truth in both
    unit = min(shared)
    one, two = (of_condition(s, "truth")[:, :, s["channel_unit"].tolist().index(unit)] for s in (several["session1"], several["session2"]))
    np.testing.assert_array_equal(one, two)


def test_labels_say_which_network_is_seen_in_every_bin():
    settings = LabelledConfig(**attrs.asdict(SMALL), networks=3)
    data = generate_labelled(settings, rng())
    split_is_sound(data, SMALL, 40, 12)
    np.testing.assert_array_equal(data["train_ext_input"].argmax(axis=2), np.repeat(data["train_network"][:, None], 40, axis=1))
    np.testing.assert_array_equal(data["train_ext_input"].sum(axis=2), 1)
    np.testing.assert_array_equal(data["train_network"], data["train_cond"] % 3)
    again = generate_labelled(attrs.evolve(settings, g=0.0, x0_std=0.0), rng())
    np.testing.assert_allclose(again["train_truth"], 0.15, rtol=1e-6)  # nothing moves: half of 30 spikes/s in 10 ms


def test_labelled_networks_are_different_networks():
    """From the same state, a network answers a pulse in the same way whenever it comes; another answers in another way."""
    settings = LabelledConfig(**attrs.asdict(attrs.evolve(SMALL, conditions=4, pulses=True, x0_std=0.0)), networks=2)
    data = generate_labelled(settings, rng())

    def answer(condition):
        first = np.flatnonzero(data["train_cond"] == condition)[0]
        return data["train_truth"][first][data["train_input_bin"][first] :]

    def apart(one, two):
        bins = min(len(answer(one)), len(answer(two)))
        assert bins > 5
        return np.abs(answer(one)[:bins] - answer(two)[:bins]).max()

    assert apart(0, 2) < 1e-6  # of the same label
    assert apart(1, 3) < 1e-6
    assert apart(0, 1) > 0.01


def test_the_sum_of_evidence_stays_at_the_bound_once_it_is_there():
    evidence = np.array([[1.0] * 45 + [-5.0] * 5, [0.1] * 50])
    sums = evidence_sum(evidence)
    assert np.flatnonzero(sums[0] >= 1)[0] == 39  # 40 bins of 10 ms are 0.4 s
    assert (sums[0, 39:] == 1).all()
    np.testing.assert_allclose(sums[1], 0.1 * 0.01 / 0.4 * np.arange(1, 51))


def test_training_and_data_agree_on_the_task():
    evidence = rng().normal(size=(20, 60)) * 3
    np.testing.assert_allclose(evidence_sum_torch(torch.tensor(evidence)).numpy(), evidence_sum(evidence), atol=1e-12)


def test_installed_weights_are_small_and_solve_the_task():
    assert INSTALLED_WEIGHTS.stat().st_size < 200_000
    data = generate_bound(BoundConfig(conditions=200, trials_per_condition=2, train_share=0.5), rng(1))
    evidence, report = data["train_input_truth"][..., 0].astype(float), data["train_report"][..., 0].astype(float)
    target = evidence_sum(evidence)
    assert 1 - ((report - target) ** 2).sum() / ((target - target.mean()) ** 2).sum() > 0.95
    hit = data["train_bound_bin"] >= 0
    assert 0.1 < hit.mean() < 0.9
    for trial in np.flatnonzero(hit)[:50]:
        at = data["train_bound_bin"][trial]
        assert abs(target[trial, at]) == 1
        assert abs(target[trial, at - 1]) < 1
    network, out = read_weights(INSTALLED_WEIGHTS)
    pulse = np.concatenate([np.full((2, 50), [[1.0], [-1.0]]), np.zeros((2, 50))], axis=1)
    held = run_network(network, np.zeros((2, network.units)), pulse[..., None]) @ out
    np.testing.assert_allclose(held[:, -1], [1, -1], atol=0.2)  # it remembers where it came to


def test_the_data_of_the_bound_hold_every_key():
    settings = BoundConfig(conditions=8, trials_per_condition=5, channels=20, seconds=0.5)
    data = generate_bound(settings, rng())
    split_is_sound(data, settings, 50, 20)
    assert data["train_latents"].shape == (32, 50, 10)
    still = generate_bound(attrs.evolve(settings, evidence=0.0, u_std=0.0), rng())
    assert (still["train_bound_bin"] == -1).all()
    assert not still["train_input_truth"].any()


def test_training_lowers_the_error_and_is_the_same_for_the_same_seed():
    weights, losses = train(units=12, steps=40, trials=16, bins=40, seed=1)
    again, _ = train(units=12, steps=40, trials=16, bins=40, seed=1)
    assert np.mean(losses[-10:]) < 0.7 * losses[0]
    for name, value in weights.items():
        torch.testing.assert_close(value, again[name], rtol=0, atol=0)
    evidence = rng().normal(size=(3, 30)).astype(np.float32)
    network = Network(**{key: weights[key].numpy().astype(float) for key in ("recurrent", "into", "bias")}, pace=0.4)
    by_numpy = run_network(network, np.zeros((3, 12)), evidence[..., None].astype(float)) @ weights["out"].numpy()
    np.testing.assert_allclose(reported(weights, torch.tensor(evidence)).numpy(), by_numpy, atol=1e-5)


def test_weights_that_are_none_and_channels_that_are_not_there_are_refused(tmp_path):
    (tmp_path / "w.npz").write_bytes(b"no")
    with pytest.raises(DataError, match=r"w\.npz: must be weights that `python -m .*bound_training w\.npz` wrote, but reading says: "):
        generate_bound(BoundConfig(weights=tmp_path / "w.npz"), rng())
    text = "channels: must be at most the 50 units of the trained network, got 51. Record fewer."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        generate_bound(BoundConfig(channels=51), rng())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"channels": 31}, "channels: must be at most the 30 units, got 31"),
        ({"bin_ms": 30.0}, "bin_ms: must not be longer than tau_ms, or the network's steps overshoot, got 30 and 25"),
        ({"seconds": 0.005}, "seconds: must hold at least one bin of 10 ms, got 0.005"),
        ({"train_share": 0.01}, "train_share: must leave trials of each condition for both splits, got 0 of 10 for training"),
    ],
)
def test_settings_that_make_no_data_are_refused(changes, text):
    assert SMALL.rules() == []
    assert attrs.evolve(SMALL, **changes).rules() == [text]


@pytest.mark.parametrize(
    ("generate", "settings"),
    [(generate_chaotic, SMALL), (generate_labelled, LabelledConfig(**attrs.asdict(SMALL))), (generate_bound, BoundConfig(conditions=4))],
)
def test_the_same_seed_gives_the_same_data_and_another_seed_does_not(generate, settings):
    one, same, other = (generate(settings, rng(seed)) for seed in (4, 4, 5))
    for key, value in one.items():
        np.testing.assert_array_equal(value, same[key])
    assert not np.array_equal(one["train_truth"], other["train_truth"])
