"""`lfads doctor`: a line for each thing, the remedy where something is missing, and the exit code."""

from __future__ import annotations

import importlib.util
import shutil
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.doctor import checks
from lfads_core.doctor.checks import examine
from lfads_core.doctor.finding import Finding
from lfads_core.plugins import load_registry
from lfads_core.plugins.registry import Registry
from lfads_plugins_tune.mlflow.doctor import packages, store


def by_name(found, what):
    return [finding for finding in found if finding.what == what]


def test_the_page_names_versions_plugins_devices_loops_and_disk_and_ends_well(tmp_path):
    done = CliRunner().invoke(cli, ["doctor", "--runs", str(tmp_path / "runs")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for word in ("python", "lfads-core", "torch", "plugins", "processor", "compiled loops", "recurrence", "disk"):
        assert f"  {word} " in done.output
    import torch

    assert torch.__version__.split("+")[0] in done.output
    last = done.output.splitlines()[-1]
    assert last.endswith("0 to mend")
    assert int(last.split()[0]) == sum(line.startswith("ok ") for line in done.output.splitlines())


def test_a_missing_extra_is_a_warning_with_the_line_that_mends_it(monkeypatch, tmp_path):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "mlflow" else real(name, *rest))
    (finding,) = by_name(list(packages(tmp_path)), "mlflow")
    assert finding == Finding(what="mlflow", status="warn", text="is not installed: no runs in MLflow", remedy='pip install "lfads-core[track]"')


def test_a_full_disk_is_a_warning(monkeypatch, tmp_path):
    usage = SimpleNamespace(total=10**10, used=9 * 10**9, free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert list(checks.disk(tmp_path / "runs")) == [Finding(what="disk", status="warn", text=f"1.0 GB free at {tmp_path}", remedy="make room")]


def test_no_component_at_all_keeps_lfads_from_working(monkeypatch, tmp_path):
    monkeypatch.setattr("lfads_core.plugins.load_registry", lambda: Registry.from_plugins({}))
    done = CliRunner().invoke(cli, ["doctor", "--runs", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 1
    assert "no component is installed beside core's own, so nothing can be trained  -> pip install lfads-plugins-std" in done.output


def test_a_check_that_fails_is_a_line_of_its_own(monkeypatch, tmp_path):
    def threads(_runs):
        raise RuntimeError("no such file")
        yield

    monkeypatch.setattr(checks, "threads", threads)
    (finding,) = by_name(examine(tmp_path, load_registry()), "threads")
    assert finding.status == "fail"
    assert finding.text == "could not be looked at: RuntimeError: no such file"


@pytest.mark.parametrize(("content", "status"), [(b"not a database at all", "warn"), (None, "ok")])
def test_a_damaged_store_is_a_warning(content, status, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if content is not None:
        (tmp_path / "mlflow.db").write_bytes(content)
    (finding,) = store(tmp_path)
    assert finding.status == status


def test_a_server_that_does_not_answer_is_a_warning(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (finding,) = store(tmp_path)
    assert (finding.status, finding.remedy) == ("warn", "start the server, or unset MLFLOW_TRACKING_URI")
    assert finding.text.startswith("http://127.0.0.1:9 does not answer")


def test_kernels_that_cannot_start_on_a_gpu_are_a_warning_with_the_reason(monkeypatch, tmp_path):
    from lfads_core.recurrence import choose
    from lfads_core.train import device

    clause = "Triton needs a C compiler to start kernels, and there is none (CC, gcc, clang): install gcc"
    monkeypatch.setattr(device, "choose_device", lambda _: "cuda")
    monkeypatch.setattr(choose, "obstacle", lambda name, _, **__: clause if name.startswith("triton") else None)
    (finding,) = checks.loops(tmp_path)
    assert finding == Finding(
        what="recurrence",
        status="warn",
        text=f"auto takes fused on cuda; triton cannot be used: {clause}",
        remedy="mend that, for other loops are several times slower here",
    )
