"""The trace of a few steps: valid, with the names of a step's parts, and no other numbers."""

from __future__ import annotations

import json

from click.testing import CliRunner

import lfads_core
from lfads_core.cli.main import cli
from lfads_core.train.profile import SPANS, STEPS


def run(tmp_path, data, settings, name, *more):
    overrides = [part for text in settings for part in ("--set", text)]
    done = CliRunner().invoke(cli, ["run", str(data), *overrides, "--runs", str(tmp_path / "runs"), "--name", name, *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return tmp_path / "runs" / name


def test_a_profiled_run_writes_a_trace_with_every_part_of_a_step_and_the_same_numbers(tmp_path, write_tiny, tiny_settings):
    data = write_tiny()
    plain = run(tmp_path, data, tiny_settings, "plain")
    profiled = run(tmp_path, data, tiny_settings, "profiled", "--profile")
    assert not (plain / "profile.json").exists()
    events = json.loads((profiled / "profile.json").read_text())["traceEvents"]
    for span in SPANS:
        assert sum(event.get("name") == span and event.get("cat") == "user_annotation" for event in events) == STEPS, span
    logs = [lfads_core.load(path).columns() for path in (plain, profiled)]
    assert logs[0]["train/total"] == logs[1]["train/total"]


def test_a_training_shorter_than_the_trace_writes_what_there_was(tmp_path, write_tiny, tiny_settings):
    profiled = run(tmp_path, write_tiny(), tiny_settings, "short", "--profile", "--set", "train.epochs=1")
    events = json.loads((profiled / "profile.json").read_text())["traceEvents"]
    assert sum(event.get("name") == "lfads: backward" for event in events) == 2
