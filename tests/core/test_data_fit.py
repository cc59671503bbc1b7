"""How arrays become a session: what is kept, what belongs where, and what is said when something does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lfads_core.data import rows
from lfads_core.data.layout import Agreement, _InMemory, agreement, rebuild_session, same_values, session_arrays, session_from_arrays
from lfads_core.data.legacy import new_names, rates_per_bin
from lfads_core.errors import DataError


def arrays(**more):
    rng = np.random.default_rng(0)
    data = {f"{split}_encod_data": rng.poisson(1.0, (trials, 5, 3)).astype("f4") for split, trials in (("train", 7), ("valid", 4))}
    return data | more


def refused(given, text, **options):
    with pytest.raises(DataError) as caught:
        session_from_arrays("s", given, **options)
    assert str(caught.value) == f"session 's': {text}"


def test_arrays_of_the_right_type_are_taken_without_a_copy_and_others_converted():
    given = arrays(readin_weight=np.ones((3, 2)))
    session = session_from_arrays("s", given)
    assert session.splits["train"].encod is given["train_encod_data"]
    assert session.arrays["readin_weight"] is given["readin_weight"]
    assert session.attributes == {}
    double = session_from_arrays("s", given, dtype=np.float64).splits["valid"]
    assert (double.encod.dtype, double.external.dtype, double.external.shape) == (np.dtype("f8"), np.dtype("f8"), (4, 5, 0))
    with pytest.raises(DataError, match=r"'train_encod_data' .* must be there"):
        session_from_arrays("s", {"test_encod_data": np.ones((1, 2, 3))})
    assert list(session_from_arrays("s", {"test_encod_data": np.ones((1, 2, 3))}, required=("test",)).splits) == ["test"]


def test_a_session_rebuilt_has_the_name_place_and_type_that_are_wanted(tmp_path):
    arrays_ = arrays(train_ext_input=np.full((7, 4, 2), 3.0), valid_ext_input=np.full((4, 4, 2), 4.0), train_cond=np.arange(7), depth=np.ones(3))
    given = session_from_arrays("s", arrays_, {"bin_ms": 5.0})
    assert set(session_arrays(given)) == set(arrays_)
    np.testing.assert_array_equal(session_arrays(given)["valid_ext_input"], arrays_["valid_ext_input"])
    session = rebuild_session(given, name="n", path=tmp_path / "a.b", dtype=np.float64, required=("train",))
    assert (session.name, session.path, session.bin_ms) == ("n", tmp_path / "a.b", 5.0)
    assert session.splits["train"].encod.dtype == np.float64
    assert session.splits["train"].external.shape == (7, 4, 2)
    assert session.splits["train"].extras["cond"].tolist() == list(range(7))
    with pytest.raises(DataError, match=r"a\.b: 'test_encod_data' .* must be there"):
        rebuild_session(given, name="n", path=tmp_path / "a.b", dtype=np.float32, required=("test",))


def test_external_inputs_of_no_channel_or_one_bin_are_kept_apart():
    none = session_arrays(session_from_arrays("s", arrays()))
    assert not [key for key in none if "ext_input" in key or "recon" in key]
    one = session_from_arrays("s", arrays(train_ext_input=np.ones((7, 1, 1)), valid_ext_input=np.ones((4, 1, 1))))
    assert session_arrays(one)["train_ext_input"].shape == (7, 1, 1)
    empty = session_from_arrays("s", arrays(train_ext_input=np.ones((7, 5, 0)), valid_ext_input=np.ones((4, 5, 0))))
    assert empty.splits["train"].external.shape == (7, 5, 0)


def test_another_target_is_kept_apart_and_told_from_another_modality(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 130)  # two trials of single precision, one of double
    data = arrays()
    for dtype in ("f4", "f8"):
        for change, same, nested in ((0, True, True), (1, False, True), (100, False, False)):
            target = {key.replace("encod", "recon"): values.astype(dtype) for key, values in data.items()}
            target["train_recon_data"].ravel()[105 - change :] = 33.0
            split = session_from_arrays("s", data | target).splits["train"]
            assert ((split.recon is split.encod), split.nested) == (same, nested)
            assert session_from_arrays("s", data | target).splits["valid"].nested


def test_targets_that_are_alike_only_once_they_are_converted_are_the_same():
    data = {key: values / 3 for key, values in arrays().items()}
    double = {key.replace("encod", "recon"): values.astype("f8") * (1 + 1e-12) for key, values in data.items()}
    split = session_from_arrays("s", data | double).splits["train"]
    assert split.recon is split.encod
    split = session_from_arrays("s", data | double, dtype="f8").splits["train"]
    assert split.recon is not split.encod
    assert split.recon.dtype == np.float64


def test_values_in_memory_are_looked_at_some_trials_at_a_time_and_copied_only_to_convert_them(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 240)
    values = np.ones((7, 5, 3), "f4")
    for dtype, starts in (("f4", [0, 4]), ("f8", [0, 2, 4, 6])):
        blocks = list(_InMemory("x", values).blocks(dtype))
        assert [first for first, _ in blocks] == starts
        assert all(block.dtype == dtype and np.shares_memory(block, values) == (dtype == "f4") for _, block in blocks)


def test_of_another_shape_nothing_is_the_same():
    assert not same_values(np.ones((2, 3, 1)), np.ones((2, 3, 4)))
    assert same_values(np.array([[[np.nan]]]), np.array([[[np.nan]]]))


def test_a_target_with_fewer_channels_than_the_input_is_another_modality():
    assert not agreement(np.ones((2, 3, 4)), np.ones((2, 3, 3))).nested
    assert agreement(np.ones((2, 3, 3)), np.ones((2, 4, 3))).nested


@pytest.mark.parametrize(("telling", "agreeing", "nested"), [(0, 0, True), (3, 1, False), (4, 2, True), (5, 3, True), (1, 0, False)])
def test_half_of_the_values_that_tell_must_agree(telling, agreeing, nested):
    assert Agreement(telling=telling, agreeing=agreeing).nested is nested
    assert Agreement(telling=1, agreeing=2) + Agreement(telling=10, agreeing=20) == Agreement(telling=11, agreeing=22)


def test_near_misses_are_two_at_most_and_never_what_is_in_its_place():
    holds = {"train_encod_dat": 1, "train_encode_data": 1, "train_encod_datas": 1, "valid_encod_data": 1, "train_recon": 1}
    start = "'train_encod_data' (trials, bins, channels) must be there, found none. Did you mean"
    end = "Rename the array to 'train_encod_data' or 'train_data'; a raw recording is made into such a file by `lfads data make`."
    some = "'train_encod_dat', 'train_encod_datas', 'train_encode_data', 'train_recon', 'valid_encod_data'"
    with pytest.raises(DataError) as caught:
        session_from_arrays("s", holds)
    found = str(caught.value).removeprefix(f"session 's': {start} ").removesuffix(f"? It holds {some}. {end}")
    assert sorted(found.split(" or ")) == ["'train_encod_datas'", "'train_encode_data'"]
    refused(
        {"train_encod_data": 1, "valid_recon": 1, "test_recon_data": 1},
        "'valid_encod_data' (trials, bins, channels) must be there, found none. It holds 'test_recon_data', 'train_encod_data', 'valid_recon'. "
        "Rename the array to 'valid_encod_data' or 'valid_data'.",
    )
    refused(
        {"train_encod_data": 1, "valid_encoddata": 1},
        "'valid_encod_data' (trials, bins, channels) must be there, found none. Did you mean 'valid_encoddata'? "
        "It holds 'train_encod_data', 'valid_encoddata'. Rename the array to 'valid_encod_data' or 'valid_data'.",
    )


def test_a_target_must_have_three_axes_too_and_external_inputs_take_the_wanted_type():
    refused(
        arrays(train_recon_data=np.ones((7, 5))),
        "'train_recon_data' must be (trials, bins, channels), got shape (7, 5). Give it three axes in this order, of length 1 where there is one.",
    )
    given = session_from_arrays("s", arrays(train_ext_input=np.ones((7, 5, 2), "i4"), valid_ext_input=np.ones((4, 5, 2), "f8")))
    assert {split.external.dtype for split in given.splits.values()} == {np.dtype("f4")}
    assert session_from_arrays("s", arrays()).splits["train"].external.dtype == np.float32


def test_at_most_twenty_arrays_are_named():
    names = [f"x{i:02}" for i in range(21)]
    end = "Rename the array to 'train_encod_data' or 'train_data'; a raw recording is made into such a file by `lfads data make`."
    start = "'train_encod_data' (trials, bins, channels) must be there, found none. It holds"
    refused(dict.fromkeys(names[:20], 1), f"{start} {', '.join(map(repr, names[:20]))}. {end}")
    refused(dict.fromkeys(names, 1), f"{start} {', '.join(map(repr, names[:20]))} and 1 more. {end}")


def test_a_target_alone_is_told_for_every_split_even_one_that_is_not_required():
    text = "'test_encod_data' must be there beside 'test_recon_data', found none. The encoders need something to read: add it."
    refused(arrays(test_recon_data=np.ones((2, 5, 3))), text)


@pytest.mark.parametrize(("shape", "unit"), [((0, 5, 3), "trials"), ((7, 0, 3), "bins"), ((7, 5, 0), "channels"), ((0, 0, 0), "trials")])
def test_every_axis_must_have_a_length(shape, unit):
    rest = f"must have at least one of each of trials, bins and channels, got no {unit} {shape}. Fill or delete it."
    refused(arrays(train_encod_data=np.zeros(shape)), f"'train_encod_data' {rest}")
    if unit != "channels":
        refused(arrays(train_ext_input=np.zeros(shape)), f"'train_ext_input' {rest}")


def test_splits_differ_in_the_first_thing_that_is_named():
    more = {"test_encod_data": np.ones((2, 5, 3)), "test_recon_data": np.ones((2, 6, 4)), "train_recon_data": np.ones((7, 6, 4))}
    rest = "Cut both splits from one recording in one way."
    refused(arrays(**more), f"'train_recon_data' and 'valid_recon_data' must have the same bins and channels, got (6, 4) and (5, 3). {rest}")
    more |= {"valid_recon_data": np.ones((4, 6, 4)), "test_ext_input": np.ones((2, 6, 1))}
    refused(arrays(**more), f"'train_ext_input' and 'test_ext_input' must have the same bins and channels, got (6, 0) and (6, 1). {rest}")


def test_the_bin_width_of_an_attribute_wins_over_that_of_an_array():
    assert session_from_arrays("s", arrays(bin_ms=np.array([5])), {}).bin_ms == 5.0
    assert session_from_arrays("s", arrays(bin_ms=np.array([5])), {"bin_ms": 20}).bin_ms == 20.0
    text = "attribute 'bin_ms' must be one number of milliseconds > 0, got {}. Mend or delete it."
    refused(arrays(bin_ms=np.array([5, 6])), text.format("array([5, 6])"))
    refused(arrays(bin_ms=True), text.format("True"))
    refused(arrays(bin_ms=0), text.format("0"))
    assert session_from_arrays("s", arrays(bin_ms=1e-9)).bin_ms == 1e-9
    given = {"area": "M1"}
    assert session_from_arrays("s", arrays(bin_ms=5.0), given).attributes == {"area": "M1", "bin_ms": 5.0}
    assert given == {"area": "M1"}


def test_only_truth_is_divided_by_the_factor_and_errors_name_its_split():
    truth = {"train_truth": np.full((7, 5, 3), 6.0), "train_other": np.full((7, 5), 6.0)}
    session = session_from_arrays("s", arrays(**truth, conversion_factor=2.0))
    assert (session.splits["train"].extras["truth"] == 3.0).all()
    assert (session.splits["train"].extras["other"] == 6.0).all()
    assert session.splits["valid"].extras == {}
    refused(
        arrays(**truth, conversion_factor=np.ones(2)),
        "train_truth: 'conversion_factor' must be one finite number other than 0, or one for each channel, got [1. 1.]. "
        "It turns counts per bin into the units of the stored truth; mend or delete it.",
    )


@pytest.mark.parametrize(("kind", "result"), [("f8", "f8"), ("f4", "f4"), ("f2", "f2"), ("i8", "f4"), ("u1", "f4")])
def test_rates_keep_their_precision_and_whole_truth_becomes_single(kind, result):
    truth = np.array([[[1, 2, 4]]], dtype=kind)
    for factor in (np.float64(4), np.array([4]), np.array([[4.0]]), np.uint8(4), np.array([2.0, 4.0, 8.0])):
        rates = rates_per_bin(truth, np.asarray(factor), where="a")
        assert rates.dtype == result
        wanted = [0.5, 0.5, 0.5] if np.size(factor) == 3 else [0.25, 0.5, 1.0]
        assert rates.tolist() == [[wanted]]


def test_one_channel_and_two_channels_take_their_factors():
    assert rates_per_bin(np.ones((2, 1, 1)), np.array([2.0]), where="a").tolist() == [[[0.5]], [[0.5]]]
    assert rates_per_bin(np.ones((1, 1, 2)), np.array([2.0, 4.0]), where="a").tolist() == [[[0.5, 0.25]]]
    assert rates_per_bin(np.ones(()), np.array([[2.0]]), where="a").shape == ()


@pytest.mark.parametrize(
    ("factor", "shown"),
    [
        (np.inf, "inf"),
        ("x", "'x'"),
        (True, "True"),
        ([1.0, 0.0, 2.0], "[1. 0. 2.]"),
        (np.arange(4), "[0 1 2 3]"),
        (np.arange(5), "[0 1 2 3 4]"),
        (np.arange(9), "[0 1 2 ... 6 7 8]"),
    ],
)
def test_a_factor_that_cannot_divide_is_shown_in_few_words(factor, shown):
    with pytest.raises(DataError) as caught:
        rates_per_bin(np.ones((2, 4, 3)), np.asarray(factor), where="a.h5: x")
    assert f"or one for each channel, got {shown}. It turns" in str(caught.value)


def test_every_old_name_has_its_new_one():
    old = ["train_data", "valid_data", "test_data", "condition_labels_test", "input_valid_truth", "alignment_matrix_cxf", "alignment_bias_c", "mine"]
    new = [
        "train_encod_data",
        "valid_encod_data",
        "test_encod_data",
        "test_condition_labels",
        "valid_input_truth",
        "readin_weight",
        "readout_bias",
        "mine",
    ]
    assert new_names(old) == dict(zip(old, new, strict=True))
    assert new_names(["train_data", "train_encod_data"]) == {"train_encod_data": "train_encod_data"}


def test_a_path_begins_what_is_said(tmp_path):
    given = session_from_arrays("s", arrays())
    with pytest.raises(DataError) as caught:
        rebuild_session(given, name="n", path=Path("my file.b"), dtype=np.float32, required=("test",))
    assert str(caught.value) == (
        "my file.b: 'test_encod_data' (trials, bins, channels) must be there, found none. It holds 'train_encod_data', 'valid_encod_data'. "
        "Split its trials anew: lfads data split 'my file.b' -o 'my file'_split.h5"
    )
