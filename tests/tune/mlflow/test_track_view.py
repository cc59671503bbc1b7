"""A prepared view is a tag that MLflow's page can read: a name, and its own state, compressed."""

from __future__ import annotations

import base64
import json
import zlib

from lfads_plugins_tune.mlflow.view import LONGEST_TAG, View, experiment_tag, view_address

VIEW = View(
    name="pbt-lorenz",
    key="k",
    runs="tags.`lfads.search` = 'pbt-lorenz'",
    table=["score", "hp/lr", "tag lfads.best"],
    charts={"Search": ["score"], "Hyperparameters": ["hp/lr", "hp/dropout"]},
    logarithmic=["hp/lr"],
    parallel=["hp/lr", "hp/dropout", "score"],
    time=1_700_000_000_000,
)


def state_of(value: str) -> dict:
    packed = json.loads(value)["state"]
    assert packed.startswith("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed.removeprefix("deflate;"))))


def test_the_tag_names_the_view_and_holds_the_state_of_the_page():
    name, value = experiment_tag(VIEW, "parent")
    assert name == "mlflow.sharedViewState.lfads-k"
    assert {key: item for key, item in json.loads(value).items() if key != "state"} == {
        "name": "pbt-lorenz",
        "createdAt": 1_700_000_000_000,
        "updatedAt": 1_700_000_000_000,
    }
    state = state_of(value)
    assert state["searchFilter"] == "tags.`lfads.search` = 'pbt-lorenz'"
    assert state["selectedColumns"] == ["metrics.`score`", "metrics.`hp/lr`", "tags.`lfads.best`"]
    assert state["orderByKey"] == "metrics.`score`"
    assert state["runsExpanded"] == {"parent": True}
    assert state["runsHiddenMode"] == "SHOW_ALL"


def test_each_section_has_its_charts_and_the_wide_one_comes_second():
    state = state_of(experiment_tag(VIEW, "parent")[1])
    sections = [(section["name"], section["columns"]) for section in state["compareRunSections"]]
    assert sections == [("Search", 1), ("Score against hyperparameters, at the end", 1), ("Hyperparameters", 2)]
    lines = [(chart["metricSectionId"], chart["metricKey"], chart["scaleType"]) for chart in state["compareRunCharts"] if chart["type"] == "LINE"]
    assert lines == [("Search", "score", "linear"), ("Hyperparameters", "hp/lr", "log"), ("Hyperparameters", "hp/dropout", "linear")]
    (parallel,) = [chart for chart in state["compareRunCharts"] if chart["type"] == "PARALLEL"]
    assert parallel["selectedMetrics"] == ["hp/lr", "hp/dropout", "score"]
    assert len({chart["uuid"] for chart in state["compareRunCharts"]}) == len(state["compareRunCharts"])


def test_forty_hyperparameters_fit_into_a_tag_and_what_does_not_fit_is_left_out():
    def with_names(count: int, length: int) -> View:
        names = [f"hp/{'x' * length}{i * 7919 % 9973}" for i in range(count)]
        return View(name="n", key="k", runs="", table=names, charts={"a": names}, logarithmic=[], parallel=names, time=0)

    _, value = experiment_tag(with_names(40, 20), "parent")
    assert len(value) <= LONGEST_TAG
    assert experiment_tag(with_names(1500, 100), "parent") is None


def test_the_address_opens_the_charts():
    assert view_address("http://127.0.0.1:5000", "1", "lfads-k") == (
        "http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=lfads-k&compareRunsMode=CHART&workflowType=machine_learning"
    )
