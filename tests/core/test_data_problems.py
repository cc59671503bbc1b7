"""What is wrong with recordings, told from numbers about them alone: every rule at its edge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lfads_core.data.checks import FEW_TRIALS, Problem, check_sessions, check_summaries, require, worst_first
from lfads_core.data.hold_out import hold_out_channels
from lfads_core.data.layout import session_from_arrays
from lfads_core.errors import DataError
from summaries import array, one, whole


def checked(*sessions, support=None, observes_missing=False, **options):
    return [(p.severity, p.text) for p in check_summaries(sessions, support=support, observes_missing=observes_missing, **options)]


INPUT = array("train_encod_data", (40, 5, 2))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"missing": 1}, "must be finite, got 1 NaN or infinite of 400 values"),
        ({"infinite": 2}, "must be finite, got 2 NaN or infinite of 400 values"),
        ({"infinite": 2, "missing": 3}, "must be finite, got 5 NaN or infinite of 400 values"),
    ],
)
def test_external_inputs_must_be_known_everywhere(changes, text):
    external = array("train_ext_input", (40, 5, 2), **changes)
    assert checked(whole(train=one(encod=INPUT, external=external))) == [
        ("error", f"session 's': 'train_ext_input' {text}. External inputs must be known in every bin: fill them.")
    ]
    short = array("train_ext_input", (40, 4, 2))
    assert checked(whole(train=one(encod=INPUT, external=short))) == [
        ("info", "session 's': 'train_ext_input' covers 4 of 5 bins; the rest is taken as 0.")
    ]


def test_external_inputs_of_a_trained_model_may_be_none():
    text = "session 's': 'train_ext_input' must have 0 channels, as the model was trained, got 2. Give the same external inputs."
    assert checked(whole(train=one(encod=INPUT)), external=0) == []
    assert checked(whole(train=one(encod=INPUT, external=array("train_ext_input", (40, 5, 2)))), external=0) == [("error", text)]
    text = "session 's': 'train_ext_input' must have 2 channels, as the model was trained, got 0. Give the same external inputs."
    assert checked(whole(train=one(encod=INPUT)), external=2) == [("error", text)]


def test_silence_and_truth_are_looked_at_in_training_trials_only():
    silent = array("valid_recon_data", (12, 5, 3))
    silent = replace(silent, constant=(1,))
    assert checked(whole(valid=one(silent, encod=INPUT, extras={"truth": (12, 5)}))) == []
    many = replace(array(shape=(40, 5, 30)), constant=tuple(range(11)))
    assert checked(whole(train=one(many, encod=INPUT)))[0][1].endswith(
        "never change (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...). They teach nothing; consider dropping them."
    )
    ten = replace(many, constant=tuple(range(10)))
    assert "11 of 30" in checked(whole(train=one(many, encod=INPUT)))[0][1]
    assert "(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)." in checked(whole(train=one(ten, encod=INPUT)))[0][1]


@pytest.mark.parametrize(
    ("truth", "mean", "told"),
    [
        (3.0, 1.0, False),
        (3.01, 1.0, True),
        (1.0, 3.0, False),
        (0.99, 3.0, True),
        (None, 1.0, False),
        (5.0, 0.0, False),
        (5.0, None, False),
        (5.0, -1.0, False),
    ],
)
def test_true_rates_may_differ_from_the_data_up_to_three_times(truth, mean, told):
    found = checked(whole(train=one(array(mean=mean), encod=INPUT, truth_mean=truth, extras={"truth": (40, 5, 3)})))
    assert [severity for severity, _ in found] == ["warning"] * told
    assert checked(whole(train=one(array(mean=mean), encod=INPUT, truth_mean=truth))) == []


def test_rows_of_another_number_are_told_where_their_name_is_of_a_split():
    arrays = {
        "train_a": (3, 2),
        "valid_b": (5,),
        "train_one": (1, 4),
        "train_none": (),
        "train_two": (2, 40),
        "trainer": (7,),
        "readin_weight": (9, 2),
        "test_c": (4,),
    }
    assert checked(whole(train=one(encod=INPUT), arrays=arrays)) == [
        ("warning", "session 's': 'train_a' has 3 rows for 40 trials: it is carried along whole, not trial by trial."),
        ("warning", "session 's': 'train_two' has 2 rows for 40 trials: it is carried along whole, not trial by trial."),
    ]


@pytest.mark.parametrize(
    ("train", "valid", "few"), [(1, FEW_TRIALS, False), (190, 10, False), (191, 10, True), (1, 9, True), (0, 1, False), (40, 0, False)]
)
def test_a_validation_split_needs_ten_trials_and_a_twentieth(train, valid, few):
    splits = {"train": one(array(shape=(train, 5, 3)), encod=INPUT), "valid": one(array(shape=(valid, 5, 3)), encod=INPUT)}
    assert any("too few to choose a model by" in text for _, text in checked(whole(**splits))) is few
    assert not any("too few" in text for _, text in checked(whole(train=splits["train"])) + checked(whole(valid=splits["valid"])))


def test_an_input_without_values_is_an_error_too_and_ends_the_look_at_its_split():
    empty = array("train_encod_data", (40, 5, 0))
    text = "session 's': the split 'train' must have trials, bins and channels, got (40, 5, 3). Fill or delete it."
    assert checked(whole(train=one(array(missing=3), encod=empty))) == [("error", text)]


def test_problems_name_their_session_and_notes_about_several_none():
    path = Path("a.h5")
    sessions = [
        whole("a", path=path, train=one(array(missing=2), nested=False)),
        whole("b", train=one(array(infinite=1, shape=(40, 6, 3)), encod=INPUT)),
    ]
    found = check_summaries(sessions, support=None, observes_missing=False, batch_size=100)
    assert [(p.severity, p.session) for p in found] == [
        ("error", "a"),
        ("error", "b"),
        ("error", None),
        ("info", None),
        ("info", None),
        ("info", None),
    ]
    texts = [p.text.split(": ")[0] for p in found]
    assert texts == ["a.h5", "session 'b'", "all sessions", "a", "a.h5", "data.batch_size"]


def test_another_modality_is_told_once_for_all_sessions():
    sessions = [whole(name, train=one(encod=INPUT), valid=one(encod=INPUT, nested=False)) for name in "abcd"]
    text = (
        "the encoders read other values than are reconstructed, so another modality is predicted: masks of the input do not concern the loss, "
        "and all channels count as held out."
    )
    assert checked(*sessions) == [("info", f"a, b, c and 1 more: {text}")]


def test_sessions_of_one_model_are_compared_by_their_first_split_in_its_order():
    recon, other = array(shape=(40, 6, 3)), array(shape=(40, 7, 3))
    sessions = [
        whole("a", bin_ms=5.0, test=one(other), valid=one(recon, encod=INPUT)),
        whole("b", bin_ms=5.0000001, valid=one(recon, encod=INPUT)),
        whole("c"),
        whole("d", bin_ms=5.0, train=one(other, encod=array("train_encod_data", (40, 4, 2)), external=array("x", (40, 7, 2)))),
    ]
    rest = "Rebin or cut them alike, or train them apart."
    assert checked(*sessions) == [
        ("error", f"all sessions: must have the same reconstructed bins, got 6 in a, b; 7 in d. {rest}"),
        ("error", f"all sessions: must have the same encoded bins, got 5 in a, b; 4 in d. {rest}"),
        ("error", f"all sessions: must have the same external inputs, got 0 in a, b; 2 in d. {rest}"),
    ]
    assert checked(whole("a", bin_ms=5.0, test=one(encod=INPUT)), whole("b", bin_ms=5.00001, test=one(encod=INPUT)))[0][1].startswith(
        "all sessions: must have the same bin_ms, got 5 in a; 5.00001 in b."
    )
    many = [whole(name, bin_ms=5.0 + (name > "d"), test=one(encod=INPUT)) for name in "abcdef"]
    assert checked(*many)[0][1].startswith("all sessions: must have the same bin_ms, got 5 in a, b, c and 1 more; 6 in e, f.")


def test_only_sessions_that_train_fill_a_batch():
    assert checked(whole(test=one(encod=INPUT)), batch_size=5) == []
    (note,) = checked(whole(train=one(array(shape=(1, 5, 3)), encod=array("x", (1, 5, 2)))), batch_size=2)
    assert note == ("info", "data.batch_size: 2 trials do not fit, for there are 1 training trials: each step takes all of them.")
    two = [whole("a", train=one(encod=INPUT)), whole("b", test=one(encod=INPUT))]
    assert checked(*two, batch_size=40) == []
    (note,) = checked(*two, batch_size=41)
    assert note[1] == "data.batch_size: 41 trials do not fit, for there are 40 training trials of 2 sessions: each step takes all of them."


def test_problems_are_sorted_by_how_bad_they_are_and_stay_in_order():
    problems = [Problem(severity=severity, text=str(i)) for i, severity in enumerate(["info", "warning", "error", "info", "error", "warning"])]
    assert [p.text for p in worst_first(problems)] == ["2", "4", "1", "5", "0", "3"]
    require(problems[:2])
    with pytest.raises(DataError, match=r"^2\n4$"):
        require(problems)


def test_every_value_of_a_session_is_looked_at():
    data = {f"{split}_encod_data": np.ones((12, 5, 4)) * [[[1, 2, 3, 4]]] for split in ("train", "valid")}
    data["train_encod_data"][11, 4, 3] = -1.0
    session = hold_out_channels(session_from_arrays("s", data), 0.25, 1)
    found = check_sessions([session], support="nonnegative", observes_missing=None, batch_size=13, external=1)
    assert [(p.severity, p.text.split(" must")[0].split(": ")[-1]) for p in found if p.severity == "error"] == [
        ("error", "'train_ext_input'"),
        ("error", "'valid_ext_input'"),
        ("error", "'train_recon_data'"),
    ]
    assert found[-1].text.startswith("data.batch_size: 13 trials do not fit")
