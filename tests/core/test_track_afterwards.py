"""What is found out after a run has ended reaches its MLflow run, and never costs the numbers themselves."""

from __future__ import annotations

import pytest

from lfads_core.infer.loading import load
from lfads_core.runs import Run, run_or_best
from lfads_core.track.afterwards import record_afterwards
from lfads_core.track.store import store_of


@pytest.mark.slow
def test_metrics_and_files_are_added_and_the_run_stays_as_it_ended(train_tiny, tmp_path):
    from mlflow.tracking import MlflowClient

    run = train_tiny("track.mlflow=true").run
    config = load(run.path).config
    client = MlflowClient(tracking_uri=store_of(run.path.parent).uri)
    experiment = client.get_experiment_by_name(config.track.experiment)
    (before,) = client.search_runs([experiment.experiment_id])
    path = run.path / "evaluation.json"
    path.write_text("{}\n")
    assert record_afterwards(run, config, {"eval/valid/co_bps": 0.25, "eval/valid/lost": float("nan")}, [path])
    after = client.get_run(before.info.run_id)
    assert {name: value for name, value in after.data.metrics.items() if name.startswith("eval/")} == {"eval/valid/co_bps": 0.25}
    assert [point.step for point in client.get_metric_history(before.info.run_id, "eval/valid/co_bps")] == [5]
    assert "evaluation.json" in [item.path for item in client.list_artifacts(before.info.run_id)]
    assert (after.info.status, after.info.end_time) == (before.info.status, before.info.end_time)


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
