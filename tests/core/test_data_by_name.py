"""What is known of a recording that a model was trained on, in what another one differs, and channels taken by their names."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from lfads_core.data.by_name import as_trained
from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.known import channel_names, differences, fingerprint, know, known_from_json, known_to_json, other_alignment
from lfads_core.data.layout import session_from_arrays
from lfads_core.data.session import KnownData, Session, Split
from lfads_core.errors import DataError


def texts(*names):
    return np.array(names, dtype=object)


def recording(channels="abcde", *, seen=None, name="s", test=False, **attributes):
    """Every value names its channel by a letter's number; the encoders see the first ``seen``."""
    arrays = {}
    for split, trials in (("train", 4), ("valid", 3), ("test", 2))[: 3 if test else 2]:
        data = np.broadcast_to([ord(letter) - ord("a") for letter in channels], (trials, 6, len(channels))).astype(float)
        arrays[f"{split}_encod_data"] = data[:, :, :seen]
        if seen is not None:
            arrays[f"{split}_recon_data"] = data
    return session_from_arrays(name, arrays, {"channels": texts(*channels), "bin_ms": 20.0, **attributes})


def test_a_recording_in_the_order_of_training_is_passed_on_as_it_is(caplog):
    session = recording()
    assert as_trained(session, know(session)) is session
    assert caplog.messages == []


def test_channels_in_another_order_are_taken_by_their_names_with_a_warning(caplog):
    session = recording("dbaec")
    found = as_trained(session, know(recording("abcde")))
    assert found.splits["train"].recon[3, 5].tolist() == [0, 1, 2, 3, 4]
    assert found.splits["valid"].encod[2, 0].tolist() == [0, 1, 2, 3, 4]
    assert "".join(found.attributes["channels"]) == "abcde"
    assert found.arrays["channel_order"].tolist() == [2, 1, 4, 0, 3]
    assert caplog.messages == ["s: channels stand in another order than in training: they are taken by their names."]


def test_channels_held_out_in_training_stay_held_out_in_another_order(caplog):
    found = as_trained(recording("baced", seen=3), know(recording("abcde", seen=3)))
    assert found.splits["train"].encod[3, 5].tolist() == [0, 1, 2]
    assert found.splits["train"].recon[3, 5].tolist() == [0, 1, 2, 3, 4]
    assert len(caplog.messages) == 1


def test_other_channels_held_out_than_in_training_are_refused():
    with pytest.raises(DataError) as caught:
        as_trained(recording("abdce", seen=3), know(recording("abcde", seen=3)))
    assert str(caught.value) == ("s: must hold out the channels that were held out in training, got others. Write the file as that one was written.")


def test_names_that_stand_twice_do_not_say_which_channel_is_which():
    with pytest.raises(DataError) as caught:
        as_trained(recording("aabcd"), know(recording("abcda")))
    assert str(caught.value) == ("s: channels must stand in the order of training, got another, and names stand twice. Put them in that order.")


def test_an_input_of_another_modality_is_not_reordered():
    session = recording("baced")
    other = {name: replace(split, nested=False) for name, split in session.splits.items()}
    with pytest.raises(DataError) as caught:
        as_trained(replace(session, splits=other), know(recording("abcde")))
    assert str(caught.value) == (
        "s: channels must stand in the order of training, got another, and the encoders read other values than are reconstructed. "
        "Put them in that order."
    )


def test_other_channels_and_other_bins_are_refused_together(tmp_path):
    session = replace(recording("abxyz", bin_ms=5.0), path=tmp_path / "a.h5")
    with pytest.raises(DataError) as caught:
        as_trained(session, know(recording("abcde")))
    assert str(caught.value) == (
        f"{tmp_path / 'a.h5'}: must have the channels and the bins that the model was trained on, got other channels (without c, d, e, with x, y, z) "
        "and bins of 5 ms (trained on 20 ms). Other channels need `lfads adapt`, other bins `lfads data rebin`."
    )


def test_what_the_recording_does_not_say_is_told_and_taken_as_in_training(caplog):
    session = recording()
    silent = replace(session, attributes={})
    assert as_trained(silent, know(session)) is silent
    assert caplog.messages == [
        "s: its channels have no names: they are taken in the order of training.",
        "s: does not say how wide its bins are: they are taken as 20 ms, as in training.",
    ]
    caplog.clear()
    assert as_trained(session, know(silent)) is session
    assert caplog.messages == []


def test_another_alignment_is_told_but_not_refused(caplog):
    session = recording(aligned_to="go", first_bin_ms=-100.0)
    trained = know(recording("badce", aligned_to="target", first_bin_ms=-250))
    assert as_trained(session, trained).splits["train"].recon[0, 0].tolist() == [1, 0, 3, 2, 4]
    assert caplog.messages == [
        "s: has trials aligned to 'go' (trained on 'target').",
        "s: has first bins at -100 ms (trained on -250 ms).",
        "s: channels stand in another order than in training: they are taken by their names.",
    ]


def test_what_a_recording_says_of_itself_is_known():
    known = know(recording(aligned_to="go", first_bin_ms=-40))
    assert known == KnownData(channels=("a", "b", "c", "d", "e"), bin_ms=20.0, aligned_to="go", first_bin_ms=-40.0)
    assert know(session_from_arrays("s", {f"{split}_encod_data": np.zeros((2, 3, 4)) for split in ("train", "valid")})) == KnownData()


@pytest.mark.parametrize("key", ["channels", "channel_names"])
@pytest.mark.parametrize("names", [["c1", "c2", "c3"], [b"c1", b"c2", "c3"], [1, 2, 3]])
def test_channels_may_be_named_in_an_array_or_an_attribute(key, names):
    data = {f"{split}_encod_data": np.zeros((2, 4, 3)) for split in ("train", "valid")}
    values = np.array(names, dtype=object if isinstance(names[0], bytes) else None)
    wanted = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)
    assert channel_names(session_from_arrays("s", data, {key: values})) == wanted
    assert channel_names(session_from_arrays("s", {**data, key: values})) == wanted
    assert channel_names(session_from_arrays("s", {**data, key: values}, {key: texts("x", "y", "z")})) == wanted
    assert channel_names(session_from_arrays("s", {**data, key: values[:2]})) is None


def test_names_for_some_channels_give_way_to_names_for_all_and_odd_bytes_are_replaced():
    data = {f"{split}_encod_data": np.zeros((2, 4, 3)) for split in ("train", "valid")}
    session = session_from_arrays("s", {**data, "channels": texts("a", "b")}, {"channel_names": np.array([b"\xff", b"y", b"z"])})
    assert channel_names(session) == ("\ufffd", "y", "z")


TRAINED = KnownData(channels=("a", "b", "c"), bin_ms=10.0, aligned_to="go", first_bin_ms=0.0, contents={"train": "1", "valid": "2", "test": "3"})


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"channels": ("c", "b", "a")}, ["channels in another order"]),
        ({"channels": ("a", "b")}, ["other channels (without c)"]),
        ({"channels": ("a", "b", "c", "d")}, ["other channels (with d)"]),
        ({"channels": ("a", "x", "y", "z", "v")}, ["other channels (without b, c, with x, y, z and 1 more)"]),
        ({"channels": ("a", "b", "c", "c")}, ["other channels (names that stand twice)"]),
        ({"bin_ms": 2.5}, ["bins of 2.5 ms (trained on 10 ms)"]),
        ({"aligned_to": "stop"}, ["trials aligned to 'stop' (trained on 'go')"]),
        ({"first_bin_ms": -12.5}, ["first bins at -12.5 ms (trained on 0 ms)"]),
        ({"contents": {"valid": "x", "train": "1"}}, ["other contents in 'valid'"]),
        ({"contents": {"valid": "x", "train": "y"}}, ["other contents in 'train' and 'valid'"]),
    ],
)
def test_each_difference_is_said_in_some_words_and_silence_is_none(change, found):
    given = replace(TRAINED, **change)
    assert differences(TRAINED, given) == found
    nothing = dict.fromkeys(change) | ({"contents": {}} if "contents" in change else {})
    assert differences(TRAINED, replace(TRAINED, **nothing)) == []
    assert differences(replace(TRAINED, **nothing), given) == []


def test_differences_come_in_one_order():
    given = KnownData(channels=("b", "a", "c"), bin_ms=1.0, aligned_to="x", first_bin_ms=1.0, contents={"test": ""})
    assert [text.split()[0] for text in differences(TRAINED, given)] == ["channels", "bins", "trials", "first", "other"]
    assert len(other_alignment(TRAINED, given)) == 2


def test_what_is_known_survives_json():
    assert known_from_json(known_to_json(TRAINED)) == TRAINED
    assert known_to_json(TRAINED)["bin_ms"] == 10.0
    assert known_from_json({"channels": ["a", "b"], "bin_ms": None}) == KnownData(channels=("a", "b"))
    assert known_from_json({"aligned_to": "go"}) == KnownData(aligned_to="go")


def digest(**arrays):
    """As written in the file of a run: name, shape and values of each array, one after the other, in single precision."""
    content = b"".join(f"{key} {values.shape}".encode() + values.astype("<f4").tobytes() for key, values in arrays.items())
    return hashlib.sha256(content).hexdigest()


def test_a_fingerprint_is_the_hash_of_what_the_model_is_given(monkeypatch):
    monkeypatch.setattr("lfads_core.data.rows.BLOCK_BYTES", 200)
    rng = np.random.default_rng(0)
    encod, recon, external = rng.normal(size=(9, 4, 3)), rng.normal(size=(9, 5, 6)), rng.normal(size=(9, 5, 2))
    turned = np.asfortranarray(recon)
    splits = {
        "test": Split(encod=turned, recon=turned, external=external),
        "train": Split(encod=encod.astype("f4"), recon=recon.astype("f4"), external=external.astype("f4")),
        "valid": Split(encod=(one := recon.astype("f4")), recon=one, external=np.zeros((9, 5, 0), "f4")),
    }
    session = Session(name="s", path=None, splits=splits)
    assert fingerprint(session) == {
        "test": digest(encod=recon, external=external),
        "train": digest(encod=encod, recon=recon, external=external),
        "valid": digest(encod=recon),
    }


def test_every_nan_counts_as_the_same_one_those_that_signal_too():
    values = np.ones((2, 3, 4), "f4")
    values[1, 2] = np.nan
    signalling = values.copy()
    signalling.view("u4")[1, 2] = 0x7FA00001
    hashes = [fingerprint(Session(name="s", path=None, splits={"train": Split(encod=x, recon=x, external=x[..., :0])})) for x in (values, signalling)]
    assert hashes[0] == hashes[1] == {"train": digest(encod=values)}


def test_a_recording_on_disk_has_the_fingerprint_of_the_same_in_memory(write_recording, monkeypatch):
    monkeypatch.setattr("lfads_core.data.hdf5.SAMPLE_BYTES", 300)
    rng = np.random.default_rng(0)
    arrays = {f"{split}_encod_data": rng.normal(size=(trials, 4, 3)) for split, trials in (("train", 19), ("valid", 7))}
    arrays |= {"train_ext_input": rng.normal(size=(19, 4, 2)), "valid_ext_input": rng.normal(size=(7, 4, 2))}
    path = write_recording("a.h5", arrays)
    stored = read_hdf5(path, keep_on_disk=True)
    assert len(stored.splits["train"].encod) < 19
    assert fingerprint(stored) == fingerprint(read_hdf5(path))
    assert fingerprint(stored)["train"] == digest(encod=arrays["train_encod_data"], external=arrays["train_ext_input"])


def test_a_fingerprint_knows_one_zero_and_one_nan():
    data = np.arange(24, dtype="f4").reshape(2, 4, 3)
    data[1, 2] = np.nan
    strange = data.copy()
    strange[0, 0, 0] = -0.0
    strange[1, 2] = np.frombuffer(np.array([0x7FC00001, 0xFFC00000, 0x7FC00100], "<u4").tobytes(), "<f4")
    none = np.zeros((2, 4, 0), "f4")
    one, other = (fingerprint(Session(name="s", path=None, splits={"test": Split(encod=x, recon=x, external=none)})) for x in (data, strange))
    assert one == other == {"test": digest(encod=data)}
