"""A session as its output file has it: what metrics see, which sessions are read, into memory or not, what is said of files that do not fit."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import h5py
import numpy as np
import pytest

from lfads_core.components import SessionInfo
from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.known import fingerprint
from lfads_core.data.session import KnownData, Session, Split
from lfads_core.errors import DataError, RunError
from lfads_core.infer.loading import LoadedRun
from lfads_core.infer.outputs import CHECKPOINT, SESSION
from lfads_core.model.description import ModelDescription
from lfads_core.model.lfads import LFADS
from lfads_core.runs import Run
from lfads_plugins_lab.evaluate import recorded as recorded_module
from lfads_plugins_lab.evaluate.recorded import Recorded, left_out, recorded_sessions

SIZES = {"test": 3, "valid": 4, "train": 6}


@pytest.fixture
def loaded(tmp_path):
    """``loaded("mon", "tue", memory_gb=..., known=...)`` is a run on these sessions, of counts but for the last one."""

    def make(*names, memory_gb=None, known=None):
        channels = {"encod_channels": 2, "recon_channels": 2, "factors": 0}
        reconstructions = {name: SimpleNamespace(support="counts", is_rate=True) for name in names}
        reconstructions[names[-1]] = SimpleNamespace(support="real", is_rate=False)
        return Mock(
            spec=LoadedRun,
            run=Run(tmp_path),
            checkpoint="best",
            config=SimpleNamespace(data=SimpleNamespace(memory_gb=memory_gb)),
            description=ModelDescription(
                sessions=[SessionInfo(name=n, **channels) for n in names], encoded_bins=5, bins=5, external=0, known=known or {}
            ),
            model=Mock(spec=LFADS, reconstructions=reconstructions),
        )

    return make


@pytest.fixture
def write(tmp_path):
    """Write the output file of a session: trials of 5 bins and 2 channels, what was inferred of them, attributes."""

    def outputs(name, *, splits=tuple(SIZES), inferred=tuple(SIZES), **attributes):
        rng = np.random.default_rng(len(name))
        with h5py.File(tmp_path / f"lfads_output_{name}.h5", "w") as file:
            for split in splits:
                file[f"{split}_encod_data"] = rng.poisson(1.0, (SIZES[split], 5, 2)).astype("f4")
                if split in inferred:
                    file[f"{split}_output_params"] = rng.gamma(1.0, 1.0, (SIZES[split], 5, 2)).astype("f4")
            file.attrs.update(attributes)
        return tmp_path / f"lfads_output_{name}.h5"

    return outputs


def session(*splits, nested=True):
    """Of 7 bins and 4 channels the encoders see 5 and 3."""
    rng, found = np.random.default_rng(0), {}
    for split in splits:
        recon = rng.poisson(1.0, (SIZES[split], 7, 4)).astype("f4")
        extras = {"output_params": rng.gamma(1.0, 1.0, recon.shape), "cond": np.arange(len(recon))}
        found[split] = Split(encod=recon[:, :5, :3], recon=recon, external=np.zeros((len(recon), 7, 0)), nested=nested, extras=extras)
    return Session(name="mon", path=None, splits=found, attributes={"bin_ms": 25.0, "behavior": "hand velocity"})


def test_metrics_see_a_split_with_what_was_inferred_and_the_training_trials_beside_it():
    data = session("test", "train", "valid")
    one = Recorded(session=data, support="nonnegative", is_rate=True)
    assert one.name == "mon"
    assert one.splits == ["train", "valid", "test"]
    for split in one.splits:
        e, of = one.evaluation(split), data.splits[split]
        for given in (e,) if split == "train" else (e, e.train):
            assert (given.session, given.encod_bins, given.encod_channels, given.support, given.is_rate) == ("mon", 5, 3, "nonnegative", True)
            assert (given.bin_ms, given.behaviour) == (25.0, "hand velocity")
        assert e.split == split
        assert e.means is of.extras["output_params"]
        assert e.data is of.recon
        assert e.extras is of.extras
        assert (e.train is None) == (split == "train")
        if e.train is not None:
            assert e.train.split == "train"
            assert e.train.data is data.splits["train"].recon
            assert e.train.train is None
        assert one.evaluation(split, with_train=False).train is None


def test_without_training_trials_there_are_none_and_of_another_modality_no_channel_was_seen():
    one = Recorded(session=session("valid", nested=False), support="real", is_rate=False)
    e = one.evaluation("valid")
    assert one.splits == ["valid"]
    assert e.train is None
    assert (e.encod_bins, e.encod_channels, e.is_rate) == (5, 0, False)


def test_sessions_are_read_in_the_order_of_the_model_and_those_without_outputs_are_left_out(loaded, write):
    for name in ("tue", "mon"):
        write(name, bin_ms=12.5)
    run = loaded("mon", "wed", "tue")
    found = recorded_sessions(run)
    assert [(one.name, one.support, one.is_rate) for one in found] == [("mon", "counts", True), ("tue", "real", False)]
    assert [one.name for one in recorded_sessions(run, ["tue", "mon"])] == ["mon", "tue"]
    assert [one.name for one in recorded_sessions(run, ["tue"])] == ["tue"]
    assert found[0].splits == ["train", "valid", "test"]
    assert found[0].session.bin_ms == 12.5
    with h5py.File(run.run.output("tue")) as file:
        np.testing.assert_array_equal(found[1].evaluation("valid").means, file["valid_output_params"][()])
        np.testing.assert_array_equal(found[1].evaluation("valid").data, file["valid_encod_data"][()])
    assert left_out(run, found) == [f"{run.run.path}: the session 'wed' is left out, for there is no lfads_output_wed.h5."]
    assert left_out(run, []) == [
        f"{run.run.path}: the session '{name}' is left out, for there is no lfads_output_{name}.h5." for name in ("mon", "wed", "tue")
    ]


def test_a_file_with_test_trials_alone_is_enough(loaded, write):
    write("mon", splits=("test",))
    (one,) = recorded_sessions(loaded("mon"))
    assert one.splits == ["test"]


def refused(run, names=()):
    with pytest.raises(RunError) as caught:
        recorded_sessions(run, names)
    return str(caught.value)


def test_what_cannot_be_read_is_named_with_what_makes_it(loaded, write, tmp_path):
    run = loaded("mon", "tue")
    none = f"{tmp_path / 'lfads_output_mon.h5'}: there are no outputs yet. Make them with `lfads infer {tmp_path}`."
    assert refused(run) == none
    path = write("tue")
    assert refused(run, ["tue", "mon"]) == none
    assert refused(run, ["tue", "x", "y"]) == f"{tmp_path}: must know the session 'x', got mon, tue. Name one of these."
    write("tue", inferred=("train", "test"))
    assert refused(run) == f"{path}: 'valid_output_params' must be there, got none. Make it with `lfads infer {tmp_path}`."
    write("tue", **{SESSION: "mon"})
    assert refused(run).startswith(f"{path}: must hold the session 'tue', got outputs of 'mon'.")
    write("tue", **{SESSION: "tue", CHECKPOINT: "last"})
    assert refused(run).startswith(f"{path}: must be of the checkpoint best, got outputs of last.")


def test_data_stay_on_disk_where_the_settings_or_the_machine_leave_no_room(loaded, write, monkeypatch):
    write("mon")
    whole = 2 * sum(SIZES.values()) * 5 * 2 * 4  # data and expected values, in single precision
    reading = Mock(wraps=read_hdf5)
    monkeypatch.setattr(recorded_module, "read_hdf5", reading)
    for room, stored in ((whole, False), (whole - 1, True)):
        monkeypatch.setattr(recorded_module, "room_for_data", lambda: 3 << 40)
        (one,) = recorded_sessions(loaded("mon", memory_gb=room / 1e9))
        assert bool(one.session.stored) == stored
        assert reading.call_args.kwargs["room"] == 1 << 31  # that much is always there for a sample
        monkeypatch.setattr(recorded_module, "room_for_data", lambda room=room: room)
        (one,) = recorded_sessions(loaded("mon"))
        assert bool(one.session.stored) == stored
    recorded_sessions(loaded("mon", memory_gb=3.5))
    assert reading.call_args.kwargs["room"] == 3_500_000_000


def test_outputs_of_another_recording_are_told(loaded, write, caplog):
    path = write("mon", bin_ms=5.0, channel_names=["a", "b"])
    (one,) = recorded_sessions(loaded("mon"))
    same = KnownData(channels=("b", "a"), bin_ms=5.0, contents=fingerprint(one.session))
    recorded_sessions(loaded("mon", known={"mon": same, "tue": KnownData(bin_ms=1.0)}))
    assert caplog.messages == []  # the order of channels is the model's there
    other = replace(same, bin_ms=20.0, contents={**same.contents, "valid": "another"})
    recorded_sessions(loaded("mon", known={"mon": other}))
    text = "bins of 5 ms (trained on 20 ms) and other contents in 'valid'"
    assert caplog.messages == [f"{path}: holds outputs of another recording than the model was trained on: {text}."]
    assert re.fullmatch(r"lfads_plugins_lab\.evaluate\.recorded", caplog.records[0].name)
    assert caplog.records[0].levelname == "WARNING"


def test_outputs_of_other_sizes_than_the_models_are_refused(loaded, write):
    path, run = write("mon"), loaded("mon")
    run.description = replace(run.description, encoded_bins=4, bins=6)
    text = (
        f"{path}: 'train' must have encoded (bins, channels), reconstructed (bins, channels) and external inputs ((4, 2), (6, 2), 0) "
        "as in training, got ((5, 2), (5, 2), 0). Cut and bin it like the training data."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        recorded_sessions(run)


def test_what_is_another_modality_in_one_split_is_one_in_all():
    """A damaged file may say so of one; what is compared across splits must have one number of channels."""
    data = np.ones((4, 5, 2), "f4")
    splits = {name: Split(encod=data, recon=data, external=data[..., :0], extras={"output_params": data}, nested=name != "train") for name in SIZES}
    recorded = Recorded(session=Session(name="a", path=None, splits=splits), support="counts", is_rate=True)
    assert [recorded.evaluation(name).encod_channels for name in SIZES] == [0, 0, 0]
    assert recorded.evaluation("valid").train.encod_channels == 0
