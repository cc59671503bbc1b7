"""Outputs of a run that were damaged later: every reader of them says so in a sentence, whatever HDF5 itself would do."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import lfads_core
from heaps_of_texts import endless
from lfads_core.cli.main import cli
from lfads_core.config.trained import settings_of_run
from lfads_core.errors import DataError
from lfads_core.infer.findings import findings
from lfads_core.infer.made_with import made_with
from lfads_plugins_lab.front.labelled import results
from lfads_plugins_std.reports import curves_of, render_trials

DAMAGE = {
    "cut": lambda content: content[: len(content) // 2],
    "blank": lambda content: content[:0],
    "endless": endless,
}


@pytest.fixture
def loaded(train_tiny, write_tiny):
    """A run whose outputs carry names of channels, which HDF5 keeps in a heap."""
    names = [f"unit {i}" for i in range(5)]
    return lfads_core.load(train_tiny("train.epochs=1", data=write_tiny(channel_names=names)).run.path)


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_reads_damaged_outputs_says_which_file_it_is_and_what_to_do(loaded, kind, tmp_path):
    run = loaded.run
    path = run.output(loaded.description.sessions[0].name)
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    readers = {
        "outputs": loaded.outputs,
        "attributes": loaded.output_attributes,
        "findings": lambda: findings(run, settings_of_run(run, (), loaded.registry), {}),
        "curves": lambda: curves_of(run),
        "trials": lambda: render_trials(run, tmp_path),
        "labelled": lambda: results(path),
    }
    for name, reader in readers.items():
        with pytest.raises(DataError) as err:
            reader()
        assert str(err.value).startswith(f"{path}: "), name
        assert str(err.value).endswith((" again.", " again with `lfads infer`.", "a plugin that reads it.")), name
    assert made_with(path) == ""


@pytest.mark.parametrize("verb", ["report", "eval", "export"])
def test_commands_that_read_a_damaged_heap_of_outputs_end_with_one_line(loaded, verb, tmp_path):
    path = loaded.run.output(loaded.description.sessions[0].name)
    path.write_bytes(endless(path.read_bytes()))
    more = {"export": ["--h5", str(tmp_path / "all.h5")]}.get(verb, [])
    done = CliRunner().invoke(cli, [verb, str(loaded.run.path), *more])
    assert CliRunner().invoke(cli, ["compare", str(loaded.run.path)]).exit_code == 0  # which reads no outputs
    assert done.exit_code == 2
    assert f"{path}: must be a readable HDF5 file, but its heap of texts is damaged at byte" in done.output
