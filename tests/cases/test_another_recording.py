"""A model meets another recording than it was trained on: its channels are taken by name, or a sentence says what differs."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import lfads_core
from lfads_core.cli.main import cli
from lfads_core.errors import RunError

NAMES = list("abcde")
ORDER = [3, 0, 4, 1, 2]


@pytest.fixture
def write(write_tiny):
    """Twelve and six trials of five named channels; ``order`` writes them in another one."""

    def make(name="tiny.h5", *, order=range(5), names=None, as_attribute=False, seed=0, **attributes):
        path = write_tiny(name, seed=seed)
        order = list(order)
        with h5py.File(path, "r+") as file:
            for key in list(file):
                values = file[key][()][..., order]
                del file[key]
                file[key] = values
            names = np.array([(names or NAMES)[i] for i in order], dtype=h5py.string_dtype())
            if as_attribute:
                file.attrs["channels"] = names
            else:
                file["channel_names"] = names
            file.attrs.update(attributes)
        return path

    return make


@pytest.fixture
def told(caplog):
    """``told("infer", run, ...)`` is the exit code of a command and everything that it says."""

    def tell(command, run, *arguments):
        caplog.clear()
        done = CliRunner().invoke(cli, [command, str(run.path), *map(str, arguments)], catch_exceptions=False)
        return done.exit_code, " ".join(f"{done.output} {' '.join(caplog.messages)}".split())

    return tell


def rates(path):
    with h5py.File(path) as file:
        return {split: file[f"{split}_output_params"][()] for split in ("train", "valid")}, {key: file[key][()] for key in file}


@pytest.mark.parametrize("held", [(), ("data.hold_out.fraction=0.4", "data.hold_out.seed=2")])
def test_channels_in_another_order_are_taken_by_name(train_tiny, write, told, tmp_path, held):
    run = train_tiny("train.epochs=1", *held, data=write()).run
    (tmp_path / "new").mkdir()
    code, said = told("infer", run, write("new/permuted.h5", order=ORDER, as_attribute=True), "--means", "-o", tmp_path / "out.h5")
    assert code == 0
    assert "channels stand in another order than in training: they are taken by their names." in said
    assert told("infer", run, tmp_path / "tiny.h5", "--means", "-o", tmp_path / "same.h5")[0] == 0
    (found, arrays), (wanted, before) = rates(tmp_path / "out.h5"), rates(tmp_path / "same.h5")
    for split in found:
        np.testing.assert_array_equal(found[split], wanted[split])
        np.testing.assert_array_equal(arrays[f"{split}_encod_data"], before[f"{split}_encod_data"])
    order = before.get("channel_order", np.arange(5))
    with h5py.File(tmp_path / "out.h5") as file:
        assert list(file.attrs["channels"]) == [NAMES[i] for i in order]
    recorded = arrays["channel_order"]  # index in the new file of each channel
    assert [ORDER[i] for i in recorded] == order.tolist()


def test_other_channels_and_other_bins_are_refused_with_what_to_do(train_tiny, write, told, tmp_path):
    run = train_tiny("train.epochs=1", data=write()).run
    (tmp_path / "new").mkdir()
    code, said = told("infer", run, write("new/other.h5", names=["a", "b", "c", "x", "y"]), "-o", tmp_path / "out.h5")
    assert code == 2
    assert "got other channels (without d, e, with x, y)." in said
    assert "`lfads adapt`" in said
    code, said = told("infer", run, write("new/bins.h5", bin_ms=50.0), "-o", tmp_path / "out.h5")
    assert code == 2
    assert "got bins of 50 ms (trained on 10 ms)." in said
    assert "`lfads data rebin`" in said
    code, said = told("infer", run, write("new/twice.h5", names=list("aabcd")), "-o", tmp_path / "out.h5")
    assert code == 2
    assert not (tmp_path / "out.h5").exists()


def test_another_alignment_and_missing_names_are_said(train_tiny, write, write_tiny, told, tmp_path):
    run = train_tiny("train.epochs=1", data=write(aligned_to="go", first_bin_ms=-100.0)).run
    (tmp_path / "new").mkdir()
    code, said = told("infer", run, write("new/cue.h5", aligned_to="cue", first_bin_ms=0.0), "-o", tmp_path / "out.h5")
    assert code == 0
    assert "has trials aligned to 'cue' (trained on 'go')." in said
    assert "has first bins at 0 ms (trained on -100 ms)." in said
    code, said = told("infer", run, write_tiny("new/nameless.h5"), "-o", tmp_path / "out.h5")
    assert code == 0
    assert "its channels have no names: they are taken in the order of training." in said


@pytest.mark.long
@pytest.mark.parametrize("held", [(), ("data.hold_out.fraction=0.4",)])
def test_a_replaced_recording_is_noticed_by_infer_and_refused_by_resume(train_tiny, resume, write, told, held):
    run = train_tiny("train.epochs=2", *held, data=write()).run
    assert "no longer" not in told("infer", run, "--means")[1]
    resume("train.epochs=3")
    write(seed=1)
    code, said = told("infer", run, "--means")
    assert code == 0
    assert "is no longer what the model was trained on: other contents in 'train' and 'valid'." in said
    for command in (("export", run, "--h5", run.path / "all.h5"), ("eval", run)):
        assert "holds outputs of another recording than the model was trained on: other contents in 'train' and 'valid'." in told(*command)[1]
    with pytest.raises(RunError) as caught:
        resume("train.epochs=4")
    assert str(caught.value) == (
        f"{run.path}: the data must be those the run was started with, got other contents in 'train' and 'valid' of 'tiny'. Restore them."
    )


@pytest.mark.parametrize(
    ("change", "got"),
    [
        ({"order": ORDER}, "channels in another order and other contents in 'train' and 'valid'"),
        ({"names": list("abcdz")}, "other channels (without e, with z)"),
        ({"aligned_to": "cue"}, "trials aligned to 'cue' (trained on 'go')"),
    ],
)
def test_resume_says_what_differs(train_tiny, resume, write, change, got):
    run = train_tiny("train.epochs=1", data=write(aligned_to="go")).run
    write(**{"aligned_to": "go", **change})
    with pytest.raises(RunError) as caught:
        resume("train.epochs=2")
    assert str(caught.value) == f"{run.path}: the data must be those the run was started with, got {got} of 'tiny'. Restore them."


def test_what_is_known_is_the_same_in_memory_and_on_disk(train_tiny, write):
    whole = train_tiny("train.epochs=1", "data.hold_out.fraction=0.4", data=write(first_bin_ms=-50.0)).run
    stored = train_tiny("train.epochs=1", "data.hold_out.fraction=0.4", "data.memory_gb=1e-9", data=write(first_bin_ms=-50.0), name="b").run
    one, two = (lfads_core.load(run.path).description.known["tiny"] for run in (whole, stored))
    assert one == two
    assert one.channels == tuple(NAMES)
    assert (one.bin_ms, one.first_bin_ms, one.aligned_to) == (10.0, -50.0, None)
    assert set(one.contents) == {"train", "valid"}
