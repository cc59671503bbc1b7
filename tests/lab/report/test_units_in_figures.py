"""Figures are read back: bins of 7 ms that begin 250 ms before the event, sessions of equal and of unequal size, held-out channels."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

import lfads_core as lf
from lfads_core.components.page import PictureBlock, SpaceBlock, TextBlock
from lfads_core.config.load import resolve
from lfads_core.infer.loading import load
from lfads_core.pipeline.run import start_run
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_core.train.progress import Display
from lfads_plugins_lab.report.behaviour import decoding
from lfads_plugins_lab.report.facts import gather
from lfads_plugins_lab.report.latents import factors as factor_section
from lfads_plugins_lab.report.latents import inputs as input_section
from lfads_plugins_lab.report.trials import truth as truth_section
from lfads_plugins_std import reports

WIDTH, FIRST, BINS = 0.007, -250.0, 45  # seconds, ms
TIMES = [-250 + 7 * k + 3.5 for k in range(BINS)]
SESSIONS = {"monday": (13, 9, 5), "tuesday": (12, 8, 7), "wednesday": (12, 8, 7)}  # training and validation trials, channels
CONDITIONS = ["left", "up", "right"]
LAG = 3  # bins by which behaviour comes after the rates
MOVE = 259.0  # ms from the first bin: 9 ms after the event, in bin 37
LABEL = "time from go cue (ms)"
BESIDE = 1.012  # share of a panel's width, where the bar of held-out channels is


def _write(folder: Path) -> list[Path]:
    rng, paths = np.random.default_rng(5), []
    for name, (train, valid, channels) in SESSIONS.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.attrs.update(bin_ms=7.0, first_bin_ms=FIRST, aligned_to="go_cue", condition_columns="target")
            file["channel_names"] = np.array([f"{name} {k}" for k in range(channels)], dtype=object)
            file["cond_names"] = np.array(CONDITIONS, dtype=object)
            file["behavior_dimensions"] = np.array(["hand x", "hand y"], dtype=object)
            file["behavior_dimension_units"] = np.array(["mm", "cm"], dtype=object)
            file["event_names"] = np.array(["go_cue", "move_on"], dtype=object)
            for split, trials in (("train", train), ("valid", valid)):
                file[f"{split}_encod_data"] = rng.poisson(0.7, (trials, BINS, channels)).astype("f4")
                file[f"{split}_truth"] = rng.gamma(2.0, 0.3, (trials, BINS, channels)).astype("f4")
                file[f"{split}_cond"] = np.arange(trials) % 3
                file[f"{split}_behavior"] = rng.normal(size=(trials, BINS, 2))
                file[f"{split}_go_cue_ms"], file[f"{split}_move_on_ms"] = np.full(trials, 250.0), np.full(trials, MOVE)
        paths.append(folder / f"{name}.h5")
    return paths


def _put_known_outputs(path: Path) -> None:
    """Rates, factors and inputs that nobody inferred, and behaviour that follows the rates."""
    rng = np.random.default_rng(len(path.name))
    with h5py.File(path, "r+") as file:
        names = file["channel_names"].asstr()[()]
        weights = rng.normal(size=(len(names), 2))
        for split in ("train", "valid"):
            trials = len(file[f"{split}_cond"])
            rates = np.cumsum(rng.normal(size=(trials, BINS, len(names))), axis=1)
            rates = 0.1 + np.exp(0.2 * (rates + file[f"{split}_cond"][()][:, None, None]))
            if split == "valid":
                np.savez(path.with_suffix(".npz"), per_second=file["valid_rates_hz"], per_bin=file["valid_output_params"])
            file[f"{split}_output_params"][...], file[f"{split}_rates_hz"][...] = rates, rates / WIDTH
            file[f"{split}_factors"][...] = rng.normal(size=file[f"{split}_factors"].shape) * np.array([3.0, 2.0, 1.0])
            inputs = rng.normal(size=file[f"{split}_co_means"].shape) * np.array([2.0, 1.0]) * 0.01
            inputs[:, 40] = 5.0  # 3 bins after that of the movement
            file[f"{split}_co_means"][...], file[f"{split}_co_stds"][...] = inputs, 0.25
            behaviour = rng.normal(size=(trials, BINS, 2))
            behaviour[:, LAG:] = rates[:, :-LAG] @ weights + 0.3 * rng.normal(size=(trials, BINS - LAG, 2))
            file[f"{split}_behavior"][...] = behaviour


@pytest.fixture(scope="module")
def run(made_once, tiny_settings) -> lf.TrainedRun:
    def make(folder: Path) -> None:
        registry = load_registry()
        config = resolve([], (), [*tiny_settings, "data.hold_out.fraction=0.4", "train.epochs=3", "infer.figure_format=svg"], registry)
        finished = start_run(folder / "run", _write(folder), config, registry, Display()).run
        for path in finished.outputs:
            _put_known_outputs(path)

    return lf.load(made_once("units_in_figures", make) / "run")


class Known:
    """A session's outputs, read with h5py alone, in their own order of channels; the validation trials."""

    def __init__(self, run: lf.TrainedRun, session: str) -> None:
        self.session = session
        with h5py.File(run.run.output(session)) as file:
            self.file = {key: item[()] for key, item in file.items()}
            self.names = [name.decode() for name in self.file["channel_names"]]
            self.seen = file["valid_encod_data"].shape[2]
        self.rates = self.file["valid_output_params"].astype(float)
        self.per_second = self.rates / WIDTH
        self.data = self.file["valid_recon_data"].astype(float)
        self.of = [np.flatnonzero(np.arange(len(self.rates)) % 3 == k) for k in range(3)]

    @cached_property
    def order(self) -> list[int]:
        """Channels by the time of their highest average rate; those that the model did not see last."""
        peak = [max(range(BINS), key=lambda t, n=n: self.rates[:, t, n].mean()) for n in range(len(self.names))]
        return [*sorted(range(self.seen), key=peak.__getitem__), *sorted(range(self.seen, len(self.names)), key=peak.__getitem__)]


@pytest.fixture(params=list(SESSIONS))
def known(run, request) -> Known:
    return Known(run, request.param)


def key_of(figure) -> dict:
    return {text.get_text(): line for legend in figure.legends for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)}


def lines_of(ax) -> list:
    return [line for line in ax.get_lines() if len(line.get_xdata()) == BINS]


def moments(ax) -> set:
    """Where upright lines stand."""
    ends = [tuple(line.get_xdata()) for line in ax.get_lines() if len(line.get_xdata()) == 2]
    return {left for left, right in ends if left == right != BESIDE}


def title(ax) -> str:
    return ax.get_title(loc="left")


def is_one_of(line, paths: np.ndarray) -> int:
    """Which of these paths a line is."""
    (found,) = np.flatnonzero([np.allclose(line.get_ydata(), path, rtol=1e-4) for path in paths])
    return int(found)


def drawn(section, loaded, what: str):
    """Figure of a section whose caption begins with these words."""
    (block,) = [block for block in section(loaded) if isinstance(block, PictureBlock) and block.caption.startswith(what)]
    return block.image()


@pytest.fixture(scope="module")
def loaded(run):
    of = load(run.path)
    gather(of)
    yield of
    gather.cache_clear()


def test_channels_stand_under_the_names_of_the_recording_and_the_held_out_ones_last(run, known):
    _, valid, channels = SESSIONS[known.session]
    assert (len(known.rates), BINS, len(known.names)) == (valid, 45, channels)
    assert known.names == [f"{known.session} {k}" for k in known.file["channel_order"]]
    assert known.seen == channels - int(0.4 * channels)
    assert sorted(known.file["channel_order"]) != list(known.file["channel_order"])


@pytest.mark.long
@pytest.mark.parametrize("door", ["python", "plots"])
def test_pictures_of_trials_have_units_order_and_events_of_their_session(run, known, door, tmp_path, monkeypatch):
    if door == "python":
        figure = run.of(known.session).plot.trials()
    else:
        kept = {}
        monkeypatch.setattr(reports, "save", lambda figure, path: kept.setdefault(path.name, figure) and path)
        reports.render_trials(Run(run.path), tmp_path)
        assert sorted(kept) == [f"trials_{name}.svg" for name in sorted(SESSIONS)]
        figure = kept[f"trials_{known.session}.svg"]
    shown = [0, 4, len(known.rates) - 1]
    *axes, bar = figure.axes
    assert bar.get_ylabel() == "rate (spikes/s)"
    assert [title(ax) for ax in axes] == [text for trial in shown for text in (f"recorded, trial {trial}", "inferred", "true")]
    for row, trial in enumerate(shown):
        recorded, inferred, true = axes[3 * row : 3 * row + 3]
        np.testing.assert_array_equal(recorded.images[0].get_array(), known.data[trial][:, known.order].T)
        np.testing.assert_allclose(inferred.images[0].get_array(), known.rates[trial][:, known.order].T / WIDTH, rtol=1e-5)
        np.testing.assert_allclose(true.images[0].get_array(), known.file["valid_truth"][trial][:, known.order].T / WIDTH, rtol=1e-5)
        for ax in (recorded, inferred, true):
            assert ax.images[0].get_extent() == [-250, 65, len(known.names), 0]
            assert moments(ax) == {0, 9}
            held = next(line for line in ax.get_lines() if line.get_xdata()[0] == BESIDE)
            assert list(held.get_ydata()) == [known.seen, len(known.names)]
    assert {ax.get_xlabel() for ax in axes[-3:]} == {LABEL}
    assert list(key_of(figure)) == ["go cue", "move on", "held-out channels"]


def test_condition_averages_are_of_the_right_trials_channels_and_width_of_smoothing(run, known):
    figure = run.of(known.session).plot.psth()
    model = np.stack([known.per_second[rows].mean(axis=0) for rows in known.of])  # (3, T, N)
    ones = gaussian_filter1d(np.ones(BINS), 50 / 7, mode="constant")
    smoothed = gaussian_filter1d(known.data, 50 / 7, axis=1, mode="constant") / ones[:, None] / WIDTH
    data = np.stack([smoothed[rows].mean(axis=0) for rows in known.of])
    shown = sorted(range(len(known.names)), key=lambda n: -model[:, :, n].std())[:6]
    panels = [ax for ax in figure.axes if ax.axison]
    held = {n: ", held out" if n >= known.seen else "" for n in shown}
    assert [title(ax) for ax in panels] == [f"Channel {known.names[n]}{held[n]}" for n in shown]
    key = key_of(figure)
    assert list(key) == ["data, smoothed by 50 ms", "model's rates", "go cue", "target left", "target up", "target right"]
    for ax, n in zip(panels, shown, strict=True):
        assert (ax.get_xlabel(), moments(ax)) == (LABEL, {0})
        assert len(lines_of(ax)) == 6
        for line in lines_of(ax):
            np.testing.assert_allclose(line.get_xdata(), TIMES)
            is_data = line.get_linestyle() == key["data, smoothed by 50 ms"].get_linestyle() != key["model's rates"].get_linestyle()
            k = is_one_of(line, (data if is_data else model)[:, :, n])
            assert line.get_color() == key[f"target {CONDITIONS[k]}"].get_color()
    assert {ax.get_ylabel() for ax in panels[::3]} == {"rate (spikes/s)"}


def test_factors_over_time_are_their_principal_components_by_condition(run, known):
    figure = run.of(known.session).plot.factors()
    _, *panels = figure.axes
    factors = known.file["valid_factors"].astype(float)
    scores = PCA(3).fit_transform(factors.reshape(-1, 3)).reshape(factors.shape)
    key = key_of(figure)
    for k, ax in enumerate(panels):
        thick = [line for line in lines_of(ax) if line.get_linewidth() == key["average of a condition"].get_linewidth()]
        assert len(lines_of(ax)) == 3 + len(factors)
        sign = np.sign(np.dot(thick[0].get_ydata(), scores[known.of[0], :, k].mean(axis=0)))
        for line, rows, name in zip(thick, known.of, CONDITIONS, strict=True):
            np.testing.assert_allclose(line.get_xdata(), TIMES)
            np.testing.assert_allclose(line.get_ydata(), sign * scores[rows, :, k].mean(axis=0), atol=1e-5)
            assert line.get_color() == key[f"target {name}"].get_color()
        assert moments(ax) == {0}
    assert (panels[1].get_ylabel(), panels[2].get_xlabel()) == ("arbitrary unit", LABEL)


def test_inputs_are_averages_of_conditions_beside_single_trials(run, known):
    figure = run.of(known.session).plot.inputs()
    means, key = known.file["valid_co_means"].astype(float), key_of(figure)
    for u in range(2):
        average, single = figure.axes[2 * u : 2 * u + 2]
        assert average.get_ylabel() == f"input {u}\n(arbitrary unit)"
        for line, rows, name in zip(lines_of(average), known.of, CONDITIONS, strict=True):
            np.testing.assert_allclose(line.get_xdata(), TIMES)
            np.testing.assert_allclose(line.get_ydata(), means[rows, :, u].mean(axis=0), rtol=1e-4)
            assert line.get_color() == key[f"target {name}"].get_color()
        for line, trial in zip(lines_of(single), (0, 4, len(means) - 1), strict=True):
            np.testing.assert_allclose(line.get_ydata(), means[trial, :, u], rtol=1e-4)
            assert line.get_color() == key[f"trial {trial}"].get_color()
        assert moments(average) == moments(single) == {0}
    assert {ax.get_xlabel() for ax in figure.axes[2:]} == {LABEL}


def test_true_rates_are_black_and_inferred_ones_blue_under_their_channels_names(run, loaded, known):
    figure = drawn(truth_section, loaded, f"Rates against the truth, {known.session}")
    truth, key = known.file["valid_truth"].astype(float), key_of(figure)
    scores = [r2_score(truth[..., n].ravel(), known.rates[..., n].ravel()) for n in range(len(known.names))]
    best, worst = int(np.argmax(scores)), int(np.argmin(scores))
    axes = [ax for ax in figure.axes if lines_of(ax)]
    for row, n in ((0, best), (3, worst)):
        name = f"Channel {known.names[n]}{', held out' if n >= known.seen else ''}"
        assert axes[3 * row].get_ylabel() == f"{name}\nrate (spikes/s)"
        for ax, trial in zip(axes[3 * row : 3 * row + 3], (0, 4, len(truth) - 1), strict=True):
            true, inferred = lines_of(ax)
            np.testing.assert_allclose(true.get_ydata(), truth[trial, :, n] / WIDTH, rtol=1e-5)
            np.testing.assert_allclose(inferred.get_ydata(), known.rates[trial, :, n] / WIDTH, rtol=1e-5)
            np.testing.assert_allclose(true.get_xdata(), TIMES)
            assert (true.get_color(), inferred.get_color()) == (key["true"].get_color(), key["inferred"].get_color())
    assert f"R² {np.mean(scores):.3f} (mean of channels)" in title(figure.axes[-1])


def test_decoded_behaviour_comes_after_the_rates_by_the_lag_that_is_named(run, loaded, known):
    blocks = [block for block in decoding(loaded) if isinstance(block, TextBlock | PictureBlock)]
    at = next(i for i, block in enumerate(blocks) if getattr(block, "caption", "") == f"Behaviour, recorded and decoded, {known.session}")
    assert "behaviour 21 ms after the rates, a lag chosen on training trials." in blocks[at - 1].text
    figure = blocks[at].image()
    train = known.file["train_output_params"][:, :-LAG].reshape(-1, len(known.names)).astype(float)
    target = known.file["train_behavior"][:, LAG:].reshape(-1, 2)
    fit = Ridge(alpha=1e-3).fit(train, target)  # so little noise that the penalty hardly matters
    rates, wanted = known.rates[:, :-LAG], known.file["valid_behavior"][:, LAG:]
    guess = fit.predict(rates.reshape(-1, len(known.names))).reshape(wanted.shape)
    shown = np.unique(np.linspace(0, len(rates) - 1, 6).round().astype(int))
    for k, (ax, name, unit) in enumerate(zip(figure.axes, ("hand x", "hand y"), ("mm", "cm"), strict=True)):
        score = r2_score(wanted[..., k].ravel(), guess[..., k].ravel())
        said = re.fullmatch(rf"{name}, R² (\S+) over all validation trials, 21 ms after the rates", title(ax))
        assert float(said[1]) == pytest.approx(score, abs=2e-3)
        assert score > 0.5
        recorded, decoded = ax.get_lines()
        assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [recorded.get_label(), decoded.get_label()]
        gaps = np.full((len(shown), 1), np.nan)
        np.testing.assert_allclose(recorded.get_ydata(), np.concatenate([wanted[shown, :, k], gaps], axis=1).ravel(), rtol=1e-5)
        np.testing.assert_allclose(decoded.get_ydata(), np.concatenate([guess[shown, :, k], gaps], axis=1).ravel(), atol=0.05)
        np.testing.assert_allclose(np.diff(recorded.get_xdata()[: BINS - LAG]), 7.0)
        assert ax.get_ylabel() == f"{name} ({unit})"


def test_inputs_around_an_event_count_time_from_it(loaded, known):
    captions = [f"Inputs around events, {name}" for name in SESSIONS]
    figures = {block.caption: block.image for block in input_section(loaded) if isinstance(block, PictureBlock)}
    assert set(captions) < set(figures)
    go, move = figures[f"Inputs around events, {known.session}"]().axes
    for ax, name, moment in ((go, "go cue", 35), (move, "move on", 37)):  # bins that the events are in
        assert (title(ax), ax.get_xlabel()) == (f"Size of inputs around {name}", f"time from {name} (ms)")
        x, y = ax.get_lines()[0].get_data()
        assert x[np.argmax(y)] == pytest.approx(7.0 * (40 - moment))
        assert y.max() == pytest.approx(5.0)


def test_trajectories_name_the_time_at_the_middle_of_each_bin(loaded):
    spaces = [block for block in factor_section(loaded) if isinstance(block, SpaceBlock)]
    assert [space.unit for space in spaces] == ["ms"] * 3
    for space, (_, valid, _) in zip(spaces, SESSIONS.values(), strict=True):
        np.testing.assert_allclose(space.times, TIMES)
        assert list(space.groups) == ["target left", "target up", "target right"]
        assert {path.trial: path.group for path in space.paths if path.trial is not None} == {trial: trial % 3 for trial in range(valid)}


def test_outputs_hold_rates_per_second_beside_those_per_bin(run, known):
    inferred = np.load(run.run.output(known.session).with_suffix(".npz"))
    np.testing.assert_allclose(inferred["per_second"], inferred["per_bin"] / WIDTH, rtol=1e-5)
    np.testing.assert_allclose(known.file["time_ms"], [time - 3.5 for time in TIMES])


def test_labelled_arrays_have_the_recordings_order_of_channels_and_its_units(run, known):
    found = run.of(known.session).results
    valid = found["rates"].where(found["split"] == "valid", drop=True)
    assert list(found["unit"].values) == [f"{known.session} {k}" for k in range(len(known.names))]
    for n, name in enumerate(known.names):
        np.testing.assert_allclose(valid.sel(unit=name).values, known.rates[:, :, n] / WIDTH, rtol=1e-5)
        assert bool(found["held_out"].sel(unit=name)) == (n >= known.seen)
    np.testing.assert_allclose(found["time"].values, TIMES)
    assert (found["rates"].attrs["units"], found["time"].attrs["units"]) == ("events/s", "ms")


def test_the_course_of_the_training_marks_the_epoch_of_the_best_checkpoint(run):
    figure = run.plot.training()
    costs = np.asarray(run.log["valid/recon_smooth"])
    best = 2 + int(np.argmin(costs[2:])) + 1  # the ramps take two epochs; the first epoch is 1
    assert f"best epoch ({best})" in key_of(figure)
    ax = next(ax for ax in figure.axes if title(ax) == "Reconstruction cost")
    train = ax.get_lines()[0]
    np.testing.assert_array_equal(train.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(train.get_ydata(), run.log["train/recon"])
    assert best in moments(ax)
    assert ax.get_ylabel() == "nats/value"
