"""MLflow's pages as a person sees them: a search's members by name, its hyperparameters, and the prepared charts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from browser import Browser, browsing, missing
from fake_search import SearchFolder
from lfads_plugins_tune.mlflow.tracker import sync
from lfads_plugins_tune.search.state import Best

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

MEMBERS, EPOCHS = 3, 4


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small search in its store."""
    if (why := missing()) is not None:
        pytest.skip(why)
    pytest.importorskip("sqlalchemy", reason="MLflow is not installed")
    runs = tmp_path_factory.mktemp("runs")
    search = SearchFolder(runs / "pbt-lorenz", MEMBERS, interval=EPOCHS, seed=0)
    search.go_on(2)
    search.write("finished", best=Best(member=1, score=0.3, scores={}))
    assert len(sync(search.folder).run_ids) == 1 + MEMBERS
    return runs


@pytest.fixture(scope="module")
def pages(runs: Path):
    """Addresses by name, of pages that are served."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-m", "lfads_core.cli.main", "ui", "--runs", str(runs), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as server:
        assert server.stdout is not None
        first, second = server.stdout.readline(), server.stdout.readline()
        name, _, link = second.strip().partition(": ")
        assert name == "pbt-lorenz"
        yield {"all": first.split()[0].replace("/#/experiments?", "/#/experiments/1/runs?"), "view": link}
        server.send_signal(signal.SIGTERM)


@pytest.fixture(scope="module")
def browser():
    with browsing() as browser:
        yield browser


def test_a_search_and_its_members_stand_below_each_other_with_their_names(pages, browser: Browser):
    browser.go(pages["all"])
    browser.wait_for("pbt-lorenz", seconds=120)
    expand = """
        const plus = [...document.querySelectorAll('button')].find(e => (e.dataset.componentId || '').includes('runnamecellrenderer'));
        if (plus) plus.click();
        return Boolean(plus);
    """
    browser.wait(lambda: browser.script(expand), 60, what="the plus before the search")
    browser.wait_for(*(f"m{i:02d} · pbt-lorenz" for i in range(MEMBERS)), seconds=60)


def test_the_prepared_view_has_all_members_and_charts_of_score_and_hyperparameters(pages, browser: Browser):
    browser.go(pages["view"])
    browser.wait_for(*(f"m{i:02d} · pbt-lorenz" for i in range(MEMBERS)), seconds=120)
    browser.wait_for("Search", "Parallel Coordinates", "Hyperparameters", "valid/recon_smooth", seconds=120)
    assert browser.script("return location.href").count("compareRunsMode=CHART") == 1
    drawn = "return document.querySelectorAll('.js-plotly-plot .main-svg').length"
    browser.wait(lambda: browser.script(drawn), 180, what="a chart")
