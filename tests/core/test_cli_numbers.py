"""Numbers on the command line: what is none, or beyond any use, is refused before anything is done."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import Mock

import click
import pytest
from click.testing import CliRunner

from lfads_core.cli.options import Number
from lfads_core.cli.reference import command_contexts
from lfads_core.config.fields import size_faults
from lfads_core.errors import ConfigError, DataError, RunError
from lfads_core.files import replacing
from lfads_core.infer.posterior import draw_samples
from lfads_core.infer.run import infer_to_file
from lfads_core.model.lfads import LFADS
from lfads_plugins_lab.recordings.counts import widening


def test_every_option_that_takes_a_number_takes_a_finite_one():
    """Where a window begins and ends has no bounds, and is looked at with the rest of the window."""
    numbers = {
        f"{context.command_path} {option.opts[-1]}": option.type
        for context in command_contexts()
        for option in context.command.params
        if isinstance(option.type, click.types.FloatParamType)
    }
    assert "lfads run --minutes" in numbers
    others = {name for name, kind in numbers.items() if not isinstance(kind, Number)}
    assert {name.rpartition(" ")[2] for name in others} == {"--before", "--after"}


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1" + "0" * 400])
def test_what_is_no_finite_number_is_refused_within_any_bounds(text):
    for kind in (Number(min=0), Number(max=5), Number(0, 1, min_open=True)):
        command = click.Command("x", params=[click.Option(["--at"], type=kind)], callback=lambda at: at)
        result = CliRunner().invoke(command, ["--at", text])
        assert result.exit_code == 2
        assert "is not a finite number" in result.output or "is not in the range" in result.output
    assert (
        CliRunner().invoke(click.Command("x", params=[click.Option(["--at"], type=Number(min=0))], callback=lambda at: at), ["--at", "2.5"]).exit_code
        == 0
    )


def test_more_samples_than_anybody_needs_are_refused_before_a_file_is_written(tmp_path):
    for samples, said in ((100_001, "100001"), (10**5000, "a very long number")):
        text = f"samples: must be at most 100,000 of each trial, got {said}. Ask for less."
        with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
            next(draw_samples(Mock(spec=LFADS), {}, samples, 0))
        with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
            infer_to_file(Mock(), Mock(), tmp_path / "out.h5", samples=samples, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_sizes_beyond_any_float_are_told_in_a_sentence():
    assert size_faults("trials", 10**400, 3) == ["trials: must be at most 50,000,000 together, got 1e+300. Ask for less."]


@pytest.mark.parametrize("want", [float("inf"), float("nan"), 2.5, 1.0])
def test_bins_that_are_no_whole_multiple_are_refused_with_a_choice(want):
    text = f"a.h5: new bins must be whole multiples of the 2 ms that are there, got {want:g} ms. Choose 2."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        widening(2.0, want, "a.h5")


@pytest.mark.parametrize("path", ["", "."])
def test_a_file_without_a_name_is_refused(path):
    with pytest.raises(RunError, match=r"^\.: a file to write must have a name, got a folder\. Name the file\.$"), replacing(Path(path)):
        raise AssertionError
