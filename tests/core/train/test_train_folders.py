"""Run folders: one training each, names, and places that cannot be written to."""

from __future__ import annotations

import os

import pytest

from lfads_core.errors import ConfigError, RunError
from lfads_core.locks import only_one
from lfads_core.runs import Run, checked_name, default_name
from lfads_core.wording import shown


def test_a_second_training_in_the_same_folder_is_refused(train_tiny, resume, tmp_path):
    train_tiny("train.epochs=1")
    with only_one(tmp_path / "runs/run"), pytest.raises(RunError) as caught:
        resume()
    assert str(caught.value) == (
        f"{tmp_path / 'runs/run'}: one process may train in a run's folder, but another one does. Wait for it, or choose another --name."
    )
    resume()


def test_a_name_that_is_taken_is_refused(train_tiny, tmp_path):
    train_tiny("train.epochs=1")
    with pytest.raises(RunError) as caught:
        train_tiny("train.epochs=1")
    assert str(caught.value) == (
        f"{tmp_path / 'runs/run'}: a new run needs a folder of its own, but a run is there already. Use --resume to continue it, or another --name."
    )


def test_numbered_folders_are_never_given_twice(tmp_path):
    (tmp_path / "a-2").write_text("a file")
    assert [Run.create(tmp_path / "a", numbered=True).name for _ in range(3)] == ["a", "a-3", "a-4"]


@pytest.mark.parametrize("name", ["a/b", "../a", "/abs", "", ".", "..", ".hidden", "-x", "a\nb", "a\0b", "x" * 101, "end.", "a\\b", "a:b"])
def test_what_is_no_name_of_a_folder_is_refused(name):
    with pytest.raises(ConfigError) as caught:
        checked_name(name)
    assert str(caught.value) == (
        f"--name: must be the name of a folder (at most 100 letters, digits and '_-+. ', beginning with a letter or digit), got {shown(name)}. "
        "Give the folder of all runs with --runs."
    )


@pytest.mark.parametrize("name", ["a", "Ratte 7", "über.1", "2026-01-01_x", "a+b"])
def test_names_of_folders_are_taken_as_they_are(name):
    assert checked_name(name) == name


@pytest.mark.parametrize(("data", "name"), [(["x/day.h5"], "day"), (["x/*.h5"], "x"), (["x/a.h5", "x/b.h5"], "x"), (["x/folder"], "folder")])
def test_a_run_is_named_after_its_data(data, name):
    assert default_name(data) == name


def test_a_runs_folder_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "runs").write_text("")
    for numbered in (False, True):
        with pytest.raises(RunError) as caught:
            Run.create(tmp_path / "runs/a", numbered=numbered)
        start, end = f"{tmp_path}/runs/a: the run's folder must be writable, got: ", ". Choose another with --runs."
        assert str(caught.value) in {f"{start}{why}{end}" for why in ("Not a directory", "File exists")}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_runs_folder_without_permission_is_a_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match=r"the run's folder must be writable, got: Permission denied\. Choose another with --runs\."):
        Run.create(tmp_path / "a")


@pytest.mark.long
def test_trainings_side_by_side_do_not_disturb_each_other(lfads, write_tiny, tiny_settings, end_state, tmp_path):
    data, sets = write_tiny(), [part for setting in tiny_settings for part in ("--set", setting)]
    processes = [lfads("run", data, *sets) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert end_state(tmp_path / "runs/tiny") == end_state(tmp_path / "runs/tiny-2")
