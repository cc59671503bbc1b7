"""Collections of tiny recordings, and runs that are played by a small script where training itself does not matter."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lfads_core.config.yaml_io import dump_plain
from lfads_core.files import write_json
from lfads_core.plugins import load_registry
from lfads_plugins_tune.collection import queue
from lfads_plugins_tune.collection.folder import Collection
from lfads_plugins_tune.collection.prepare import Prepared, prepare
from lfads_plugins_tune.collection.state import read_job
from lfads_plugins_tune.jobs.memory import end_family
from lfads_plugins_tune.search.state import Best, Member, SearchState


def nested(settings: tuple[str, ...]) -> dict[str, Any]:
    """``a.b=1`` texts as nested settings."""
    found: dict[str, Any] = {}
    for text in settings:
        key, value = text.split("=")
        *way, last = key.split(".")
        group = found
        for step in way:
            group = group.setdefault(step, {})
        group[last] = yaml.safe_load(value)
    return found


@pytest.fixture
def nested_settings(tiny_settings: tuple[str, ...]) -> dict[str, Any]:
    """The settings that make everything tiny, as they stand in a file."""
    return nested(tiny_settings)


@pytest.fixture
def collection(tmp_path: Path, write_tiny: Callable[..., Path], nested_settings: dict[str, Any]) -> Callable[..., Collection]:
    """``collection(vary={...}, ...)`` writes ``sweep/collection.yaml``: recordings ``a`` and ``b`` in ``tmp_path/sessions``, tiny settings."""

    def make(**spec: Any) -> Collection:
        for seed, name in enumerate(("a", "b")):
            path = tmp_path / "sessions" / f"{name}.h5"
            if not path.exists():
                write_tiny(f"sessions/{name}.h5", seed=seed)
                os.utime(path, (1.6e9, 1.6e9))
        folder = tmp_path / "sweep"
        folder.mkdir(exist_ok=True)
        whole = {"data": {"each": ["../sessions/*.h5"]}, "settings": nested_settings, **spec}
        (folder / "collection.yaml").write_text(dump_plain(whole), encoding="utf-8")
        return Collection(folder)

    return make


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Prepared]]:
    """Collections that have been prepared once, to be copied; what came of it, by what they were made from."""
    return tmp_path_factory.mktemp("shelf"), {}


@pytest.fixture
def prepared(
    collection: Callable[..., Collection], tmp_path: Path, shelf: tuple[Path, dict[str, Prepared]]
) -> Callable[..., tuple[Collection, Prepared]]:
    """The same, prepared; second what came of it. One from nothing but its ``spec`` is prepared once for all tests, and copied."""
    folder, known = shelf

    def make(**spec: Any) -> tuple[Collection, Prepared]:
        fresh = not (tmp_path / "sessions").exists() and not (tmp_path / "sweep").exists()
        key = hashlib.sha256(json.dumps(spec).encode()).hexdigest()
        if fresh and key in known:
            shutil.copytree(folder / key, tmp_path, dirs_exist_ok=True)
            return Collection(tmp_path / "sweep"), known[key]
        made = collection(**spec)
        done = prepare(made, load_registry())
        if fresh:
            for part in ("sessions", "sweep"):
                shutil.copytree(tmp_path / part, folder / key / part)
            known[key] = done
        return made, done

    return make


@pytest.fixture
def search_state() -> Callable[..., SearchState]:
    """``search_state(status="running")`` is the journal of a small search, finished unless something else is said."""

    def make(**changes: Any) -> SearchState:
        members = tuple(Member(member=m, values={}, status="done", score=score, epochs=30) for m, score in enumerate((0.7, 0.5)))
        plain = {"kind": "pbt", "executor": "batched", "data": ("x.h5",), "spaces": {}, "score": "valid/masked_smooth", "targets": (30, 60)}
        known = {"burn_in": 30, "generation": 0, "members": members, "status": "finished"}
        return SearchState(**{**plain, **known, "best": Best(member=1, score=0.5, scores={"valid/bps": 0.2}), **changes})

    return make


PLAYED = Path(__file__).with_name("played_run.py")


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """``play(a={"seconds": 1}, b={"fail": "why"})`` has the queue start a script that behaves so, by the run's name, in place of trainings."""
    parts = tmp_path / "parts.json"

    def set_parts(**behaviour: dict[str, Any]) -> None:
        write_json(parts, behaviour)  # at once, because runs may be reading it

    set_parts()
    monkeypatch.setattr(queue, "job_command", lambda _, entry: [sys.executable, str(PLAYED), str(entry.run.path.resolve()), str(parts)])
    yield set_parts
    for job_file in tmp_path.glob("*/runs/*/job.json"):
        job = read_job(Collection(job_file.parents[2]).entry(job_file.parent.name))
        if job is not None and job.pid and job.exit is None:
            end_family(job.pid)


@pytest.fixture
def until() -> Callable[..., None]:
    """``until(lambda: ...)`` waits for something to become true, and fails when it does not."""

    def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)

    return wait
