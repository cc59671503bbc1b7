"""``lfads ui``: MLflow's pages on the store of a folder of runs, and what is said when that cannot be."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.runs import Run
from lfads_core.track.fitlog import FitLog
from lfads_plugins_tune.mlflow.server import address
from lfads_plugins_tune.mlflow.store import store_of
from lfads_plugins_tune.mlflow.tracker import sync

SERVER = """
    import sys, os
    from http.server import BaseHTTPRequestHandler, HTTPServer
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"OK")
    arguments = sys.argv[1:]
    print("arguments:", arguments, os.getcwd(), os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ.get("MLFLOW_TRACKING_URI"))
    server = HTTPServer((arguments[arguments.index("--host") + 1], int(arguments[arguments.index("--port") + 1])), Handler)
    open("served", "w").write(repr(arguments))
    server.serve_forever()
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with an empty database in the place of a store."""
    import sqlite3

    folder = tmp_path / "my runs"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(store_of(folder).database)) as database:
        database.execute("create table t (x)")
    return folder


@pytest.fixture
def fake_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def put(source: str) -> None:
        package = tmp_path / "fake" / "mlflow"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "__main__.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(package.parent)
        monkeypatch.setenv("PYTHONPATH", str(package.parent))

    return put


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(cli, ["ui", *map(str, arguments)])
    assert result.exit_code == 2
    return result.stderr.removeprefix("starting MLflow, which takes some seconds\n")


@contextlib.contextmanager
def served(runs: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and the line that it prints."""
    command = [sys.executable, "-m", "lfads_core.cli.main", "ui", "--runs", str(runs), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_without_mlflow_the_command_says_what_brings_it(runs, monkeypatch):
    monkeypatch.setattr("lfads_plugins_tune.mlflow.server.importlib.util.find_spec", lambda _: None)
    assert refused("--runs", runs) == 'error: lfads ui: MLflow must be installed, got none. Run: pip install "lfads-core[track]"\n'


@pytest.mark.parametrize(("exists", "what"), [(False, "no such folder"), (True, "a folder without one")])
def test_a_folder_without_a_store_is_told_apart_from_one_that_is_not_there(tmp_path, exists, what, fake_mlflow, monkeypatch):
    fake_mlflow("")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "runs"
    if exists:
        folder.mkdir()
    assert refused("--runs", folder) == (
        f"error: {folder}: must hold mlflow.db, which `lfads run` makes, got {what}. "
        "Train something first, or give the folder of your runs with --runs.\n"
    )


def test_runs_recorded_elsewhere_are_said_to_be_there(tmp_path, fake_mlflow, monkeypatch):
    fake_mlflow("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://lab:5000")
    assert refused("--runs", tmp_path).endswith(
        "got a folder without one. MLFLOW_TRACKING_URI is set, so runs are recorded at http://lab:5000: look there.\n"
    )


def test_a_damaged_store_is_refused(tmp_path, fake_mlflow):
    fake_mlflow("")
    database = store_of(tmp_path).database
    database.write_bytes(b"garbage" * 1000)
    assert refused("--runs", tmp_path) == (
        f"error: lfads ui: the store must be usable, got: {database} is damaged (file is not a database); "
        "move it away, and the next run makes a new one.\n"
    )


def test_a_taken_port_is_named_with_the_next_one(runs, port, fake_mlflow):
    fake_mlflow("")
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert refused("--runs", runs, "--port", port) == (
            f"error: lfads ui: 127.0.0.1:{port} must be free to listen on, got: Address already in use. "
            f"Choose another port, as in: lfads ui --port {port + 1}\n"
        )


def test_a_server_that_does_not_start_is_quoted(runs, port, fake_mlflow):
    fake_mlflow("import sys; sys.exit('first line\\nout-of-date database schema: run mlflow db upgrade')")
    assert refused("--runs", runs, "--port", port) == (
        "error: lfads ui: MLflow's server must answer within 120 s, got: out-of-date database schema: run mlflow db upgrade. "
        f"For all that it says, run: python -m mlflow server --backend-store-uri {store_of(runs).uri}\n"
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_the_address_is_printed_once_the_server_answers_and_a_signal_ends_both(runs, port, fake_mlflow, number, status):
    fake_mlflow(SERVER)
    with served(runs, port) as (process, line):
        assert line == f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning   (Ctrl-C ends it)\n"
        assert is_taken(port)
        arguments = (runs / "served").read_text()
        assert store_of(runs).uri in arguments
        assert store_of(runs).artifacts.as_uri() in arguments
        process.send_signal(number)
        assert process.wait(20) == status
        assert not is_taken(port)


def test_a_server_that_ends_by_itself_is_an_error(runs, port, fake_mlflow):
    fake_mlflow(SERVER.replace("server.serve_forever()", "server.handle_request(); sys.exit(3)"))
    assert refused("--runs", runs, "--port", port) == (
        "error: lfads ui: MLflow's server must go on until it is told to end, got its end with status 3. Start it again.\n"
    )


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::1", "http://[::1]:80"), ("lab", "http://lab:80")],
)
def test_the_address_is_one_that_a_browser_takes(host, url):
    assert address(host, 80) == url


@pytest.mark.slow
def test_the_real_pages_show_two_runs(tmp_path, port, monkeypatch):
    pytest.importorskip("sqlalchemy", reason="MLflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("first", "second"):
        run = Run.create(tmp_path / "runs" / name)
        run.config_path.write_text("lr: 0.1")
        log = FitLog(run.fitlog)
        for epoch in range(3):
            log.append(epoch, {"valid/bps": epoch / 10})
        run.update_state(status="finished")
        sync(run.path)

    ask = build_opener(ProxyHandler({})).open

    def post(path: str, **body: object) -> dict:
        request = Request(f"http://127.0.0.1:{port}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(ask(request))

    with served(tmp_path / "runs", port) as (process, line):
        assert re.match(rf"http://127\.0\.0\.1:{port}/#/experiments", line)
        assert b"<title>MLflow</title>" in ask(f"http://127.0.0.1:{port}/").read()
        (experiment,) = [e for e in post("experiments/search", max_results=10)["experiments"] if e["name"] == "lfads"]
        found = post("runs/search", experiment_ids=[experiment["experiment_id"]])["runs"]
        assert sorted(run["info"]["run_name"] for run in found) == ["first", "second"]
        run_id = found[0]["info"]["run_id"]
        history = json.load(ask(f"http://127.0.0.1:{port}/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key=valid/bps"))
        assert [(metric["step"], metric["value"]) for metric in history["metrics"]] == [(0, 0.0), (1, 0.1), (2, 0.2)]
        assert ask(f"http://127.0.0.1:{port}/get-artifact?path=config.yaml&run_uuid={run_id}").read() == b"lr: 0.1"
        os.kill(process.pid, signal.SIGTERM)
        process.wait(30)
    end = time.monotonic() + 10
    while is_taken(port) and time.monotonic() < end:
        time.sleep(0.1)
    assert not is_taken(port)
