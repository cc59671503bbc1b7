"""Options of commands that measure, demonstrate, show pages and work through collections."""

from __future__ import annotations

import contextlib
import importlib
import json
from types import SimpleNamespace

import pytest

from lfads_core.errors import LfadsError
from lfads_plugins_lab.bench.result import Result
from lfads_plugins_tune.collection import control
from lfads_plugins_tune.mlflow import server

KINDS = ("step", "epoch", "population", "infer", "stream", "startup")
PATHS = ("step", "epoch", "population", "infer")


@pytest.fixture
def bench(invoke, monkeypatch):
    """``bench("step", ...)``: with what a measurement is made, and what is said of it; nothing is measured."""

    def call(what, *words):
        asked = []

        def measure(config, data, options, registry, **more):
            asked.append(SimpleNamespace(config=config, data=[str(path) for path in data], options=options, more=more))
            row = {"median_s": 1.0, "fastest_s": 1.0, "over_products": 1.0, "speedup": 1.0}
            return Result(config=config, device="cpu", paths=dict.fromkeys((*options.paths, "x"), row), more=more)

        monkeypatch.setattr(importlib.import_module(f"lfads_plugins_lab.bench.{what}"), f"bench_{what}", measure)
        return asked, invoke("bench", what, *words)

    return call


@pytest.mark.parametrize("what", KINDS)
def test_measurements_are_of_what_is_asked_for(bench, what, tmp_path):
    words = ("--config", "S2", "--config", "S3", "--data", "a.h5", "--data", "b.h5", "--threads", 2, "--rounds", 3, "--set", "optim.lr=0.1")
    asked, said = bench(what, *words, "--json", "--save", tmp_path / "kept")
    assert [one.config for one in asked][:: 2 if what == "population" else 1] == ["S2", "S3"]
    assert asked[0].data == ["a.h5", "b.h5"]
    options = asked[0].options
    assert (options.threads, options.rounds, list(options.overrides)) == (2, 3, ["optim.lr=0.1"])
    assert json.loads(said.split("\nwrote")[0])["bench"] == what
    assert sorted(path.suffix for path in (tmp_path / "kept").iterdir()) == [".json", ".md"]
    assert not bench(what)[1].startswith("{")


@pytest.mark.parametrize("what", PATHS)
def test_loops_are_measured_that_are_asked_for(bench, what):
    asked, _ = bench(what, "--recurrence", "fused", "--recurrence", "triton", *(("--members", 2, "--members", 5) if what == "population" else ()))
    assert list(asked[0].options.paths) == ["fused", "triton", "reference"]
    assert what != "population" or [one.more["members"] for one in asked] == [2, 5]


def test_a_step_is_measured_beside_the_baseline_and_without_memory_where_that_is_asked_for(bench):
    asked, _ = bench("step", "--baseline", "naive", "--no-memory")
    assert "naive" in asked[0].options.paths
    assert not asked[0].options.memory
    assert bench("step")[0][0].options.memory


def test_the_demonstration_is_of_the_seed_the_minutes_and_the_place_that_are_asked_for(invoke, monkeypatch, tmp_path):
    seen = {}

    def start(path, data, config, *_):
        seen.update(path=path, config=config)
        raise LfadsError("enough")

    monkeypatch.setattr("lfads_core.pipeline.run.start_run", start)
    monkeypatch.setattr("lfads_core.synth.write.write_synthetic", lambda _, __, seed, path, **___: seen.update(seed=seed) or path)
    invoke("demo", "--runs", tmp_path / "there", "--minutes", 0.5, "--seed", 9, code=2)
    assert seen["path"].parent == tmp_path / "there"
    assert (seen["config"].train.minutes, seen["config"].train.seed, seen["seed"]) == (0.5, 9, 9)


def test_pages_are_served_of_the_folder_at_the_address_that_are_asked_for(invoke, monkeypatch, tmp_path):
    asked = []

    @contextlib.contextmanager
    def serving(*given):
        asked.append(given)
        yield SimpleNamespace(wait=lambda: 1)

    monkeypatch.setattr(server, "serving", serving)
    said = invoke("ui", "--runs", tmp_path, "--host", "10.0.0.7", "--port", 5678, code=2)
    assert asked == [(tmp_path, "10.0.0.7", 5678)]
    assert "http://10.0.0.7:5678/" in said


@pytest.fixture
def collection(invoke, write_tiny, tiny_settings, tmp_path):
    """A collection of two runs."""
    write_tiny("sessions/a.h5")
    write_tiny("sessions/b.h5", seed=1)
    sets = [part for text in tiny_settings for part in ("--set", text)]
    invoke("collection", "new", "sweep", "--data", "sessions/*.h5", *sets)
    return tmp_path / "sweep"


def test_a_queue_works_within_the_limits_that_are_given(invoke, collection, monkeypatch):
    seen = []
    monkeypatch.setattr(control, "work", lambda _, limits, names, __: seen.append((limits, tuple(names))) or {"done": 2})
    invoke("collection", "start", "sweep", "a", "--jobs", 3, "--gpus", "0,2", "--memory", "4GB", "--gpu-memory", "2GB", "--grace", 7)
    limits, names = seen[0]
    assert (limits.jobs, limits.gpus, limits.memory, limits.gpu_memory, limits.grace, names) == (3, ("0", "2"), 4e9, 2e9, 7, ("a",))
    started = []
    monkeypatch.setattr(control, "start_in_background", lambda _, options: started.append(list(options)) or 1)
    invoke("collection", "start", "sweep", "--detach", "--jobs", 3)
    assert started == [["--jobs", "3", "--grace", "120.0"]]
    assert len(seen) == 1


def test_runs_are_ended_at_once_where_that_is_asked_for(invoke, collection, monkeypatch):
    seen = []
    monkeypatch.setattr(control, "stop", lambda _, *, now: seen.append(now) or 0)
    invoke("collection", "stop", "sweep")
    invoke("collection", "stop", "sweep", "--now")
    assert seen == [False, True]


def test_a_job_is_the_run_of_the_number_that_is_given(invoke, collection, monkeypatch):
    seen = []
    monkeypatch.setattr("lfads_plugins_tune.collection.job.do_run", lambda _, entry: seen.append(entry.name) or 0)
    invoke("collection", "job", "sweep", "--index", 1)
    assert seen == ["b"]


def test_runs_are_listed_counted_and_named_by_folder(invoke, collection):
    assert invoke("collection", "list", "sweep", "--count") == "2\n"
    assert invoke("collection", "list", "sweep", "--paths").split() == ["sweep/runs/a", "sweep/runs/b"]
