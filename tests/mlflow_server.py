"""A real `mlflow server` on this machine, which comes and goes; what it has stays."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

ask = build_opener(ProxyHandler({})).open


class Server:
    """Comes and goes; what it has stays."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder, self.url = folder, f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{self.folder}/db", "--port", str(self.port)]
        command += ["--workers", "1", "--artifacts-destination", str(self.folder / "files")]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"} | quiet
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 240
        while time.monotonic() < end:
            with contextlib.suppress(URLError, OSError):
                ask(f"{self.url}/health", timeout=2).close()
                return
            time.sleep(0.3)
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(120)
        self.process = None

    def post(self, path: str, **body: object) -> dict:
        request = Request(f"{self.url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with ask(request) as answer:
            return json.load(answer)

    def runs(self) -> dict[str, dict]:
        """All runs by name."""
        (experiment,) = [e for e in self.post("experiments/search", max_results=10)["experiments"] if e["name"] == "lfads"]
        found = self.post("runs/search", experiment_ids=[experiment["experiment_id"]])["runs"]
        return {run["info"]["run_name"]: run for run in found}

    def curve(self, name: str, metric: str) -> list[int]:
        run_id = self.runs()[name]["info"]["run_id"]
        with ask(f"{self.url}/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key={metric}") as answer:
            return [point.get("step", 0) for point in json.load(answer).get("metrics", [])]

    def files(self, name: str) -> list[str]:
        run_id = self.runs()[name]["info"]["run_id"]
        with ask(f"{self.url}/api/2.0/mlflow/artifacts/list?run_id={run_id}") as answer:
            return [file["path"] for file in json.load(answer).get("files", [])]
