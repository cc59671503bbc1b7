"""What is found out after a run has ended reaches its MLflow run, and never costs the numbers themselves."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.errors import RunError
from lfads_core.locks import only_one
from lfads_core.runs import Run, run_or_best
from lfads_plugins_tune.mlflow.store import store_of
from lfads_plugins_tune.mlflow.tracker import record_evaluation, sync


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
    assert record_evaluation(run, {"a": 1.0}, []) is False
    assert not store_of(run.path.parent).exists
    assert [message for message in caplog.messages if message.startswith("MLflow")] == []


def test_a_store_that_cannot_be_written_is_one_warning(train_tiny, caplog):
    run = train_tiny().run
    run.update_state(mlflow_key="k")
    database = store_of(run.path.parent).database
    database.write_text("no database at all")
    assert record_evaluation(run, {"a": 1.0}, []) is False
    (message,) = [message for message in caplog.messages if message.startswith("MLflow")]
    assert message == (
        f"MLflow: the evaluation could not be added ({database} is damaged (file is not a database); move it away, and the next run makes a new "
        f"one); evaluation.json has it. Later: lfads ui --sync {run.path}"
    )
    assert run.read_state()["evaluated"] == {"numbers": {"a": 1.0}, "files": []}


def test_only_what_is_there_and_at_rest_is_brought_up(train_tiny, tmp_path):
    with pytest.raises(RunError, match=r"must be a run's folder, holding run\.json, got nothing"):
        sync(tmp_path / "nowhere")
    run = train_tiny().run
    with only_one(run.path), pytest.raises(RunError, match="one process may train in a run's folder"):
        sync(run.path)


def test_what_cannot_be_brought_up_is_an_error_with_the_way_to_mend_it(train_tiny):
    run = train_tiny().run
    database = store_of(run.path.parent).database
    database.write_text("no database at all")
    result = CliRunner().invoke(cli, ["ui", "--sync", str(run.path)])
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: {run.path}: must be written to MLflow, got: {database} is damaged (file is not a database); move it away, and the next run makes a "
        f"new one. Mend it, then: lfads ui --sync {run.path}\n"
    )


def test_the_folder_of_a_search_stands_for_its_best_model(tmp_path):
    best = Run(tmp_path / "search" / "best")
    best.path.mkdir(parents=True)
    assert run_or_best(tmp_path / "search") == tmp_path / "search"
    best.update_state(status="finished")
    assert run_or_best(tmp_path / "search") == best.path
    assert run_or_best(best.path) == best.path
