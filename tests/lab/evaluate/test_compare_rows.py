"""What a table of runs is made of: which folders are runs, settings that differ, scores of a run's own and of its evaluation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lfads_core.config.load import resolve
from lfads_core.config.yaml_io import dump
from lfads_core.errors import RunError
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_plugins_lab.evaluate.compare import compare_runs, find_runs, unlike_sessions


@pytest.fixture(scope="module")
def settings():
    """The text of a run's settings, by what differs from the defaults."""
    known = {}

    def text(*overrides):
        if overrides not in known:
            known[overrides] = dump(resolve([], [], list(overrides), load_registry()))
        return known[overrides]

    return text


@pytest.fixture
def make(tmp_path, settings):
    """``make("a/b", "optim.lr=0.1", log=..., best=(epoch, cost), sessions=..., scores=...)`` makes a run's folder without a training."""

    def run(name, *overrides, log=None, best=None, sessions=None, **state):
        made = Run.create(tmp_path / name)
        made.config_path.write_text(settings(*overrides))
        made.update_state(**state)
        if log is not None:
            made.fitlog.write_text(log)
        if best is not None:
            (made.checkpoints / "best.json").write_text(json.dumps({"state": {"progress": {"best": {"epoch": best[0], "cost": best[1]}}}}))
        if sessions is not None:
            (made.path / "evaluation.json").write_text(json.dumps({"sessions": sessions}))
        return made

    return run


def evaluated(scores=None, costs=None, share=None, **verdict):
    """One session of an evaluation."""
    return {"scores": scores or {}, "costs": costs or {}, "verdict": {"hidden_share": share, **verdict}}


def only(run):
    (row,) = compare_runs([run], load_registry())[1]
    return row


def test_runs_are_found_by_their_folders_and_by_folders_of_folders_each_once(make, tmp_path, monkeypatch):
    for name in ("all/b", "all/a", "all/search/best", "all/a/nested"):
        make(name)
    (tmp_path / "all" / "notes.txt").write_text("")
    (tmp_path / "all" / "empty").mkdir()
    everything = [tmp_path / "all" / name for name in ("a", "b", "search/best")]
    assert [run.path for run in find_runs([tmp_path / "all"])] == everything
    assert [run.path for run in find_runs([everything[0]])] == everything[:1]
    assert [run.path for run in find_runs([tmp_path / "all" / "search"])] == everything[2:]
    monkeypatch.chdir(tmp_path)
    assert [run.path for run in find_runs([Path("all/b"), *everything[:2], tmp_path / "all"])] == [Path("all/b"), everything[0], everything[2]]


@pytest.mark.parametrize("name", ["empty", "not there", "file"])
def test_what_holds_no_run_is_refused(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=re.escape(f"{tmp_path / name}: must be a run's folder, holding run.json")):
        find_runs([tmp_path / name])


def test_a_row_has_what_differs_and_what_came_of_it(make):
    log = "epoch,seconds\n0,1.5\n1,2.26\n2,\n"
    one = make(
        "one", "optim.lr=0.5", "validation.masked={}", log=log, best=(2, 0.25), status="finished", data=["x/mon.h5", "x/tue.h5"],
        scores={"valid/bps": 0.5, "valid/bps/mon": 0.25, "train/bps": 0.75, "loss/test": 1.0},
    )  # fmt: skip
    two = make("two", "train.epochs=7", data=["wed.h5"], log="epoch\n0\n", scores={"test/r2": 1, "valid/bps": 0.125})
    three = make("three", "train.epochs=7", status="running")
    columns, rows = compare_runs([one, two, three], load_registry())
    assert columns == [
        "run", "status", "data", "optim.lr", "train.epochs", "validation.masked", "epochs", "seconds", "best_epoch", "best_cost",
        "valid/bps", "test/r2",
    ]  # fmt: skip
    default = {"optim.lr": "default", "train.epochs": "default", "validation.masked": "default"}
    first = {
        "run": "one", "status": "finished", "data": "mon tue", **default, "optim.lr": "0.5", "validation.masked": "on", "epochs": 3, "seconds": 2.3,
        "best_epoch": 2, "best_cost": 0.25, "valid/bps": 0.5,
    }  # fmt: skip
    second = {"run": "two", "status": "", "data": "wed", **default, "train.epochs": "7", "epochs": 1, "test/r2": 1.0, "valid/bps": 0.125}
    assert rows == [first, second, {"run": "three", "status": "running", "data": "", **default, "train.epochs": "7"}]


def test_what_is_alike_in_all_runs_has_no_column(make):
    runs = [make(name, "optim.lr=0.5", data=[f"{name}/day.h5"]) for name in ("one", "two")]
    columns, rows = compare_runs(runs, load_registry())
    assert columns == ["run", "status", "epochs", "seconds", "best_epoch", "best_cost"]
    assert "optim.lr" not in rows[0]
    other = make("three", "optim.lr=0.5", data=["night.h5"])
    assert compare_runs([runs[0], other], load_registry())[0][:3] == ["run", "status", "data"]


def test_names_that_stand_twice_or_mean_the_best_of_a_search_have_the_folder_before_them(make):
    runs = [make(name) for name in ("x/same", "y/same", "y/other", "z/best")]
    assert [row["run"] for row in compare_runs(runs, load_registry())[1]] == ["x/same", "y/same", "other", "z/best"]


def test_scores_of_an_evaluation_are_means_over_its_sessions_and_do_not_replace_those_of_the_run(make):
    mon = evaluated(
        {"valid": {"LFADS": {"co_bps": 0.25, "bps": 0.9, "r2": None}, "smoothing": {"fp_bps": 1.0}}, "train": {"LFADS": {"psth_r2": 1.0}}},
        {"valid": {"all": 1.5}, "train": {"all": 9.0}}, share=0.5, unclear="too few",
    )  # fmt: skip
    tue = evaluated(
        {"valid": {"LFADS": {"co_bps": 0.75, "r2": 0.5}}, "test": {"LFADS": {"bps": 0.125}}},
        {"valid": {"all": 2.5}, "test": {"all": 4.0}},
        share=0.75,
    )
    wed = evaluated({"valid": {"smoothing": {"bps": 1.0}}}, share=0.5, unclear=None)
    row = only(make("run", sessions={"mon": mon, "tue": tue, "wed": wed}, scores={"valid/bps": 0.5}))
    assert {key: value for key, value in row.items() if key not in ("run", "status", "data")} == {
        "valid/bps": 0.5,
        "valid/co_bps": 0.5,
        "valid/nll": 2.0,
        "test/bps": 0.125,
        "test/nll": 4.0,
        "hidden_share": 0.625,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"sessions": {"a": {"scores": {}}}}', "KeyError: 'costs'"),
        ('{"sessions": {"a": {"scores": [], "costs": {}}}}', "AttributeError: 'list' object has no attribute 'get'"),
        ('{"sessions": {"a": 1}}', "TypeError: 'int' object is not subscriptable"),
        ("{}", "KeyError: 'sessions'"),
        ('{"sessions": 1}', "TypeError: 'int' object is not iterable"),
        ('{"sessions": ["a"]}', "ValueError: dictionary update sequence element #0 has length 1; 2 is required"),
        ("{", "RunError: "),
    ],
)
def test_an_evaluation_of_somebody_elses_is_named(make, text, said):
    run = make("run")
    (run.path / "evaluation.json").write_text(text)
    with pytest.raises(RunError) as caught:
        compare_runs([run], load_registry())
    beginning, end = f"{run.path / 'evaluation.json'}: must be what `lfads eval` writes, got something else ({said}", "). Make it anew."
    assert str(caught.value).startswith(beginning)
    assert str(caught.value).endswith(end if said == "RunError: " else said[-3:] + end)


def test_a_log_without_seconds_or_with_none_measured_has_epochs_alone(make):
    for name, log in (("a", "epoch,total\n0,1.0\n1,2.0\n"), ("b", "epoch,seconds\n0,\n1,nan\n")):
        row = only(make(name, log=log))
        assert row["epochs"] == 2
        assert not row.keys() & {"seconds", "best_epoch", "best_cost"}
    assert "epochs" not in only(make("c", best=(1, 0.5)))


def test_runs_of_unlike_sessions_are_told_with_their_sessions_in_order(make):
    of_both, of_one = {"valid/bps": 1.0, "valid/bps/tue": 1.0, "valid/bps/mon": 1.0}, {"valid/bps": 1.0, "valid/bps/mon": 1.0}
    several = [make(name, scores=of_both) for name in ("a", "b", "c", "d")]
    single = make("e", scores=of_one)
    assert unlike_sessions([*several, single]) == (
        "scores are means over a run's sessions, and these are not the same: a, b, c and 1 more of mon, tue; e of mon. "
        "Compare single sessions with `lfads eval`."
    )
    assert unlike_sessions(several) is None
    assert unlike_sessions([]) is None
    assert unlike_sessions([single, make("f", scores={"valid/bps/wed": 1.0})]) is None


def test_of_many_groups_of_sessions_three_are_told(make):
    def sentence(runs):
        return unlike_sessions(runs).partition("the same: ")[2].removesuffix(" Compare single sessions with `lfads eval`.")

    runs = [make(f"r{i}", scores={f"valid/bps/{name}": 1.0 for name in names}) for i, names in enumerate(("ab", "bc", "cd", "de"))]
    assert sentence(runs[:3]) == "r0 of a, b; r1 of b, c; r2 of c, d."
    assert sentence(runs) == "r0 of a, b; r1 of b, c; r2 of c, d; ...."


def test_sessions_are_those_of_scores_then_of_the_evaluation_then_of_outputs(make):
    def sessions_of(run):
        other = Run(run.path.parent / "other")
        return unlike_sessions([run, other]).partition(f"{run.name} of ")[2].partition(";")[0]

    make("other", scores={"valid/bps/x": 1.0, "valid/bps/y": 1.0})
    both = {"mon": evaluated(), "tue": evaluated()}
    scored = make("scored", scores={"valid/bps": 1.0, "valid/bps/thu/early": 1.0, "test/bps/fri": 1.0}, sessions=both)
    assert sessions_of(scored) == "fri, thu/early"
    one_score = make("judged", scores={"valid/bps": 1.0}, sessions=both)
    inferred = make("inferred")
    for run in (one_score, inferred):
        for name in ("sat", "sun"):
            run.output(name).write_bytes(b"")
    assert sessions_of(one_score) == "mon, tue"
    assert sessions_of(inferred) == "sat, sun"
    assert unlike_sessions([make("nothing"), Run(inferred.path.parent / "other")]) is None
