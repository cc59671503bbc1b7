"""Figures: what is drawn from which numbers, in which units; saving; matplotlib missing."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from sklearn.decomposition import PCA

from lfads_core.errors import ConfigError, LfadsError
from lfads_plugins_std.alignment.align import Shared
from lfads_plugins_std.figures import (
    draw_alignment,
    draw_around,
    draw_averages,
    draw_curves,
    draw_decoding,
    draw_factors,
    draw_initial_conditions,
    draw_inputs,
    draw_trial,
    draw_trials,
    draw_truth,
    save,
)
from lfads_plugins_std.figures.channels import Channels
from lfads_plugins_std.figures.colours import PAPER, colours_of
from lfads_plugins_std.figures.conditions import Groups, all_together, groups_by
from lfads_plugins_std.figures.curves import MOST_PANELS
from lfads_plugins_std.figures.factors import MOST_TRIALS, principal_components
from lfads_plugins_std.figures.files import as_pdf, as_png, as_svg
from lfads_plugins_std.figures.trials import pictures_of
from lfads_plugins_std.figures.units import Scale, rate_scale, spread_out, time_axis


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def table():
    epochs = np.arange(40)
    measured = np.where(epochs % 5 == 0, epochs / 40, np.nan)
    return {
        "epoch": epochs + 10,
        "train/recon": 1 / (1 + epochs),
        "valid/recon": 1.1 / (1 + epochs),
        "valid/bps": measured,
        "valid/recon_smooth": 1.2 / (1 + epochs),
        "valid/behaviour_r2_0": measured,
        "lr": 4e-3 * 0.95**epochs,
        "kl_ramp": np.clip(epochs / 20, 0, 1),
        "l2_ramp": np.clip(epochs / 30, 0, 1),
        "valid/co_bps": np.full(40, np.nan),
        "seconds": epochs * 2.0,
    }


def _titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]


def _panel(figure, title):
    return next(ax for ax in figure.axes if ax.get_title(loc="left") == title)


def _key(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_curves_share_a_panel_per_quantity_and_leave_out_what_shows_nothing(table):
    assert _titles(draw_curves(table)) == [
        "Reconstruction cost",
        "Bits per spike, seen channels",
        "Learning rate",
        "Ramps",
        "R² of decoded behaviour, dimension 0",
    ]
    assert _titles(draw_curves(table, dimensions=["hand speed"]))[-1] == "R² of decoded hand speed"


def test_curves_are_the_columns_over_the_epochs_that_are_done(table):
    figure = draw_curves(table, best=32, cost="nats/trial")
    cost, bps = _panel(figure, "Reconstruction cost"), _panel(figure, "Bits per spike, seen channels")
    train, valid, smooth, best = cost.get_lines()
    np.testing.assert_array_equal(train.get_xdata(), table["epoch"] + 1)
    np.testing.assert_array_equal(train.get_ydata(), table["train/recon"])
    np.testing.assert_array_equal(valid.get_ydata(), table["valid/recon"])
    np.testing.assert_array_equal(smooth.get_ydata(), table["valid/recon_smooth"])
    assert list(best.get_xdata()) == [33, 33]
    assert _key(figure) == ["training", "validation", "validation, smoothed", "best epoch (33)"]
    named = dict(zip(_key(figure), figure.legends[0].get_lines(), strict=True))
    for label, line in zip(named, (train, valid, smooth, best), strict=True):
        assert (named[label].get_color(), named[label].get_linestyle()) == (line.get_color(), line.get_linestyle())
    assert (cost.get_xlabel(), cost.get_ylabel()) == ("epoch", "nats/trial")
    measured, _ = bps.get_lines()
    np.testing.assert_array_equal(measured.get_xdata(), [11, 16, 21, 26, 31, 36, 41, 46])
    assert bps.get_ylabel() == "bits/spike"
    ramps = _panel(figure, "Ramps")
    assert [text.get_text() for text in ramps.get_legend().get_texts()] == ["of the KL terms", "of the L2 terms"]
    np.testing.assert_array_equal(ramps.get_lines()[1].get_ydata(), table["l2_ramp"])


@pytest.mark.parametrize(
    ("rates", "numbers"),
    [
        ([4e-3], ["0.004"]),
        ([4e-3, 3.8e-3, 3.61e-3], ["0.0036", "0.0037", "0.0038", "0.0039", "0.004"]),
        ([4e-3, 2e-3, 9e-4], ["0.001", "0.002"]),
        ([5e-3, 1e-4], ["0.0001", "0.0003", "0.001", "0.003"]),
        ([1.0, 1e-8], ["1e-08", "1e-06", "0.0001", "0.01", "1"]),
    ],
)
def test_learning_rates_have_few_ticks_with_plain_numbers(rates, numbers):
    ax = _panel(draw_curves({"lr": np.array(rates)}), "Learning rate")
    low, high = ax.get_ylim()
    shown = [label for tick, label in zip(ax.get_yticks(), ax.yaxis.get_ticklabels(), strict=True) if low <= tick <= high]
    assert [label.get_text() for label in shown] == numbers
    assert all(float(label.get_text()) == pytest.approx(label.get_position()[1]) for label in shown)
    assert low < min(rates) <= max(rates) < high
    assert len(ax.yaxis.get_minorticklocs()) == 0


def test_the_fall_of_the_first_epochs_does_not_flatten_the_rest():
    cost = np.concatenate([[1000.0, 100.0], np.linspace(1.0, 0.9, 98)])
    low, high = _panel(draw_curves({"train/recon": cost}), "Reconstruction cost").get_ylim()
    assert 0.85 < low < 0.9
    assert 0.99 < high < 1.1


def test_one_bad_step_does_not_flatten_the_rest_and_is_named():
    cost = np.linspace(1.0, 0.9, 60)
    cost[40] = 3e4
    ax = _panel(draw_curves({"train/recon": cost, "valid/recon": np.linspace(1.1, 0.95, 60)}), "Reconstruction cost")
    low, high = ax.get_ylim()
    assert low < 0.9
    assert high < 1.2
    assert [text.get_text() for text in ax.texts] == ["beyond: up to 3e+04"]
    assert to_hex(ax.texts[0].get_bbox_patch().get_facecolor()) == PAPER  # what lies below is dimmed, and the page puts its own colour there


@pytest.mark.parametrize("table", [{}, {"epoch": np.arange(3)}, {"epoch": np.arange(1), "train/recon": np.array([0.5])}])
def test_curves_of_a_run_that_hardly_began_can_be_drawn_and_saved(table, tmp_path):
    assert save(draw_curves(table), tmp_path / "curves.png").exists()


def test_columns_beyond_the_most_are_counted():
    for more, words in {4: "4 more quantities stand", 1: "1 more quantity stands"}.items():
        figure = draw_curves({f"q{i}": np.arange(5.0) for i in range(MOST_PANELS + more)})
        assert len(_titles(figure)) == MOST_PANELS
        assert _key(figure) == [f"{words} in fitlog.csv"]


def test_what_was_0_throughout_has_no_panel_but_a_ramp_has():
    cost, none = np.linspace(1.0, 0.9, 40), np.zeros(40)
    figure = draw_curves({"valid/recon": cost, "train/input_kl": none, "valid/input_kl": none, "valid/bps": np.full(40, np.nan), "kl_ramp": none})
    assert _titles(figure) == ["Reconstruction cost", "Ramps"]


def test_ramps_are_drawn_from_0_to_their_full_weight():
    ramp = np.minimum(np.arange(200) / 10, 1.0)  # what is usual after the first tenth is 1 alone
    assert _panel(draw_curves({"kl_ramp": ramp, "l2_ramp": ramp}), "Ramps").get_ylim() == (-0.05, 1.05)


def _drawn(image):
    return np.ma.filled(image.get_array(), np.nan)


def test_trials_show_recording_rates_and_truth_in_one_order_and_unit(rng):
    rates = rng.gamma(2.0, 0.1, (7, 20, 5))
    data = rng.poisson(rates).astype(float)
    data[0, 3, 2] = np.nan
    kinds = {"recorded": data, "inferred": rates, "true": rates * 2}
    figure = draw_trials(pictures_of(kinds, 3, time_axis(20, 7.0, -49.0, "go_cue"), Scale(factor=1000 / 7, unit="rate (spikes/s)")))
    order = np.argsort(rates.mean(0).argmax(0), kind="stable")
    assert _titles(figure) == [f"{word}{trial}" for t in (0, 3, 6) for word, trial in (("recorded, trial ", t), ("inferred", ""), ("true", ""))]
    for row, trial in enumerate((0, 3, 6)):
        recorded, inferred, true = (_drawn(ax.images[0]) for ax in figure.axes[3 * row : 3 * row + 3])
        np.testing.assert_array_equal(recorded, data[trial][:, order].T)
        np.testing.assert_allclose(inferred, rates[trial][:, order].T / 0.007)
        np.testing.assert_allclose(true, rates[trial][:, order].T / 0.0035)
    assert figure.axes[0].images[0].get_extent() == [-49, 91, 5, 0]
    assert figure.axes[6].get_xlabel() == "time from go cue (ms)"
    assert figure.axes[-1].get_ylabel() == "rate (spikes/s)"
    assert _key(figure) == ["go cue", "not observed"]  # one value is NaN


def test_held_out_channels_stand_last_beside_a_bar_and_events_of_trials_have_lines(rng):
    rates = rng.gamma(2.0, 0.1, (7, 20, 5))
    events = {"go cue": np.zeros(7), "reward": np.linspace(20.0, 400.0, 7)}
    time = time_axis(20, 7.0, -49.0, "go_cue")
    figure = draw_trials(pictures_of({"recorded": rates, "inferred": rates}, 3, time, Scale(), seen=3, events=events))
    peaks = rates.mean(0).argmax(0)
    order = [*np.argsort(peaks[:3], kind="stable"), *(3 + np.argsort(peaks[3:], kind="stable"))]
    assert _key(figure) == ["go cue", "reward", "held-out channels"]
    line_of = dict(zip(_key(figure), figure.legends[0].get_lines(), strict=True))
    for row, (trial, reward) in enumerate(((0, 20.0), (3, 210.0), (6, 400.0))):
        for ax in figure.axes[2 * row : 2 * row + 2]:
            np.testing.assert_array_equal(_drawn(ax.images[0]), rates[trial][:, order].T)
            bar, go, *own = ax.get_lines()
            assert (list(bar.get_ydata()), bar.get_color()) == ([3, 5], line_of["held-out channels"].get_color())
            assert list(go.get_xdata()) == [0, 0]
            assert [list(line.get_xdata()) for line in own] == ([[reward, reward]] if reward < time.end else [])
            assert all((line.get_color(), line.get_linestyle()) == ("#d55e00", line_of["reward"].get_linestyle()) for line in own)


def test_means_that_are_no_rates_keep_their_unit(rng):
    values = rng.gamma(2.0, 1.0, (2, 10, 3))
    scale = rate_scale(10.0, is_rate=False, counts=False, unit="mV")
    figure = draw_trials(pictures_of({"recorded": values, "inferred": values}, 2, time_axis(10, 10.0), scale, counts=False))
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), values[0][:, np.argsort(values.mean(0).argmax(0), kind="stable")].T)
    assert figure.axes[-1].get_ylabel() == "mV"


def test_principal_components_are_those_of_scikit_learn(rng):
    factors = rng.normal(size=(6, 9, 5)) * np.array([3.0, 2.0, 1.5, 0.3, 0.1])
    scores, shares = principal_components(factors)
    pca = PCA(3).fit(factors.reshape(-1, 5))
    np.testing.assert_allclose(np.abs(scores.reshape(-1, 3)), np.abs(pca.transform(factors.reshape(-1, 5))), atol=1e-10)
    np.testing.assert_allclose(shares, pca.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(principal_components(-factors)[0], -scores, atol=1e-10)


@pytest.mark.parametrize("width", [1, 2])
def test_fewer_factors_than_components_leave_the_others_at_zero(rng, width):
    scores, shares = principal_components(rng.normal(size=(4, 6, width)))
    assert not scores[..., width:].any()
    assert shares.sum() == pytest.approx(1.0)
    assert principal_components(np.ones((4, 6, width)))[1].sum() == 0


def test_factors_are_drawn_in_space_and_over_time(rng):
    factors = rng.normal(size=(100, 12, 4))
    space, *panels = draw_factors(factors, time=time_axis(12, 20.0)).axes
    assert len(space.get_lines()) == MOST_TRIALS
    scores, shares = principal_components(factors)
    np.testing.assert_allclose(panels[1].get_lines()[0].get_ydata(), scores[0, :, 1])
    np.testing.assert_array_equal(panels[0].get_lines()[0].get_xdata(), np.arange(12) * 20 + 10.0)
    assert panels[0].get_title(loc="left") == f"component 1: {shares[0]:.0%} of the variance"
    assert (panels[1].get_ylabel(), panels[2].get_xlabel()) == ("arbitrary unit", "time in trial (ms)")


def test_conditions_get_a_colour_each_and_an_average(rng):
    index, _ = groups_by(np.repeat(np.arange(20), 4), 12)
    groups = Groups(index=index, labels=[f"target {k}" for k in range(12)])
    figure = draw_factors(rng.normal(size=(80, 12, 4)), groups)
    space, *_ = figure.axes
    assert _key(figure) == ["single trials", "average of a condition", *groups.labels]
    assert [line.get_color() for line in figure.legends[0].get_lines()[2:]] == groups.colours
    assert [line.get_color() for line in space.get_lines()[4::5]] == groups.colours
    assert len(space.get_lines()) == 12 * (4 + 1)


def test_the_average_of_a_condition_is_over_all_its_trials_and_those_without_one_are_left_out(rng):
    factors, index = rng.normal(size=(60, 12, 4)), np.repeat([0, 1, -1], 20)
    figure = draw_factors(factors, Groups(index=index, labels=["left", "right"]))
    _, panel, *_ = figure.axes
    assert len(panel.get_lines()) == 2 * (20 + 1)
    thick = [line for line in panel.get_lines() if line.get_linewidth() == 1.8]
    scores = principal_components(factors)[0]
    np.testing.assert_allclose(thick[1].get_ydata(), scores[20:40, :, 0].mean(0))
    assert _key(figure)[2:] == ["left", "right"]


def test_groups_are_spread_evenly_and_each_has_a_colour():
    index, kept = groups_by(np.repeat(np.arange(20), 2), 12)
    groups = Groups(index=index, labels=[str(value) for value in kept])
    assert (groups.labels[0], groups.labels[-1]) == ("0", "19")
    assert [len(rows) for rows in groups.rows] == [2] * 12
    assert (groups.index == -1).sum() == 40 - 24
    assert all(len({*colours_of(count)}) == count for count in (1, 8, 9, 12, 16, 40))


# fmt: off
BLIND = {  # Machado, Oliveira, Fernandes (2009), severity 1.0: what is seen of linear RGB
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
# fmt: on


def _lab(colours, seen):
    """CIE L*a*b* (D65) of what is seen of sRGB colours."""
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(seen).T, 0, 1)
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("kind", BLIND)
def test_colours_are_told_apart_by_colour_blind_readers(kind):
    few = _lab(colours_of(8), BLIND[kind])
    distance = np.linalg.norm(few[:, None] - few, axis=-1)[np.triu_indices(8, 1)]
    assert distance.min() > 9
    lightness = _lab(colours_of(16), BLIND[kind])[:, 0]
    assert (np.diff(lightness) > 1).all()
    assert np.ptp(lightness) > 50


def test_one_trial_has_its_pictures_and_its_inputs_side_by_side(rng):
    rates = rng.gamma(2.0, 0.1, (9, 20, 5))
    pictures = pictures_of({"Recorded": rates * 2, "Inferred": rates}, 3, time_axis(20, 10.0, -50.0, "go"), Scale(factor=100.0, unit="events/s"))
    recorded, inferred, beside, *_ = draw_trial(pictures, 1, {"input 0": rates[4, :, 0], "input 1": rates[4, :, 1]}, "Inferred inputs").axes
    order = np.argsort(rates.mean(0).argmax(0), kind="stable")
    np.testing.assert_allclose(recorded.images[0].get_array(), rates[4][:, order].T * 2)
    np.testing.assert_allclose(inferred.images[0].get_array(), rates[4][:, order].T * 100)
    np.testing.assert_allclose(beside.lines[1].get_xydata(), np.stack([np.arange(20) * 10 - 45, rates[4, :, 1]], axis=1))
    assert [ax.get_title(loc="left") for ax in (recorded, inferred, beside)] == ["Recorded, trial 4", "Inferred", "Inferred inputs"]
    assert {ax.get_xlabel() for ax in (recorded, inferred, beside)} == {"time from go (ms)"}
    assert recorded.images[0].get_extent() == [-50, 150, 5, 0]


def test_averages_of_data_are_dashed_beside_those_of_the_model(rng):
    data, model = rng.normal(size=(2, 6, 4)), rng.normal(size=(2, 6, 4))
    groups = Groups(index=np.array([0, 1]), labels=["left", "$right"])
    titles = ["Channel 1", "Channel $2", "Channel 3", "Channel 4, held out"]
    figure = draw_averages(data, model, groups, titles, time_axis(6, 10.0), "events/s", smoothing_ms=50.0)
    dashed, solid, *_ = figure.axes[1].lines
    np.testing.assert_allclose(dashed.get_ydata(), data[0, :, 1])
    np.testing.assert_allclose(solid.get_ydata(), model[0, :, 1])
    assert (dashed.is_dashed(), solid.is_dashed()) == (True, False)
    assert (dashed.get_color(), figure.axes[1].lines[2].get_color()) == tuple(groups.colours)
    assert (figure.axes[3].get_xlabel(), figure.axes[3].get_ylabel()) == ("time in trial (ms)", "events/s")
    assert _key(figure) == ["data, smoothed by 50 ms", "model's rates", "left", "$right"]
    named = figure.legends[0].get_lines()
    assert [line.get_linestyle() for line in named[:2]] == [dashed.get_linestyle(), solid.get_linestyle()] == ["--", "-"]
    assert [line.get_color() for line in named[2:]] == groups.colours
    assert "Channel $2" in as_svg(figure, "salt")


def test_initial_conditions_are_their_principal_components(rng):
    means = rng.normal(size=(10, 7))
    left, right = draw_initial_conditions(means, all_together(10)).axes
    scores, shares = principal_components(means[:, None])
    np.testing.assert_allclose(left.collections[0].get_offsets(), scores[:, 0, :2])
    np.testing.assert_allclose(right.collections[0].get_offsets(), scores[:, 0, ::2])
    assert right.get_ylabel() == f"component 3 ({shares[2]:.0%})"


def test_recorded_and_decoded_behaviour_have_a_gap_after_each_trial(rng):
    recorded, decoded = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 4, 2))
    figure = draw_decoding(recorded, decoded, ["hand x, R² 0.9", "hand y"], ["hand x (mm)", "hand y (mm)"], 20.0, "ms")
    _, line = figure.axes[1].lines
    gap = np.full((3, 1), np.nan)
    np.testing.assert_array_equal(line.get_ydata(), np.concatenate([decoded[:, :, 1], gap], axis=1).ravel())
    np.testing.assert_array_equal(line.get_xdata()[:6], [0, 20, 40, 60, 80, 200])
    assert (figure.axes[1].get_xlabel(), figure.axes[1].get_ylabel()) == ("3 trials side by side (ms)", "hand y (mm)")


def test_inputs_of_groups_are_their_averages_and_events_have_their_own_panel(rng):
    means, groups = rng.normal(size=(9, 15, 2)), Groups(index=np.repeat([0, 1, 2], 3), labels=["a", "b", "none"])
    average = draw_inputs(means, groups=Groups(index=np.repeat([0, 1, -1], 3), labels=groups.labels)).axes[2]
    assert len([line for line in average.get_lines() if len(line.get_xdata()) == 15]) == 2
    np.testing.assert_allclose(average.get_lines()[1].get_ydata(), means[3:6, :, 1].mean(0))
    (ax,) = draw_around({"go cue": (np.arange(-2.0, 3.0), np.ones(5))}, "ms").axes
    assert (ax.get_title(loc="left"), ax.get_xlabel()) == ("Size of inputs around go cue", "time from go cue (ms)")


@pytest.mark.long
def test_an_svg_has_words_as_text_and_is_the_same_each_time_but_for_ids_of_another_salt(rng):
    def drawn(salt):
        return as_svg(draw_inputs(np.arange(12.0).reshape(2, 3, 2)), salt)

    assert drawn("a") == drawn("a")
    assert set(re.findall(r'id="(p[0-9a-f]{10})"', drawn("a"))).isdisjoint(re.findall(r'id="(p[0-9a-f]{10})"', drawn("b")))
    assert ">input 1</text>" in drawn("a") or ">input 1<" in drawn("a")
    assert "<metadata" not in drawn("a")
    assert as_png(draw_inputs(rng.normal(size=(2, 3, 2)))).startswith(b"\x89PNG")


def test_inputs_show_spread_over_trials_and_posterior_width(rng):
    means = rng.normal(size=(9, 15, 2))
    figure = draw_inputs(means, np.full(means.shape, 0.5), time=time_axis(15, 10.0))
    average, single = figure.axes[2:4]
    np.testing.assert_allclose(average.get_lines()[0].get_ydata(), means[:, :, 1].mean(0))
    band = average.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx((means[:, :, 1].mean(0) + means[:, :, 1].std(0)).max())
    np.testing.assert_allclose(single.get_lines()[1].get_ydata(), means[4, :, 1])
    assert single.collections[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(means[0, :, 1].max() + 0.5)
    assert average.get_ylabel() == "input 1\n(arbitrary unit)"
    assert _key(figure) == ["trial 0", "trial 4", "trial 8"]
    assert [line.get_color() for line in figure.legends[0].get_lines()] == [line.get_color() for line in single.get_lines()[:3]]
    assert average.get_xlabel() == "time in trial (ms)"
    assert "posterior" not in draw_inputs(means).axes[1].get_title(loc="left")


def test_only_the_inputs_that_vary_most_are_drawn_in_their_order(rng):
    means = rng.normal(size=(5, 8, 8)) * np.array([1, 0.1, 1, 1, 0.1, 1, 1, 1])
    assert [ax.get_ylabel() for ax in draw_inputs(means).axes[::2]] == [f"input {u}\n(arbitrary unit)" for u in (0, 2, 3, 5, 6, 7)]


def test_truth_and_rates_are_drawn_together_with_their_r2(rng):
    truth = rng.gamma(2.0, 0.1, (5, 12, 3))
    rates = truth * np.array([1.0, 1.05, 0.8])
    named = Channels(names=["a", "b_2", "c"], seen=2)
    figure = draw_truth(rates, truth, scale=Scale(factor=100.0, unit="rate (spikes/s)"), channels=named)
    true, inferred = figure.axes[0].get_lines()
    np.testing.assert_allclose(true.get_ydata(), truth[0, :, 0] * 100)
    np.testing.assert_allclose(inferred.get_ydata(), rates[0, :, 0] * 100)
    assert [ax.get_ylabel() for ax in figure.axes[:9:3]] == [f"Channel {name}\nrate (spikes/s)" for name in ("a", "b_2", "c, held out")]
    assert _key(figure) == ["true", "inferred"]
    assert [line.get_color() for line in figure.legends[0].get_lines()] == [true.get_color(), inferred.get_color()]
    total = ((truth - truth.mean((0, 1))) ** 2).sum((0, 1))
    scores = 1 - ((rates - truth) ** 2).sum((0, 1)) / total
    assert f"R² {scores.mean():.3f} (mean of channels)" in figure.axes[-1].get_title(loc="left")
    for ax in figure.axes[:9]:
        low, high = ax.get_ylim()
        assert low == 0
        assert all(line.get_ydata().max() <= high for line in ax.get_lines())


def test_time_counts_from_the_event_and_the_lines_have_a_mark_where_it_is(rng):
    values = rng.gamma(2.0, 0.1, (4, 5, 3))
    time = time_axis(5, 20.0, -40.0, "go")
    trials = draw_trials(pictures_of({"recorded": values, "inferred": values}, 3, time, Scale()))
    truth, factors, inputs = draw_truth(values, values * 2, time=time), draw_factors(values, time=time), draw_inputs(values, time=time)
    shared = Shared(conditions=("left", "right", "up", "down"), components=values, variances=np.ones(3))
    aligned = draw_alignment(shared, values * 2, time, "monday")
    assert _titles(aligned) == [f"condition {name}" for name in ("left", "right", "up", "down")]
    assert _key(aligned) == ["shared components", "projection of monday", "go"]
    np.testing.assert_array_equal(aligned.axes[5].get_lines()[0].get_ydata(), values[1, :, 1])
    np.testing.assert_array_equal(aligned.axes[5].get_lines()[1].get_ydata(), values[1, :, 1] * 2)
    for figure in (trials, truth, factors, inputs):
        assert "go" in _key(figure)
    assert all(ax.images[0].get_extent() == [-40, 60, 3, 0] for ax in trials.axes[:-1])
    assert {ax.get_xlabel() for ax in trials.axes[:-1]} == {"", "time from go (ms)"}
    for axes in (truth.axes[:-1], factors.axes[1:], inputs.axes, aligned.axes):
        assert {ax.get_xlabel() for ax in axes} == {"", "time from go (ms)"}
        for ax in axes:
            lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 5]
            assert lines
            assert all(list(line.get_xdata()) == [-30, -10, 10, 30, 50] for line in lines)
            assert [0, 0] in [list(line.get_xdata()) for line in ax.get_lines()]
    assert all([0, 0] in [list(line.get_xdata()) for line in ax.get_lines()] for ax in trials.axes[:-1])
    late = draw_inputs(values, time=time_axis(5, 20.0, 100.0, None))
    assert late.axes[-1].get_xlabel() == "time from the start of the trial (ms)"
    assert [0, 0] not in [list(line.get_xdata()) for ax in late.axes for line in ax.get_lines()]


@pytest.mark.long
@pytest.mark.parametrize("bin_ms", [None, 5.0])
def test_one_trial_one_channel_one_factor_can_be_drawn_and_saved(bin_ms, tmp_path):
    one = np.full((1, 6, 1), 0.2)
    time = time_axis(6, bin_ms)
    figures = {
        "trials": draw_trials(pictures_of({"recorded": one, "inferred": one, "true": one}, 3, time, Scale(), seen=0)),
        "factors": draw_factors(one, time=time),
        "conditions": draw_factors(one, all_together(1, "3"), time=time),
        "inputs": draw_inputs(one, one, time=time),
        "none": draw_inputs(one[..., :0], time=time),
        "truth": draw_truth(one, one, time=time),
    }
    for name, figure in figures.items():
        assert save(figure, tmp_path / f"{name}.png").stat().st_size > 1000


def test_saving_makes_a_small_png_and_leaves_nothing_else(rng, tmp_path):
    rates = rng.gamma(2.0, 0.1, (5, 100, 80))
    figure = draw_trials(pictures_of({"recorded": rng.poisson(rates), "inferred": rates}, 3, time_axis(100, 10.0), Scale(factor=100.0)))
    path = save(figure, tmp_path / "deep" / "trials.png")
    assert [p.name for p in path.parent.iterdir()] == ["trials.png"]
    assert path.stat().st_size < 250_000
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500


@pytest.mark.long
def test_words_of_svg_and_pdf_are_words_and_the_same_figure_gives_the_same_file(rng, tmp_path):
    def figure():
        return draw_inputs(np.arange(24.0).reshape(2, 6, 2))

    svg, again = (save(figure(), tmp_path / name / "inputs.svg") for name in ("one", "two"))
    pdf, other = (save(figure(), tmp_path / name / "inputs.pdf") for name in ("one", "two"))
    assert svg.read_bytes() == again.read_bytes()
    assert pdf.read_bytes() == other.read_bytes()
    assert "time in trial (bins)</text>" in svg.read_text()
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert b"/FontFile2" in pdf.read_bytes()  # TrueType
    assert b"/Type3" not in pdf.read_bytes()
    assert as_pdf(figure()) == pdf.read_bytes()


def test_another_ending_is_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "curves.jpeg"
    with pytest.raises(ConfigError, match=re.escape(f"{path}: a figure's file must end in one of .png, .svg, .pdf, got '.jpeg'.")):
        save(draw_curves({}), path)
    assert list(tmp_path.iterdir()) == []


def test_a_drawing_that_fails_leaves_no_file(tmp_path):
    figure = draw_curves({"train/recon": np.arange(5.0)})
    figure.axes[0].text(0.5, 0.5, "$\\undefined$")
    with pytest.raises(ValueError, match="undefined"):
        save(figure, tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []


def test_units_follow_the_bin_width():
    np.testing.assert_array_equal(time_axis(3, 20.0).edges, [0, 20, 40, 60])
    np.testing.assert_array_equal(time_axis(3, 20.0).middles, [10, 30, 50])
    assert time_axis(3, 20.0).label == "time in trial (ms)"
    assert time_axis(3, None, -40.0, "go").label == "time in trial (bins)"
    np.testing.assert_array_equal(time_axis(3, None, -40.0, "go").edges, [0, 1, 2, 3])
    assert time_axis(3, 20.0, -20.0, "go_cue").label == "time from go cue (ms)"
    assert rate_scale(20.0, is_rate=True, counts=True) == Scale(factor=50.0, unit="rate (spikes/s)")
    assert rate_scale(None, is_rate=True, counts=True) == Scale(factor=1.0, unit="rate (spikes/bin)")
    assert rate_scale(8.0, is_rate=True, counts=False) == Scale(factor=125.0, unit="rate (events/s)")
    assert rate_scale(8.0, is_rate=False, counts=False) == Scale(factor=1.0, unit="unit of the data")
    assert list(spread_out(10, 3)) == [0, 4, 9]
    assert list(spread_out(2, 5)) == [0, 1]
    assert list(spread_out(0, 5)) == []


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text = 'plots: matplotlib must be installed, got none. Run: pip install "lfads-core[plot]"'
    with pytest.raises(LfadsError, match=re.escape(text)):
        draw_curves({})


def test_matplotlib_is_loaded_on_use_only_and_pyplot_never():
    code = (
        "import sys, numpy as np, lfads_plugins_std.figures as p\n"
        "assert not any(m.startswith('matplotlib') for m in sys.modules)\n"
        "p.draw_factors(np.random.default_rng(0).normal(size=(4, 5, 3)))\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
