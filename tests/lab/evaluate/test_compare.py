"""Runs side by side: a search stands for its best, costs of unlike judges are kept apart, numbers are rounded where people read them."""

from __future__ import annotations

import csv
import io
import json

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.config.load import resolve
from lfads_core.config.yaml_io import dump
from lfads_core.plugins import load_registry
from lfads_core.runs import Run


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of runs by name, the costs they were judged by, and what by."""

    def make(**runs):
        registry = load_registry()
        for name, (cost, settings) in runs.items():
            run = Run.create(tmp_path / name.replace("__", "/"))
            run.config_path.write_text(dump(resolve([], [], settings, registry)))
            run.update_state(status="finished", data=["day.h5"], scores={"valid/bps": 0.123456789})
            best = {"state": {"progress": {"best": {"epoch": 7, "cost": cost}}}}
            (run.checkpoints / "best.json").write_text(json.dumps(best))
            run.fitlog.write_text("epoch,seconds\n0,1.5\n")
        return tmp_path

    return make


def compared(*arguments):
    done = CliRunner().invoke(cli, ["compare", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.stdout


def table(folder):
    return list(csv.DictReader(io.StringIO(compared(folder, "--csv"))))


def test_the_best_of_a_search_is_among_the_runs_of_a_folder_and_its_members_are_not(folder):
    made = folder(one=(1.0, []), search__best=(0.5, []), search__members__000=(0.7, []), two=(2.0, []))
    (made / "search" / "search.json").write_text("{}")
    (made / "notes").mkdir()
    assert [(row["run"], row["best_cost"]) for row in table(made)] == [("one", "1.0"), ("search/best", "0.5"), ("two", "2.0")]


def test_costs_of_unlike_judges_never_stand_in_one_row(folder):
    held = ["validation.judge=heldout", "data.hold_out.fraction=0.25"]
    rows = table(folder(one=(1.25, []), three=(0.75, []), two=(3.5, held)))
    assert [row["best_cost (recon)"] for row in rows] == ["1.25", "0.75", ""]
    assert [row["best_cost (heldout)"] for row in rows] == ["", "", "3.5"]
    assert "best_cost" not in rows[0]


def test_people_read_rounded_numbers_and_files_have_them_whole(folder):
    made = folder(one=(1.23456789, ["optim.lr=0.0012345678901"]), two=(2.0, ["optim.lr=0.00234"]))
    shown = compared(made)
    assert "0.001235" in shown
    assert "0.0012345" not in shown
    assert "0.00234" in shown
    assert "1.2346" in shown
    assert "0.1235" in shown
    assert table(made)[0]["optim.lr"] == "0.0012345678901"
    assert table(made)[0]["best_cost"] == "1.23456789"
