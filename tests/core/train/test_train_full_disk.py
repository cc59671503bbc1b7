"""A disk that fills up ends a training with one line; what was saved stands, and goes on once there is room."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from lfads_core.errors import RunError
from lfads_core.infer import outputs


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / "runs"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave a few kilobytes."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(file.tell() - 8192)
    return path


@pytest.mark.long
def test_a_full_disk_is_one_line_and_the_checkpoint_before_goes_on(small_disk, train_tiny, resume, end_state):
    from lfads_core.runs import Run

    train_tiny("train.epochs=8", name="whole")
    whole = end_state(small_disk / "whole")
    shutil.rmtree(small_disk / "whole")
    train_tiny("train.epochs=4")
    filler = fill(small_disk)
    with pytest.raises(RunError) as caught:
        resume("train.epochs=8")
    text = str(caught.value)
    assert text.startswith(f"{small_disk}/run/")
    assert text.endswith(": must be written in full, got: No space left on device. Make room or mend the folder; what was there before is untouched.")
    filler.unlink()
    resume("train.epochs=8")
    assert end_state(small_disk / "run") == whole
    assert Run(small_disk / "run").read_state()["status"] == "finished"
    assert not list((small_disk / "run").rglob(".*.tmp"))


@pytest.fixture
def no_room(monkeypatch):
    """Let writing the named files fail as on a full disk."""

    def arm(part):
        write = Path.write_bytes

        def failing(self, content):
            if part in self.name:
                write(self, bytes(content)[:10])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(self, content)

        monkeypatch.setattr(Path, "write_bytes", failing)

    return arm


def test_the_command_ends_with_the_sentence_and_exit_code_2(no_room, write_tiny, tiny_settings, tmp_path):
    from click.testing import CliRunner

    from lfads_core.cli.main import cli

    no_room("last-000002")
    sets = [part for setting in tiny_settings for part in ("--set", setting)]
    done = CliRunner().invoke(cli, ["run", str(write_tiny()), "--runs", str(tmp_path / "runs"), "--name", "run", *sets])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/runs/run/checkpoints/last-000002-000000-")
    assert line.endswith(
        ".pt: must be written in full, got: No space left on device. Make room or mend the folder; what was there before is untouched."
    )


@pytest.mark.long
@pytest.mark.parametrize("part", ["last-000003", "last.json", "best-0000", "config.yaml", "run.json"])
def test_what_is_on_disk_stands_whatever_could_not_be_written(part, no_room, train_tiny, resume, end_state, tmp_path, monkeypatch):
    train_tiny("train.epochs=4", name="whole")
    train_tiny("train.epochs=2")
    with monkeypatch.context():
        no_room(part)
        with pytest.raises(RunError, match="must be written in full, got: No space left on device"):
            resume("train.epochs=4")
        monkeypatch.undo()
    resume("train.epochs=4")
    assert end_state(tmp_path / "runs/whole") == end_state(tmp_path / "runs/run")


def test_outputs_that_do_not_fit_are_a_sentence(small_disk, train_tiny, resume, monkeypatch):
    train_tiny("train.epochs=1")
    kept = small_disk / "run/lfads_output_tiny.h5"
    before = kept.read_bytes()
    new = outputs._new

    def big(file, key, *rest):
        file.create_dataset(f"{key}_big", data=np.zeros(500_000))
        return new(file, key, *rest)

    monkeypatch.setattr(outputs, "_new", big)
    with pytest.raises(RunError) as caught:
        resume()
    text = str(caught.value)
    assert text.startswith(f"{kept}: must be written in full, got: ")
    assert text.endswith(" Make room or mend the folder; what was there before is untouched.")
    assert kept.read_bytes() == before
    assert not list((small_disk / "run").glob(".*.tmp"))
