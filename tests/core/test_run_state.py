"""``run.json`` may have been edited or damaged: what it holds is asked for its type when it is read, however deep it stands."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.errors import RunError
from lfads_core.pipeline.follow import first_followed
from lfads_core.runs import _KEYS, Run
from lfads_core.wording import shown

BY = {"kind": "prior", "name": "normal", "distribution": "lfads-plugins-std", "version": "0.1.0", "needed": True}
DISTANCES = {"name": "wasserstein", "to": ["monday"], "before": {"tuesday": 1.0}, "within": {"tuesday": 2}}

GOOD = {
    "status": "finished",
    "data": ["a.h5"],
    "epochs": 3,
    "scores": {"valid/bps": 0.5, "valid/r2": 1},
    "versions": {"torch": "2.13.0"},
    "mlflow_key": "ab",
    "search": {"folder": "x", "member": 2, "score": 0.25, "more": [1]},
    "outcome": "patience",
    "plugins": [BY, {**BY, "more": 1}],
    "adapted_from": {"run": "runs/a", "checkpoint": "best"},
    "alignment": DISTANCES | {"left": {"tuesday": 0.5}},
    "findings": {"a": "b"},
    "threads": 2,
    "evaluated": {"numbers": {"a": 1.0}, "files": ["a.png"]},
}
WRONG = {
    "status": [1, None, ["finished"]],
    "data": ["a.h5", [1], {"a": "b"}, None],
    "epochs": ["3", 2.5, True],
    "scores": [{"valid/bps": "0.5"}, {"valid/bps": None}, [0.5], "good"],
    "versions": [{"torch": 2.13}, ["torch"]],
    "mlflow_key": [3, {}],
    "search": [[], {"member": "2"}, {"member": None}, {"folder": 3}, {"score": "good"}],
    "outcome": [0, ["patience"]],
    "plugins": [{}, [{}], [BY, "normal"], [{key: BY[key] for key in BY if key != "kind"}], [BY | {"name": 3}], [BY | {"needed": 1}], "normal"],
    "adapted_from": ["runs/a", {}, {"run": "runs/a"}, {"run": 3, "checkpoint": "best"}],
    "alignment": [{}, DISTANCES | {"to": "monday"}, DISTANCES | {"before": {"tuesday": "far"}}, DISTANCES | {"within": [2]}],
    "findings": [{"a": 1}, ["a"], "a"],
    "threads": ["2", None, 1.5],
    "evaluated": [[], {"numbers": {"a": "1"}}, {"files": "a.png"}, {"files": [1]}],
}


@pytest.fixture
def written(tmp_path):
    def put(**state):
        run = Run(tmp_path)
        run.state_path.write_text(json.dumps(state), encoding="utf-8")
        return run

    return put


def test_what_is_of_its_type_is_read_as_it_stands(written):
    assert GOOD.keys() == WRONG.keys() == _KEYS.keys()
    assert written(**GOOD, new=[None]).read_state() == {**GOOD, "new": [None]}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_what_is_of_another_type_is_named(written, key, value):
    run = written(**GOOD | {key: value})
    with pytest.raises(RunError) as caught:
        run.read_state()
    assert str(caught.value) == f"{run.state_path}: '{key}' must be {_KEYS[key][1]}, got {shown(value)}. Restore it, or train again."


@pytest.mark.parametrize("verb", ["infer", "eval", "report", "compare", "run --resume"])
def test_commands_end_with_that_sentence(train_tiny, verb):
    run = train_tiny("train.epochs=1").run
    state = json.loads(run.state_path.read_text(encoding="utf-8"))
    run.state_path.write_text(json.dumps(state | {"plugins": [*state["plugins"], {}]}), encoding="utf-8")
    done = CliRunner().invoke(cli, [*verb.split(), str(run.path)])
    assert done.exit_code == 2
    assert f"{run.state_path}: 'plugins' must be " in done.stderr
    assert "Traceback" not in done.output


def test_days_that_follow_each_other_in_a_circle_are_told(tmp_path):
    runs = [Run(tmp_path / name) for name in ("monday", "tuesday")]
    for run, parent in zip(runs, runs[::-1], strict=True):
        run.path.mkdir()
        run.config_path.write_text("{}", encoding="utf-8")
        state = {"alignment": DISTANCES, "adapted_from": {"run": str(parent.path), "checkpoint": "best"}}
        run.state_path.write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(RunError, match="'adapted_from' must end with a run that follows none, got a circle"):
        first_followed(runs[0])
    runs[1].state_path.write_text(json.dumps({"alignment": DISTANCES}), encoding="utf-8")
    with pytest.raises(RunError, match=r"tuesday/run\.json: 'adapted_from' must be the parent's run and checkpoint, got none"):
        first_followed(runs[0])
