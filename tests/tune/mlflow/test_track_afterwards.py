"""What is found out after a run has ended reaches its MLflow run, and never costs the numbers themselves."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest

from lfads_core.infer.loading import load
from lfads_core.runs import Run, run_or_best
from lfads_plugins_tune.mlflow.afterwards import record_afterwards
from lfads_plugins_tune.mlflow.store import store_of


@pytest.mark.slow
def test_metrics_and_files_are_added_and_the_run_stays_as_it_ended(lfads, write_tiny, tiny_settings, tmp_path):
    """MLflow stays in processes of its own: what it imports changes how plugins are found."""

    def done(*arguments):
        process = lfads(*arguments, without=("matplotlib",))
        output = process.communicate()[0]
        assert process.returncode == 0, output

    def ask(query):
        with contextlib.closing(sqlite3.connect(tmp_path / "runs" / "mlflow.db")) as database:
            return database.execute(query).fetchall()

    wanted = [text for text in tiny_settings if not text.startswith("track")]
    done("run", write_tiny(), *(part for text in wanted for part in ("--set", text)))
    before = ask("select run_uuid, status, end_time from runs")
    assert len(before) == 1
    done("eval", "runs/tiny")
    assert ask("select run_uuid, status, end_time from runs") == before
    scores = json.loads((tmp_path / "runs/tiny/evaluation.json").read_text())["sessions"]["tiny"]["scores"]["valid"]
    assert ask("select value, step from metrics where key = 'eval/valid/bps'") == [(pytest.approx(scores["LFADS"]["bps"]), 5)]
    assert len(list((tmp_path / "runs" / "mlartifacts").rglob("evaluation.json"))) == 1


def test_a_run_that_was_not_tracked_is_left_alone(train_tiny, caplog):
    run = train_tiny().run
    assert record_afterwards(run, load(run.path).config, {"a": 1.0}, []) is False
    assert not store_of(run.path.parent).exists
    assert [message for message in caplog.messages if message.startswith("MLflow")] == []


def test_a_store_that_cannot_be_written_is_one_warning(train_tiny, caplog):
    run = train_tiny().run
    run.update_state(mlflow_key="k")
    database = store_of(run.path.parent).database
    database.write_text("no database at all")
    assert record_afterwards(run, load(run.path).config, {"a": 1.0}, []) is False
    (message,) = [message for message in caplog.messages if message.startswith("MLflow")]
    assert message == (
        f"MLflow: the evaluation could not be added ({database} is damaged (file is not a database); move it away, and the next run makes a new "
        "one); evaluation.json has it."
    )


def test_the_folder_of_a_search_stands_for_its_best_model(tmp_path):
    best = Run(tmp_path / "search" / "best")
    best.path.mkdir(parents=True)
    assert run_or_best(tmp_path / "search") == tmp_path / "search"
    best.update_state(status="finished")
    assert run_or_best(tmp_path / "search") == best.path
    assert run_or_best(best.path) == best.path
