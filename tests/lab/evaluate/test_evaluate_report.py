"""What a report becomes: JSON without NaN, numbers for trackers, a file and a notice of it; and which sessions go into it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest

from lfads_core.config.load import resolve
from lfads_core.infer.loading import LoadedRun
from lfads_core.plugins import load_registry
from lfads_core.plugins.registry import Registry
from lfads_core.runs import Run
from lfads_plugins_lab.evaluate import run as run_module
from lfads_plugins_lab.evaluate.costs import Costs
from lfads_plugins_lab.evaluate.cross_session import CrossSession
from lfads_plugins_lab.evaluate.few_shot import FewShot
from lfads_plugins_lab.evaluate.kept import KeptGain
from lfads_plugins_lab.evaluate.overfit import Verdict
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.evaluate.run import RunReport, SessionReport, evaluate_and_keep, evaluate_run, save_report

NO_VERDICT = Verdict(hidden_share=None, hidden_low=None, hidden_high=None, unclear="why", general_share=math.nan, warnings=("a", "b"))
KEPT = KeptGain(share=0.5, low=0.25, high=0.75, gain=1.5, gain_error=0.125)
NULLS = dict.fromkeys(("seen", "hidden", "heldout", "null_seen", "null_heldout"))


def costs(value, **more):
    return Costs(**{"all": value, **NULLS, **more})


def session(name, bps, **more):
    """Scores of two splits, one of which a baseline has predicted."""
    scores = {"valid": {"LFADS": {"bps": bps, "r2": 2 * bps}, "condition average": {"bps": 0.25}}, "test": {"LFADS": {"bps": 0.125}}}
    given = {"per_channel": {}, "verdict": NO_VERDICT, "baselines": {}, "lacking": {}, **more}
    return SessionReport(name=name, scores=scores, costs={"valid": costs(4 * bps)}, **given)


@pytest.fixture(scope="module")
def config():
    return resolve([], [], ["train.seed=3", "train.threads=2"], load_registry())


@pytest.fixture
def loaded(config, tmp_path):
    return Mock(spec=LoadedRun, run=Run.create(tmp_path / "a run"), checkpoint="epoch-7", config=config, registry=Mock(spec=Registry))


@pytest.fixture
def steps(monkeypatch):
    """What evaluating calls, each as a mock by its name."""

    def stand_in(name, **how):
        mock = Mock(**how)
        monkeypatch.setattr(run_module, name, mock)
        return mock

    made = [Mock(spec=Recorded) for _ in range(2)]
    for one, name in zip(made, ("mon", "tue"), strict=True):
        one.name = name
    return {
        "recorded_sessions": stand_in("recorded_sessions", return_value=made),
        "_session": stand_in("_session", side_effect=lambda *given: session(given[1].name, 0.5)),
        "left_out": stand_in("left_out", return_value=["wed is left out"]),
        "cross_sessions": stand_in("cross_sessions", return_value=CrossSession(sessions=["mon", "tue"], decoding=None, conditions=None)),
        "set_threads": stand_in("set_threads"),
        "made": made,
    }


def test_a_report_is_plain_json_without_infinity():
    first = session(
        "mon", 0.5, per_channel={"valid": {"bps": np.array([0.5, np.nan, -np.inf]), "r2": np.array([[1, 2]])}}, baselines={"x": {"width": 2}},
        lacking={"r2_truth": "no truth"}, few_shot=FewShot(trials=4, co_bps=np.float64(0.25)), dimensions=("x", "y"),
    )  # fmt: skip
    first.scores["valid"]["LFADS"]["single"] = np.float32(0.125)
    first = replace(first, costs={"valid": costs(1.0, hidden=math.inf, kept=KEPT)})
    table = CrossSession(sessions=["mon", "tue"], decoding=np.array([[0.25, np.nan], [1.0, 0.0]]), conditions=None, why_not=["no conditions"])
    found = RunReport(run="r", checkpoint="best", sessions=[first], cross=table, notes=("a note",)).plain()
    no_nulls = dict.fromkeys(("null_all", "null_hidden", "seen_hidden"))
    assert found == {
        "run": "r",
        "checkpoint": "best",
        "sessions": {
            "mon": {
                "scores": {
                    "valid": {"LFADS": {"bps": 0.5, "r2": 1.0, "single": 0.125}, "condition average": {"bps": 0.25}},
                    "test": {"LFADS": {"bps": 0.125}},
                },
                "per_channel": {"valid": {"bps": [0.5, None, None], "r2": [[1, 2]]}},
                "costs": {
                    "valid": {
                        "all": 1.0,
                        **NULLS,
                        **no_nulls,
                        "kept": {"share": 0.5, "low": 0.25, "high": 0.75, "gain": 1.5, "gain_error": 0.125},
                    }
                },
                "verdict": {
                    "hidden_share": None,
                    "hidden_low": None,
                    "hidden_high": None,
                    "unclear": "why",
                    "general_share": None,
                    "warnings": ["a", "b"],
                },
                "baselines": {"x": {"width": 2}},
                "lacking": {"r2_truth": "no truth"},
                "few_shot": {"trials": 4, "co_bps": 0.25, "spread": None, "penalty": None, "why_not": ""},
                "dimensions": ["x", "y"],
            }
        },
        "cross_session": {"sessions": ["mon", "tue"], "decoding": [[0.25, None], [1.0, 0.0]], "conditions": None, "why_not": ["no conditions"]},
        "notes": ["a note"],
    }
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert RunReport(run="r", checkpoint="best", sessions=[]).plain() == {
        "run": "r", "checkpoint": "best", "sessions": {}, "cross_session": None, "notes": [],
    }  # fmt: skip


def test_numbers_name_who_predicted_the_split_and_of_several_sessions_which():
    one = {"eval/valid/bps": 0.5, "eval/valid/r2": 1.0, "eval/condition average/valid/bps": 0.25, "eval/test/bps": 0.125, "eval/valid/nll": 2.0}
    assert RunReport(run="r", checkpoint="best", sessions=[session("mon", 0.5)]).numbers() == one
    both = RunReport(run="r", checkpoint="best", sessions=[session("mon", 0.5), session("tue", 1.0)]).numbers()
    other = {"eval/valid/bps": 1.0, "eval/valid/r2": 2.0, "eval/condition average/valid/bps": 0.25, "eval/test/bps": 0.125, "eval/valid/nll": 4.0}
    assert both == {**{f"{key}/mon": value for key, value in one.items()}, **{f"{key}/tue": value for key, value in other.items()}}


def test_all_sessions_are_evaluated_one_after_another_and_what_is_left_out_is_noted(loaded, steps):
    said = []
    found = evaluate_run(loaded, shots=4, say=said.append)
    assert said == ["evaluating mon", "evaluating tue"]
    steps["recorded_sessions"].assert_called_once_with(loaded, ())
    assert [call.args for call in steps["_session"].call_args_list] == [(loaded, one, 4) for one in steps["made"]]
    steps["left_out"].assert_called_once_with(loaded, steps["made"])
    steps["cross_sessions"].assert_called_once_with(steps["made"])
    assert (found.run, found.checkpoint, found.notes) == ("a run", "epoch-7", ["wed is left out"])
    assert [one.name for one in found.sessions] == ["mon", "tue"]
    assert found.cross.sessions == ["mon", "tue"]


def test_of_sessions_that_are_named_nothing_is_left_out_and_nothing_kept(loaded, steps):
    found = evaluate_and_keep(loaded, ["mon"])
    steps["recorded_sessions"].assert_called_once_with(loaded, ["mon"])
    assert [call.args[2] for call in steps["_session"].call_args_list] == [None, None]
    assert found.notes == []
    assert not (loaded.run.path / "evaluation.json").exists()
    loaded.registry.notify.assert_not_called()


def test_a_report_of_all_sessions_is_written_and_told(loaded, steps, config):
    said = []
    found = evaluate_and_keep(loaded, shots=3, say=said.append)
    steps["set_threads"].assert_called_once_with(config.train)
    assert said == ["evaluating mon", "evaluating tue"]
    assert steps["_session"].call_args.args[2] == 3
    path = loaded.run.path / "evaluation.json"
    assert json.loads(path.read_text()) == found.plain()
    loaded.registry.notify.assert_called_once_with("lfads_run_evaluated", run=loaded.run, config=config, numbers=found.numbers(), files=[path])
    path.unlink()
    save_report(loaded, found)
    assert json.loads(path.read_text()) == found.plain()
