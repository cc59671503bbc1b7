"""Tables from session to session, cell by cell, against scikit-learn and averages written out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold

from lfads_core.data.session import Session, Split
from lfads_plugins_lab.evaluate.cross_session import cross_sessions
from lfads_plugins_lab.evaluate.recorded import Recorded

BINS = 7


def split(seed, trials, labels=None, *, key="behavior", dimensions=2, sign=1.0, bins=BINS):
    """Factors that go with the condition and the behaviour, which is not known everywhere."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(trials, BINS, 3)).astype(np.float32)
    extras = {"factors": factors, "output_params": np.ones((trials, BINS, 5), np.float32)}
    if labels is not None:
        order = {label: i for i, label in enumerate(sorted(set(labels)))}
        factors += np.array([order[label] for label in labels], np.float32)[:, None, None] * np.linspace(0.5, 1, BINS, dtype=np.float32)[:, None]
        extras["cond"] = np.asarray(labels)
    if dimensions:
        behaviour = np.zeros((trials, bins, dimensions))
        behaviour[:, :BINS] = sign * (factors @ rng.normal(0.5, 0.2, (3, dimensions)) + 0.5 * rng.normal(size=(trials, BINS, dimensions)))[:, :bins]
        behaviour[0, 2] = np.nan
        extras[key] = behaviour
    data = rng.poisson(1.0, (trials, BINS, 5)).astype(np.float32)
    return Split(encod=data, recon=data, external=np.zeros((trials, BINS, 0), np.float32), extras=extras)


def session(name, arrays=None, **splits):
    return Recorded(session=Session(name=name, path=None, splits=splits, arrays=arrays or {}), support="counts", is_rate=True)


@pytest.fixture
def three():
    """Sessions with trials of 0, 1, 2; of 1, 2, 3; and of other conditions."""
    a = session("a", train=split(0, 12, np.arange(12) % 3), valid=split(1, 9, np.arange(9) % 3))
    b = session("b", train=split(2, 14, 1 + np.arange(14) % 3, key="behaviour"), valid=split(3, 8, 1 + np.arange(8) % 3, key="behaviour"))
    c = session("c", train=split(4, 12, 7 + np.arange(12) % 3), valid=split(5, 6, 7 + np.arange(6) % 3))
    return [a, b, c]


def behaviour_of(one):
    return one.extras.get("behavior", one.extras.get("behaviour"))


def decoded(train, valid):
    """Mean R2 over dimensions of a ridge regression whose penalty is chosen across five folds of bins."""
    (x, y), (z, target) = (
        [array.reshape(-1, array.shape[2])[~np.isnan(behaviour_of(one)).any(axis=2).ravel()] for array in (one.extras["factors"], behaviour_of(one))]
        for one in (train, valid)
    )
    search = GridSearchCV(Ridge(), {"alpha": np.logspace(-4, 0, 9)}, cv=KFold(5)).fit(x.astype(float), y)
    return r2_score(target, search.predict(z.astype(float)))


def condition_r2(train, valid, pairs):
    """One R2 over all factors and bins of the averages of these pairs of conditions."""
    averages = [
        [one.extras["factors"][one.extras["cond"] == label].mean(axis=0) for label in side] for one, side in ((train, pairs[0]), (valid, pairs[1]))
    ]
    guess, target = (np.concatenate(side).astype(float) for side in averages)
    return 1 - ((guess - target) ** 2).sum() / ((target - target.mean(axis=0)) ** 2).sum()


def test_decoders_go_from_the_training_trials_of_the_row_to_the_validation_trials_of_the_column(three):
    table = cross_sessions(three)
    assert list(table.sessions) == ["a", "b", "c"]
    assert list(table.why_not) == []
    for i, one in enumerate(three):
        for j, other in enumerate(three):
            assert table.decoding[i, j] == pytest.approx(decoded(one.session.splits["train"], other.session.splits["valid"]), rel=1e-6)


def test_averages_of_the_conditions_that_two_sessions_share_are_compared_as_they_are(three):
    table = cross_sessions(three).conditions
    for i, j, shared in ((0, 0, (0, 1, 2)), (0, 1, (1, 2)), (1, 0, (1, 2)), (2, 2, (7, 8, 9))):
        expected = condition_r2(three[i].session.splits["train"], three[j].session.splits["valid"], (shared, shared))
        assert table[i, j] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(table[[0, 2], [2, 0]]).all()  # none in common


def test_a_single_condition_in_common_is_not_compared(three):
    a, b, _ = three
    one = session("one", train=split(6, 10, 2 + np.arange(10) % 5), valid=split(7, 10, 2 + np.arange(10) % 5))
    table = cross_sessions([a, one, b]).conditions
    assert math.isnan(table[0, 1])
    assert math.isfinite(table[1, 2])


def test_conditions_with_names_are_matched_by_them_and_not_by_their_numbers():
    names = {"a": ["left", "right", "up"], "b": [b"up", b"left", b"down"]}
    a, b = (
        session(
            name,
            {"cond_names": np.array(texts)},
            train=split(seed, 12, np.arange(12) % 3),
            valid=split(seed + 1, 9, np.arange(9) % 3),
        )
        for seed, (name, texts) in enumerate(names.items())
    )
    table = cross_sessions([a, b]).conditions
    assert table[0, 1] == pytest.approx(condition_r2(a.session.splits["train"], b.session.splits["valid"], ((0, 2), (1, 0))), rel=1e-5)
    assert table[1, 0] == pytest.approx(condition_r2(b.session.splits["train"], a.session.splits["valid"], ((1, 0), (0, 2))), rel=1e-5)


def test_a_session_without_what_is_compared_has_no_number_in_its_row_and_column(three):
    bare = session("bare", train=split(8, 10, dimensions=0), valid=split(9, 7, dimensions=0))
    wide = session("wide", train=split(10, 10, np.arange(10) % 2, dimensions=3), valid=split(11, 7, dimensions=3))
    untrained = session("untrained", valid=split(12, 6, np.arange(6) % 3))
    unproven = session("unproven", train=split(13, 9, np.arange(9) % 3))
    table = cross_sessions([three[0], bare, wide, untrained, unproven])
    known = ~np.isnan(table.decoding)
    np.testing.assert_array_equal(np.argwhere(known), [[0, 0], [0, 3], [2, 2], [4, 0], [4, 3]])
    np.testing.assert_array_equal(np.argwhere(~np.isnan(table.conditions)), [[0, 0], [0, 3], [2, 0], [2, 3], [4, 0], [4, 3]])
    assert list(table.why_not) == []


def test_behaviour_of_other_bins_than_the_factors_or_hardly_known_is_none(three):
    other = session("other", train=split(14, 10, bins=4), valid=split(15, 6, bins=4))
    dark = session("dark", train=split(16, 10), valid=split(17, 6))
    dark.session.splits["train"].extras["behavior"][:] = np.nan
    dark.session.splits["train"].extras["behavior"][1, :4] = 1.0
    table = cross_sessions([three[0], other, dark]).decoding
    np.testing.assert_array_equal(np.argwhere(~np.isnan(table)), [[0, 0], [0, 2]])
    dark.session.splits["train"].extras["behavior"][1, 4] = 2.0  # five bins
    assert math.isfinite(cross_sessions([three[0], dark]).decoding[1, 0])


def test_without_any_number_there_is_no_table_and_a_reason(three):
    def without(key, one):
        splits = {name: replace(of, extras={k: v for k, v in of.extras.items() if k not in key}) for name, of in one.session.splits.items()}
        return session(one.name, **splits)

    still = cross_sessions([without(("behavior", "behaviour"), one) for one in three])
    assert (still.decoding, list(still.why_not)) == (None, ["no session pair has behaviour"])
    assert still.conditions.shape == (3, 3)
    alone = cross_sessions([without("cond", one) for one in three])
    assert (alone.conditions, list(alone.why_not)) == (None, ["no session pair shares conditions"])
    assert alone.decoding.shape == (3, 3)
    neither = cross_sessions([without(("cond", "behavior", "behaviour"), one) for one in three])
    assert list(neither.why_not) == ["no session pair has behaviour", "no session pair shares conditions"]


def test_a_single_session_is_compared_with_none(three):
    assert cross_sessions(three[:1]) is None
    assert cross_sessions([]) is None
    assert cross_sessions(three[:2]) is not None
