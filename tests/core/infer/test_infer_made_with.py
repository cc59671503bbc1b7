"""An output file says which session and weights it is of, and is taken for no other."""

from __future__ import annotations

import re

import h5py
import pytest

from lfads_core.errors import RunError
from lfads_core.infer.made_with import load_inferred, made_with, require_same_session, require_same_weights


@pytest.fixture
def output(tmp_path):
    """Write an output file with attributes, and nothing in it."""

    def write(path=None, **attributes):
        with h5py.File(path or tmp_path / "out.h5", "w") as file:
            file.attrs.update(attributes)
        return path or tmp_path / "out.h5"

    return write


def test_the_checkpoint_is_the_one_the_file_names(output, tmp_path):
    assert made_with(output(lfads_checkpoint="epoch-000012", lfads_session="monday")) == "epoch-000012"
    assert made_with(output(lfads_session="monday")) == ""
    assert made_with(tmp_path / "missing.h5") == ""
    (tmp_path / "text.h5").write_text("no HDF5")
    assert made_with(tmp_path / "text.h5") == ""


def test_a_file_of_another_session_is_refused_and_one_that_does_not_say_is_taken(output):
    path = output(lfads_session="monday")
    require_same_session(path, "monday")
    with pytest.raises(RunError) as caught:
        require_same_session(path, "tuesday")
    assert str(caught.value) == (
        f"{path}: must hold the session 'tuesday', got outputs of 'monday'. Give files back the names that `lfads infer` gave them."
    )
    require_same_session(output(lfads_checkpoint="best"), "tuesday")


def test_a_file_of_other_weights_is_refused_and_one_that_does_not_say_is_taken(output, untrained, recorded):
    loaded = untrained([recorded()])
    path = output(loaded.run.output("monday"), lfads_checkpoint="best")
    require_same_weights(loaded, "monday")
    output(path, lfads_checkpoint="last")
    with pytest.raises(RunError) as caught:
        require_same_weights(loaded, "monday")
    assert str(caught.value) == (
        f"{path}: must be of the checkpoint best, got outputs of last. Make them with `lfads infer {loaded.run.path} --checkpoint best`."
    )
    output(path, lfads_session="monday")
    require_same_weights(loaded, "monday")
    require_same_weights(loaded, "tuesday")


def test_a_run_is_loaded_with_the_weights_of_its_outputs_unless_others_are_named(output, untrained, recorded):
    run = untrained([recorded()], checkpoints=("best", "last", "epoch-000004")).run
    assert load_inferred(run.path).checkpoint == "best"
    output(run.output("a"))  # an older file, which does not say
    output(run.output("b"), lfads_checkpoint="last")
    output(run.output("c"), lfads_checkpoint="best")
    assert load_inferred(run.path).checkpoint == "last"
    assert load_inferred(run.path, "epoch-4").checkpoint == "epoch-000004"
    with pytest.raises(RunError, match=re.escape(str(run.checkpoints / "epoch-000007.json"))):
        load_inferred(run.path, "epoch-7")
