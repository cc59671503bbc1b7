"""What metrics get to see, and what becomes of the numbers they give."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from lfads_core.components.evaluation import Evaluation
from lfads_core.data.session import Session, Split
from lfads_core.model.lfads import LFADS
from lfads_core.plugins import MetricSpec, Registry, hookimpl
from lfads_core.train.evaluate import score, score_session


def split(seed, trials, *, bins=7, channels=5, encod_bins=6, seen=4, nested=True):
    data = np.random.default_rng(seed).poisson(1.0, (trials, bins, channels)).astype(np.float32)
    encod = np.ascontiguousarray(data[:, :encod_bins, :seen])
    return Split(
        encod=encod,
        recon=data,
        external=np.zeros((trials, bins, 0), np.float32),
        nested=nested,
        extras={"cond": np.arange(trials), "more": data[:, 0]},
    )


def session(name, seed, attributes=None, **more):
    splits = {"train": split(seed, 6, **more), "valid": split(seed + 1, 3, **more)}
    return Session(name=name, path=None, splits=splits, attributes=attributes or {})


def model(**reconstructions):
    """A stand-in whose reconstructions have a support, and say whether they are of rates."""
    parts = {name: SimpleNamespace(support=support, is_rate=is_rate) for name, (support, is_rate) in reconstructions.items()}
    return Mock(spec=LFADS, reconstructions=parts)


def registry(**metrics):
    """One plugin for each metric, so that each is warned of by itself."""

    def plugin(name, compute):
        return SimpleNamespace(lfads_metrics=hookimpl(lambda: [MetricSpec(name=name, summary="Of a test", compute=compute)]))

    return Registry.from_plugins({f"lab-{name}": plugin(name, compute) for name, compute in metrics.items()})


def predictions(*sessions, split="valid"):
    return {one.name: np.full(one.splits[split].recon.shape, 1.0 + i, np.float32) for i, one in enumerate(sessions)}


@pytest.fixture
def warned(caplog):
    caplog.set_level(logging.WARNING, logger="lfads")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_metric_sees_predictions_data_and_whatever_is_known_of_the_session():
    seen = []
    a = session("a", 0, {"bin_ms": 5.0, "behavior": "hand velocity"})
    b = session("b", 4, nested=False, channels=3)
    means, train_means = predictions(b, a), predictions(a, b, split="train")
    known = model(a=("counts", True), b=("real", False))
    score(means, [a, b], "valid", known, registry(look=lambda e: seen.append(e) or {}), train_means=train_means)
    for e, one, more in (
        (seen[0], a, (6, 4, "counts", True, 5.0, "hand velocity")),
        (seen[1], b, (6, 0, "real", False, None, "")),  # nothing was seen of another modality
    ):
        for part, name, guesses in ((e, "valid", means), (e.train, "train", train_means)):
            assert (part.session, part.split) == (one.name, name)
            assert (part.encod_bins, part.encod_channels, part.support, part.is_rate, part.bin_ms, part.behaviour) == more
            np.testing.assert_array_equal(part.means, guesses[one.name])
            np.testing.assert_array_equal(part.data, one.splits[name].recon)
            assert set(part.extras) == {"cond", "more"}
            np.testing.assert_array_equal(part.extras["more"], one.splits[name].extras["more"])
            arrays = [part.means, part.data, *part.extras.values()]
            assert not any(array.flags.writeable for array in arrays)
        assert e.train.train is None
    assert a.splits["valid"].recon.flags.writeable  # views were locked, not the data
    assert means["a"].flags.writeable


def test_without_predictions_of_training_trials_metrics_know_none():
    seen = []
    a = session("a", 0)
    score(predictions(a), [a], "valid", model(a=("counts", True)), registry(look=lambda e: seen.append(e) or {}))
    assert seen[0].train is None


def test_sessions_are_averaged_and_each_has_its_own_numbers_if_there_are_several():
    a, b, c = session("a", 0), session("b", 4), session("c", 8)
    found = registry(mean=lambda e: {"z": float(e.means.mean()), **({"only_b": 7.0} if e.session == "b" else {"y": 3.0})})
    known = model(a=("counts", True), b=("counts", True), c=("counts", True))
    means = {"c": np.full((3, 7, 5), 6.0), "b": np.full((3, 7, 5), 2.0)}
    scores = score(means, [a, b, c], "valid", known, found)
    assert scores == {"only_b": 7.0, "y": 3.0, "z": 4.0, "z/b": 2.0, "only_b/b": 7.0, "z/c": 6.0, "y/c": 3.0}
    assert list(scores)[:3] == ["only_b", "y", "z"]
    assert score({"c": means["c"]}, [a, b, c], "valid", known, found) == {"z": 6.0, "y": 3.0}  # of a single one, as they are
    assert score({}, [a, b, c], "valid", known, found) == {}


def evaluation():
    return Evaluation(
        session="a",
        split="valid",
        means=np.ones((3, 7, 5)),
        data=np.ones((3, 7, 5)),
        encod_bins=7,
        encod_channels=5,
        support="counts",
        is_rate=True,
    )


def test_numbers_that_are_not_finite_are_left_out_and_told_of_once(warned):
    found = registry(odd=lambda _: {"a": 1.5, "b": math.nan, "c": -math.inf, "d": 2})
    for _ in range(2):
        assert score_session(evaluation(), found) == {"a": 1.5, "d": 2}
    said = "lab-odd 0 (entry point 'lab-odd'): the metric 'odd' must give finite numbers, or none, got {} for '{}', which is left out"
    assert warned() == [said.format("nan", "b"), said.format("-inf", "c")]


def test_a_metric_that_fails_or_gives_no_numbers_is_left_out_and_the_others_are_not(warned):
    def fails(_):
        raise RuntimeError("on purpose")

    found = registry(bad=fails, good=lambda _: {"x": 1.0}, text=lambda _: {"y": "high"})
    assert score_session(evaluation(), found) == {"x": 1.0}
    said = "lab-{0} 0 (entry point 'lab-{0}'): the metric '{0}' failed and the run goes on ({1})"
    assert warned() == [
        said.format("bad", "RuntimeError: on purpose"),
        said.format("text", "TypeError: compute must give a plain number for 'y', got 'high'"),
    ]


def test_a_name_is_given_once_be_it_a_metric_s_or_another_number_s(warned):
    found = registry(one=lambda _: {"x": 1.0}, three=lambda _: {"cost": 1.0}, two=lambda _: {"y": 2.0, "x": 3.0})
    assert score_session(evaluation(), found, ["cost"]) == {"x": 1.0}
    said = "lab-{0} 0 (entry point 'lab-{0}'): the metric '{0}' failed and the run goes on (TypeError: compute must give numbers names of their own, "
    assert warned() == [said.format("three") + "but 'cost' is another's)", said.format("two") + "but 'x' is another's)"]


def test_names_that_are_taken_are_taken_in_every_session(warned):
    a = session("a", 0)
    found = registry(one=lambda _: {"x": 1.0}, three=lambda _: {"cost": 1.0})
    assert score(predictions(a), [a], "valid", model(a=("counts", True)), found, taken=["cost"]) == {"x": 1.0}
    assert score(predictions(a), [a], "valid", model(a=("counts", True)), found) == {"x": 1.0, "cost": 1.0}
    assert len(warned()) == 1
