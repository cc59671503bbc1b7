"""A recording that somebody sent reads nothing but itself."""

from __future__ import annotations

import re
import zipfile

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.errors import DataError
from lfads_plugins_tune.bundle.outside import refuse_outside


def linked(file):
    file["x"] = h5py.ExternalLink("/etc/passwd", "y")


def linked_deep(file):
    file.create_group("group/inner")["x"] = h5py.ExternalLink("/etc/passwd", "y")


def external(file):
    file.create_dataset("x", (10,), "u1", external=[("/etc/passwd", 0, 10)])


def mapped(file):
    layout = h5py.VirtualLayout((10,), "u1")
    layout[...] = h5py.VirtualSource("/etc/passwd", "y", (10,))
    file.create_virtual_dataset("x", layout)


@pytest.mark.parametrize(
    ("lead", "what"),
    [
        (linked, "a link to /etc/passwd"),
        (linked_deep, "a link to /etc/passwd"),
        (external, "whose values are in /etc/passwd"),
        (mapped, "which is mapped from /etc/passwd"),
    ],
)
def test_a_recording_that_leads_out_of_its_file_is_refused(lead, what, write_tiny, tmp_path, monkeypatch):
    path = write_tiny()
    with h5py.File(path, "r+") as file:
        lead(file)
    text = f"{path}: everything must be in the file itself, got 'x', {what}. Write its values into the file."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        refuse_outside(path)
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("sent.zip", "w") as archive:
        archive.write(path, "tiny.h5")
    for source in ("tiny.h5", "sent.zip"):
        result = CliRunner().invoke(cli, ["bundle", source, "--search", "none"])
        assert (result.exit_code, result.output.count("\n")) == (2, 1)
        assert result.output.endswith(f"got 'x', {what}. Write its values into the file.\n")
    assert not (tmp_path / "autolfads.zip").exists()


def test_what_leads_to_the_file_itself_is_taken(write_tiny):
    path = write_tiny()
    with h5py.File(path, "r+") as file:
        file["again"] = file["/"]  # a group that holds itself
        file["soft"] = h5py.SoftLink("/train_encod_data")
        layout = h5py.VirtualLayout((12, 8, 5), np.float32)
        layout[...] = h5py.VirtualSource(file["train_encod_data"])
        file.create_virtual_dataset("mapped", layout)
    refuse_outside(path)
