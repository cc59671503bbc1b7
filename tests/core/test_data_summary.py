"""Numbers about a recording and what they suggest, at the edges of each rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lfads_core.data import summary
from lfads_core.data.layout import session_from_arrays
from lfads_core.data.rows import AbstractRows
from lfads_core.data.session import Session, Split, StoredSplit
from lfads_core.data.summary import holds_counts, suggest_reconstruction, summarise, summarise_array
from summaries import array, one, whole


class Rows(AbstractRows):
    """An array in memory, read by rows."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def take(self, rows):
        return self.values[rows]


def test_sums_are_of_double_precision_and_blocks_are_put_together(monkeypatch):
    values = np.full((50, 40, 3), 0.1, "f4")
    values[0, 0] = [np.nan, np.inf, -np.inf]
    values[7, 1, 0], values[49, 39, 2] = -2.5, 7.25
    for chunk in (1, 500, 1 << 22):
        monkeypatch.setattr(summary, "_CHUNK", chunk)
        for held in (values, Rows(values)):
            found = summarise_array("x", held)
            assert (found.key, found.shape, found.size, found.dtype) == ("x", (50, 40, 3), 6000, "float32")
            assert (found.missing, found.infinite, found.zeros, found.negative, found.fractional) == (1, 2, 0, 1, 5997)
            assert (found.low, found.high) == (-2.5, 7.25)
            assert found.fraction == pytest.approx(0.1, rel=1e-6)
            assert found.mean == pytest.approx(values[np.isfinite(values)].astype("f8").mean(), rel=1e-14)


def test_of_nothing_observed_nothing_is_said():
    found = summarise_array("x", np.full((2, 3, 2), np.nan))
    assert (found.low, found.high, found.mean, found.fraction, found.persistence) == (None,) * 5
    assert found.constant == (0, 1)
    empty = summarise_array("x", np.zeros((0, 3, 2)))
    assert (empty.low, empty.mean, empty.constant, empty.size) == (None, None, (), 0)
    odd = summarise_array("x", np.array([[[np.inf, 1.0], [np.nan, 2.0]]]))
    assert (odd.low, odd.high, odd.mean, odd.constant) == (1.0, 2.0, 1.5, (0,))


def correlations(values):
    found = []
    for n in range(values.shape[2]):
        x, y = values[:, :-1, n].ravel(), values[:, 1:, n].ravel()
        there = np.isfinite(x) & np.isfinite(y)
        found.append(np.corrcoef(x[there], y[there])[0, 1])
    return np.median(found)


def test_persistence_looks_at_the_first_trials_in_double_precision(monkeypatch):
    rng = np.random.default_rng(1)
    values = (np.cumsum(rng.normal(size=(9, 30, 5)), axis=1) / 1000 + 300).astype("f4")
    for first in (3, 9):
        monkeypatch.setattr(summary, "_TRIALS", first)
        wanted = correlations(values[:first].astype("f8"))
        assert summarise_array("x", values).persistence == pytest.approx(wanted, abs=1e-9)
        assert summarise_array("x", Rows(values)).persistence == pytest.approx(wanted, abs=1e-9)


def test_small_values_persist_as_large_ones_do_and_two_neighbours_are_enough():
    rng = np.random.default_rng(2)
    values = np.cumsum(rng.normal(size=(4, 20, 3)), axis=1) * 1e-3
    assert summarise_array("x", values).persistence == pytest.approx(correlations(values), abs=1e-12)
    values[:, :, 0] = np.nan
    values[0, 4, 0], values[0, 5, 0], values[0, 6, 0] = 0.0, 0.5, 1.5  # of one pair and another
    assert summarise_array("x", values).persistence == pytest.approx(np.median([1.0, *(correlations(values[..., [n]]) for n in (1, 2))]), abs=1e-12)
    assert summarise_array("x", np.full((3, 4, 2), 0.5)).persistence is None
    assert summarise_array("x", np.full((3, 1, 2), [0.5, 0.25])).persistence is None
    assert summarise_array("x", np.array([[[0.5], [np.nan], [1.5]]])).persistence is None
    assert summarise_array("x", np.array([[[0.5], [1.5]]])).persistence is None  # one pair has no correlation


def test_a_session_is_summed_up_split_by_split():
    rng = np.random.default_rng(0)
    data = {f"{split}_recon_data": rng.poisson(1.0, (trials, 6, 4)) for split, trials in (("train", 7), ("valid", 4))}
    data |= {key.replace("recon", "encod"): values[:, :5, :3] for key, values in data.items()}
    more = {"train_truth": np.full((7, 6, 4), 0.25, "f4"), "valid_truth": np.ones((4, 6)), "train_label": ["x"] * 7, "readin_weight": np.ones((3, 2))}
    more |= {"train_ext_input": np.ones((7, 6, 2)), "valid_ext_input": np.ones((4, 6, 2))}
    session = session_from_arrays("s", data | more, {"bin_ms": 5.0})
    found = summarise(session)
    train, valid = found.splits["train"], found.splits["valid"]
    assert (found.name, found.path, found.bin_ms, found.where, dict(found.arrays)) == ("s", None, 5.0, "session 's'", {"readin_weight": (3, 2)})
    assert (train.encod.key, train.recon.key, train.external.key) == ("train_encod_data", "train_recon_data", "train_ext_input")
    assert (train.encod.shape, train.recon.shape, train.external.shape) == ((7, 5, 3), (7, 6, 4), (7, 6, 2))
    assert (train.same, train.nested, train.truth_mean, train.trials, valid.trials) == (False, True, 0.25, 7, 4)
    assert dict(train.extras) == {"truth": (7, 6, 4), "label": (7,)}
    assert valid.truth_mean is None
    assert replace(found, path=Path("a.h5")).where == "a.h5"
    alike = summarise(session_from_arrays("s", {key: values for key, values in data.items() if "recon" not in key})).splits["train"]
    assert alike.same
    assert alike.external is None
    assert alike.encod is alike.recon
    assert alike.encod.key == "train_recon_data"


def test_equal_values_in_two_arrays_are_the_same_and_truth_must_be_numbers():
    values = np.ones((3, 4, 2))
    nothing = np.zeros((3, 4, 0))
    for truth, mean in ((np.full((3, 4, 2), 2.5), 2.5), (np.full((3, 4, 2), 2, "u1"), 2.0), (np.full((3, 4, 2), "x"), None), (values == 1, None)):
        session = Session(name="s", path=None, splits={"test": Split(encod=values, recon=values.copy(), external=nothing, extras={"truth": truth})})
        found = summarise(session).splits["test"]
        assert found.same
        assert found.truth_mean == mean


@pytest.mark.parametrize(
    ("truth", "mean"), [(np.zeros((0, 4, 3)), None), (np.full((1, 1, 1), 0.5), 0.5), (np.array([[[2048.0, 2050.0]]], "f2"), 2049.0)]
)
def test_the_mean_of_true_rates_is_of_double_precision_and_needs_one_value(truth, mean):
    data, nothing = np.ones(truth.shape), np.zeros((*truth.shape[:2], 0))
    session = Session(name="s", path=None, splits={"test": Split(encod=data, recon=data, external=nothing, extras={"truth": truth})})
    assert summarise(session).splits["test"].truth_mean == mean


def test_a_stored_split_is_summed_up_whole_and_its_sample_only_for_what_rides_along():
    data = np.random.default_rng(0).poisson(1.0, (9, 5, 3)).astype("f4")
    sample = Split(
        encod=data[:2], recon=data[:2], external=np.zeros((2, 5, 0), "f4"), extras={"truth": np.full((2, 5, 3), 4.0), "cond": np.arange(2)}
    )
    for same in (True, False):
        encod = Rows(data)
        stored = StoredSplit(encod=encod, recon=encod if same else Rows(data + 1), external=Rows(data), nested=same, sample=np.array([0, 8]))
        found = summarise(Session(name="s", path=None, splits={"train": sample}, stored={"train": stored})).splits["train"]
        assert (found.same, found.nested, found.trials, found.truth_mean) == (same, same, 9, 4.0)
        assert found.recon.mean == pytest.approx(data.mean(dtype="f8") + (not same))
        assert found.external.shape == (9, 5, 3)
        assert dict(found.extras) == {"truth": (9, 5, 3), "cond": (9,)}


EVENTS = {"fractional": 50, "fraction": 0.5, "persistence": 0.2}


@pytest.mark.parametrize(
    ("train", "valid", "words"),
    [
        ({}, {}, "counts"),
        (EVENTS, {}, "such as deconvolved events"),
        (EVENTS | {"persistence": 0.5}, {}, "such as deconvolved events"),
        (EVENTS | {"persistence": 0.51}, {}, "that last from bin to bin"),
        (EVENTS | {"persistence": None}, {}, "such as deconvolved events"),
        (EVENTS | {"zeros": 30}, {}, ">= 0, 30 of them 0: --plugin gaussian"),
        (EVENTS | {"zeros": 31}, {}, "5% of them 0, such as deconvolved"),
        (EVENTS | {"zeros": 28, "missing": 40}, {}, ">= 0, 28 of them 0"),
        (EVENTS | {"zeros": 29, "missing": 40}, {}, "5% of them 0, such as deconvolved"),
        (EVENTS | {"zeros": 28, "infinite": 40}, {}, ">= 0, 28 of them 0"),
        (EVENTS | {"zeros": 29, "infinite": 40}, {}, "5% of them 0, such as deconvolved"),
        (EVENTS | {"zeros": 0}, {"zeros": 0}, "values > 0, such as EMG"),
        (EVENTS | {"zeros": 0}, {"zeros": 1}, ">= 0, 0 of them 0"),
        ({}, {"fractional": 1}, "5% of them 0"),
        (EVENTS, {"negative": 1}, "both signs"),
        ({"negative": 1}, {}, "both signs"),
    ],
)
def test_each_rule_of_the_suggestion_has_its_edge(train, valid, words):
    train = {"zeros": 31} | train
    session = whole(valid=one(array(**valid)), train=one(array(shape=(40, 5, 3), **train)))
    assert words in suggest_reconstruction(session)
    assert holds_counts(session) is (words == "counts")


def test_without_training_trials_the_first_split_is_looked_at():
    assert "72% of them 0" in suggest_reconstruction(whole(test=one(array(zeros=433, **EVENTS)), valid=one(array(zeros=9))))
