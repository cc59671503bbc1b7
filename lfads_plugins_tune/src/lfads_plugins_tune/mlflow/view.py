"""The view of MLflow's pages that is prepared for a search: its runs, the columns that matter, and its charts, in one click.

MLflow keeps a view as a tag of the experiment: a name and the page's own state, compressed. The page offers it under
*Views*, and opens with it when its key stands in the address.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TAG = "mlflow.sharedViewState."
KEY = "lfads-"
"""What begins the keys of our views, which tells them from those that people save."""

LONGEST_TAG = 5000
"""MLflow's limit, in characters."""

_COLUMN_WIDTH = 150
_MOST_COLUMNS = 3
_CARD_HEIGHT = 360
_PARALLEL = "Score against hyperparameters, at the end"


@dataclass(frozen=True, kw_only=True)
class View:
    """What a view shows; plain values only, because it travels as JSON."""

    name: str
    key: str
    runs: str  # MLflow's filter
    table: Sequence[str]  # metrics and, after "tag ", tags that have a column
    charts: Mapping[str, Sequence[str]]  # section -> metrics, each a line chart
    logarithmic: Sequence[str]  # those on a logarithmic axis
    parallel: Sequence[str]  # axes of the chart of parallel coordinates, which has a section of its own
    time: int  # milliseconds since 1970


def experiment_tag(view: View, expanded: str) -> tuple[str, str] | None:
    """Name and value of the tag that holds a view; the run with the id ``expanded`` shows its members. None if it would be too long."""
    state = json.dumps(_state(view, expanded), separators=(",", ":"))
    packed = "deflate;" + base64.b64encode(zlib.compress(state.encode(), 9)).decode()
    value = json.dumps({"name": view.name, "createdAt": view.time, "updatedAt": view.time, "state": packed})
    return (TAG + KEY + view.key, value) if len(value) <= LONGEST_TAG else None


def view_address(url: str, experiment: str, key: str) -> str:
    """Where a server shows a view, charts first."""
    return f"{url}/#/experiments/{experiment}/runs?viewStateShareKey={key}&compareRunsMode=CHART&workflowType=machine_learning"


def _state(view: View, expanded: str) -> dict[str, Any]:
    columns = [f"tags.`{name.removeprefix('tag ')}`" if name.startswith("tag ") else f"metrics.`{name}`" for name in view.table]
    charts = [_line(name, section, name in view.logarithmic) for section, names in view.charts.items() for name in names]
    parallel = _chart("PARALLEL", _PARALLEL, selectedParams=[], selectedMetrics=list(view.parallel), showAllRuns=False)
    sections = [_section(name, min(len(names), _MOST_COLUMNS)) for name, names in view.charts.items()]
    sections.insert(1, _section(_PARALLEL, 1))
    return {
        "searchFilter": view.runs,
        "orderByKey": columns[0],
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": [],
        "columnWidths": dict.fromkeys(columns, _COLUMN_WIDTH),
        "runsExpanded": {expanded: True},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOW_ALL",  # MLflow itself draws the first ten
        "compareRunCharts": [*charts, parallel],
        "compareRunSections": sections,
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _section(name: str, columns: int) -> dict[str, Any]:
    common = {"uuid": name, "name": name, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    return {**common, "columns": columns, "cardHeight": _CARD_HEIGHT}


def _chart(kind: str, section: str, name: str = "", **more: Any) -> dict[str, Any]:
    common = {"uuid": f"{section} {kind} {name}", "type": kind, "runsCountToCompare": 100, "metricSectionId": section}
    return {**common, "deleted": False, "isGenerated": False, **more}


def _line(name: str, section: str, logarithmic: bool) -> dict[str, Any]:
    return _chart(
        "LINE",
        section,
        name,
        displayName=name,
        metricKey=name,
        selectedMetricKeys=[name],
        scaleType="log" if logarithmic else "linear",
        xAxisKey="step",
        selectedXAxisMetricKey="",
        xAxisScaleType="linear",
        yAxisKey="metric",
        yAxisExpressions=[],
        lineSmoothness=0,
        range={},
        ignoreOutliers=False,
        useGlobalXaxisKey=True,
        useGlobalLineSmoothing=True,
    )
