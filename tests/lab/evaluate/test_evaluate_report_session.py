"""What is found out of one session: scores of the model and of baselines by split, single channels, which split is judged, what few trials say."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import sklearn.metrics

from lfads_core.components.evaluation import Evaluation
from lfads_core.data.session import Session, Split
from lfads_core.infer.loading import LoadedRun
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_plugins_lab.evaluate import run as run_module
from lfads_plugins_lab.evaluate.baselines import Baseline
from lfads_plugins_lab.evaluate.costs import Costs
from lfads_plugins_lab.evaluate.few_shot import FewShot
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.evaluate.run import evaluate_run, likelihood_gains

SIZES = {"train": 12, "valid": 9, "test": 7}
BINS, CHANNELS, ENCOD_BINS, ENCOD_CHANNELS = 8, 5, 6, 3


def recorded(*, splits=("train", "valid", "test"), support="counts", is_rate=True, arrays=None, seed=0, **extras):
    """A session of 5 channels and 8 bins, of which the encoders see 3 and 6; further arrays by functions of (rng, trials)."""
    rng, found = np.random.default_rng(seed), {}
    for name in splits:
        rates = rng.gamma(2.0, 0.5, (SIZES[name], BINS, CHANNELS))
        recon = rng.poisson(rates).astype(float)
        riding = {key: make(rng, SIZES[name]) for key, make in extras.items()}
        found[name] = Split(
            encod=recon[:, :ENCOD_BINS, :ENCOD_CHANNELS],
            recon=recon,
            external=np.zeros((SIZES[name], BINS, 0)),
            extras={"output_params": rates, **riding},
        )
    session = Session(name="mon", path=None, splits=found, attributes={"bin_ms": 25.0}, arrays=arrays or {})
    return Recorded(session=session, support=support, is_rate=is_rate)


@pytest.fixture
def report(monkeypatch, tmp_path):
    """``report(recorded, by_split=..., baselines=...)`` is the session's report, with made-up costs; what was asked for is in ``report.asked``."""
    asked = {"costs": [], "baselines": [], "few_shot": []}

    def costs_of(loaded, one, split):
        asked["costs"].append((loaded, one, split))
        gain = {"train": 0.5, "valid": 0.25, "test": 0.125}[split]
        return Costs(all=1.0, seen=1.0, hidden=None, heldout=None, null_seen=1.0 + gain, null_heldout=None, null_all=1.0 + gain)

    def few_shot(one, trials, rng, split):
        asked["few_shot"].append((one, trials, rng.integers(1 << 30), split))
        return FewShot(trials=trials)

    def made(one, *baselines, **how):
        monkeypatch.setattr(run_module, "recorded_sessions", lambda *_: [one])
        monkeypatch.setattr(run_module, "costs_of", costs_of)
        monkeypatch.setattr(run_module, "few_shot", few_shot)
        monkeypatch.setattr(run_module, "baselines", lambda e: asked["baselines"].append(e.split) or [make(e) for make in baselines])
        config = SimpleNamespace(train=SimpleNamespace(seed=11))
        loaded = Mock(spec=LoadedRun, run=Run(tmp_path), checkpoint="best", config=config, registry=load_registry())
        made.loaded = loaded
        return evaluate_run(loaded, ["mon"], **how).sessions[0]

    made.asked = asked
    return made


def bits(rates, counts):
    """Bits per spike over the mean counts of each channel, value by value."""
    gain = 0.0
    for n in range(counts.shape[2]):
        mean = counts[..., n].mean()
        for rate, count in zip(rates[..., n].ravel(), counts[..., n].ravel(), strict=True):
            gain += (count * np.log(rate) - rate) - (count * np.log(mean) - mean)
    return gain / counts.sum() / np.log(2)


def test_scores_are_of_each_split_and_baselines_predict_all_but_the_training_trials(report):
    one = recorded()

    def good(e):
        return Baseline(name="Gaussian smoothing", means=e.means + 0.5, train_means=e.train.means, chosen={"width_bins": 2.0})

    def none(e):
        return Baseline(name="condition average", why_not=f"no conditions in {e.split}")

    found = report(one, none, good)
    assert list(found.scores) == ["train", "valid", "test"]
    assert report.asked["baselines"] == ["valid", "test"]
    assert [list(by) for by in found.scores.values()] == [["LFADS"], ["LFADS", "Gaussian smoothing"], ["LFADS", "Gaussian smoothing"]]
    for split, by in found.scores.items():
        means, counts = one.session.splits[split].extras["output_params"], one.session.splits[split].recon
        for who, more in (("LFADS", 0.0), ("Gaussian smoothing", 0.5)):
            if who in by:
                seen = np.s_[:, :ENCOD_BINS, :ENCOD_CHANNELS]
                assert by[who]["bps"] == pytest.approx(bits(means[seen] + more, counts[seen]))
                assert by[who]["fp_bps"] == pytest.approx(bits(means[:, ENCOD_BINS:] + more, counts[:, ENCOD_BINS:]))
        assert found.per_channel[split]["bps"] == pytest.approx(
            [bits(means[:, :ENCOD_BINS, [n]], counts[:, :ENCOD_BINS, [n]]) for n in range(CHANNELS)]
        )
        assert found.per_channel[split].keys() == {"bps"}
    assert found.baselines == {"Gaussian smoothing": {"width_bins": 2.0}}
    assert found.lacking["condition average"] == "no conditions in test"
    assert found.lacking["r2_truth"] == "the file has no true rates"
    assert not found.lacking.keys() & {"bps", "co_bps", "fp_bps", "Gaussian smoothing"}
    assert report.asked["costs"] == [(report.loaded, one, split) for split in ("train", "valid", "test")]
    assert {split: costs.gain for split, costs in found.costs.items()} == {"train": 0.5, "valid": 0.25, "test": 0.125}
    assert (found.name, found.few_shot, found.dimensions) == ("mon", None, [])


@pytest.mark.parametrize(("splits", "judged"), [(("train", "valid", "test"), "valid"), (("train", "test"), "test"), (("train",), "train")])
def test_validation_trials_are_judged_and_without_any_the_last_split(splits, judged, report):
    def smoothing(e):
        data = e.data if e.split == judged else 0 * e.data
        return Baseline(name="Gaussian smoothing", means=data + 0.01, train_means=e.train.data)

    def halves(_, trials):
        return np.arange(trials) % 2

    found = report(recorded(splits=splits, cond=halves), smoothing, shots=4)
    assert report.asked["few_shot"] == [(*report.asked["few_shot"][0][:2], np.random.default_rng(11).integers(1 << 30), judged)]
    assert report.asked["few_shot"][0][0].name == "mon"
    assert found.few_shot == FewShot(trials=4)
    beaten = [text for text in found.verdict.warnings if text.startswith("no better than smoothing")]
    assert len(beaten) == (judged != "train")
    assert all(f"{found.scores[judged]['LFADS']['co_bps']:.3f}" in text for text in beaten)
    assert ("psth_own_r2" in found.scores[judged]["LFADS"]) == (judged == "train")
    assert found.verdict.general_share == (0.5 if judged == "valid" else None)


def test_single_channels_have_condition_averages_and_true_rates_where_the_file_has_them(report):
    def truth(rng, trials):
        return rng.gamma(2.0, 0.5, (trials, BINS, CHANNELS))

    def halves(_, trials):
        return np.arange(trials) % 2

    one = recorded(is_rate=False, support="real", cond=halves, truth=truth)
    found = report(one)
    for split, data in one.session.splits.items():
        by = found.per_channel[split]
        assert by.keys() == {"psth_own_r2" if split == "train" else "psth_r2", "r2_truth"}
        for n in range(CHANNELS):
            true, guess = data.extras["truth"][..., n].ravel(), data.extras["output_params"][..., n].ravel()
            assert by["r2_truth"][n] == pytest.approx(sklearn.metrics.r2_score(true, guess))
        own = next(key for key in by if key.startswith("psth"))
        assert found.scores[split]["LFADS"][own] == pytest.approx(by[own].mean())
        assert found.scores[split]["LFADS"]["gain_over_constant"] == {"train": 0.5, "valid": 0.25, "test": 0.125}[split]


@pytest.mark.parametrize("wrong", [lambda shape: np.ones((*shape[:2], 2)), lambda shape: np.full(shape, np.nan)])
def test_true_rates_of_another_shape_or_with_holes_are_none(wrong, report):
    one = recorded(splits=("train", "valid"), truth=lambda _, trials: wrong((trials, BINS, CHANNELS)))
    assert report(one).per_channel["valid"].keys() == {"bps"}


def test_counts_that_are_not_predicted_as_such_have_no_bits(report):
    assert report(recorded(is_rate=False)).per_channel["valid"] == {}
    assert report(recorded(support="nonnegative")).per_channel["valid"] == {}


def test_behaviour_is_decoded_from_what_a_baseline_has_for_it_and_named_as_the_file_does(report):
    hidden = {}

    def behaviour(rng, trials):
        hidden[trials] = np.concatenate([rng.normal(size=(trials, BINS, 2)), rng.normal(size=(trials, BINS, CHANNELS - 2))], axis=2)
        return hidden[trials][..., :2].copy()

    def plain(e):
        return Baseline(name="Gaussian smoothing", means=e.means, train_means=e.train.means)

    def decoding(e):
        return Baseline(name="factor analysis", means=e.means, train_means=e.train.means, decoded=(hidden[len(e.means)], hidden[len(e.train.means)]))

    arrays = {"behavior_dimensions": np.array(["left", "up"]), "behavior_dimension_units": np.array(["mm", "mm"])}
    found = report(recorded(behavior=behaviour, arrays=arrays), plain, decoding)
    by = found.scores["valid"]
    assert by["factor analysis"]["velocity_r2"] > 0.99
    assert by["Gaussian smoothing"]["velocity_r2"] == by["LFADS"]["velocity_r2"] < 0.5
    assert by["factor analysis"]["behaviour_r2_1"] > 0.9 > by["LFADS"]["behaviour_r2_1"]
    assert by["factor analysis"]["bps"] == by["LFADS"]["bps"]
    assert found.dimensions == ["left", "up"]


def evaluation(data, support):
    sizes = {"encod_bins": data.shape[1], "encod_channels": data.shape[2], "bin_ms": None, "extras": {}}
    return Evaluation(session="a", split="valid", means=data, data=data, support=support, is_rate=False, **sizes)


def test_gains_are_of_values_and_of_events_among_zeros_where_there_is_a_constant_to_gain_over():
    def costs(null):
        return Costs(all=0.5, seen=None, hidden=None, heldout=None, null_seen=None, null_heldout=None, null_all=null)

    data = np.zeros((2, 5, 3))
    data[0, :2] = 0.25
    data[1, 1, 1] = np.nan
    assert likelihood_gains(costs(0.75), evaluation(data, "nonnegative")) == pytest.approx(
        {"gain_over_constant": 0.25, "bits_per_event": 0.25 / np.log(2) * 29 / 6}
    )
    assert likelihood_gains(costs(0.75), evaluation(data, "real")) == {"gain_over_constant": 0.25}
    assert likelihood_gains(costs(0.75), evaluation(0 * np.nan_to_num(data), "nonnegative")) == {"gain_over_constant": 0.25}
    assert likelihood_gains(costs(0.75), evaluation(data, "counts")) == {}
    assert likelihood_gains(costs(None), evaluation(data, "real")) == {}
