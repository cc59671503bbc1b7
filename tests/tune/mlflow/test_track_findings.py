"""What went wrong in a training is a run's description in MLflow."""

from __future__ import annotations

from lfads_plugins_tune.mlflow.records import NOTE, RunFiles, note_of


def test_what_a_run_found_wrong_becomes_the_description_of_its_record(train_tiny):
    run = train_tiny("train.epochs=2").run
    (record,) = RunFiles(run.path, "key").look("finished")
    texts = run.read_state()["findings"]
    assert texts
    assert record.tags[NOTE] == "\n\n".join(texts.values())


def test_a_run_without_findings_has_no_description():
    assert note_of({}) == note_of({"findings": {}}) == note_of({"findings": None}) == {}
