"""The page on collections: its file prepares what it says, and every key of such a file is explained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from lfads_core.config.kinds import settings_of
from lfads_core.config.load import resolve
from lfads_core.plugins import load_registry
from lfads_plugins_tune.collection.folder import CollectedRun, Collection
from lfads_plugins_tune.collection.prepare import prepare
from lfads_plugins_tune.collection.spec import CollectionSpec, VariantSpec

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "collections.md").read_text(encoding="utf-8")


@pytest.fixture
def sweep(tmp_path: Path) -> Collection:
    """The page's file, beside two recordings of 120 training trials and one of 50."""
    rng = np.random.default_rng(0)
    for name, trials in (("day1", 120), ("day2", 120), ("short", 50)):
        path = tmp_path / "sessions" / f"{name}.h5"
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            for split, count in (("train", trials), ("valid", 20)):
                file[f"{split}_encod_data"] = rng.poisson(1.0, (count, 5, 3))
    (tmp_path / "sweep").mkdir()
    (text,) = re.findall(r"```yaml\n(# sweep/collection.yaml\n.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "sweep" / "collection.yaml").write_text(text, encoding="utf-8")
    return Collection(tmp_path / "sweep")


def test_the_file_shown_makes_the_runs_that_its_comments_say(sweep):
    done = prepare(sweep, load_registry())
    assert done.notes == ["short: left out, for it has only 50 training trials (data.min_trials)"]
    small = [f"{dataset}__small__factors{factors}" for dataset in ("day1", "day2", "all-days") for factors in (20, 40)]
    seeds = [f"all-days__seeds__factors{factors}__train.seed{seed}" for factors in (20, 40) for seed in (0, 1, 2)]
    tuned = [f"all-days__tuned__factors{factors}" for factors in (20, 40)]
    assert done.made == [*small, *seeds, *tuned]
    assert [sweep.entry(name).record().search for name in (small[0], *tuned)] == [None, "pbt", "pbt"]
    config = resolve([sweep.entry("day2__small__factors20").run.config_path], [], [], load_registry())
    assert (config.model.generator.hidden, config.model.generator.factors, config.train.epochs) == (64, 20, 500)


def keys(cls: type, before: str = "") -> Iterator[str]:
    for name, setting in settings_of(cls).items():
        if setting.group:
            yield from keys(setting.group, f"{before}{name}.")
        else:
            yield f"{before}{name}"


def test_every_key_of_the_file_is_in_the_table():
    section = PAGE.split("\n## The file\n", 1)[1].split("\n## ", 1)[0]
    named = set(
        re.findall(
            r"`([a-zA-Z_.]+)`", "\n".join(line.rpartition("|")[0].rpartition("|")[0] for line in section.splitlines() if line.startswith("| `"))
        )
    )
    assert named == {*keys(CollectionSpec), *(f"variants.NAME.{key}" for key in keys(VariantSpec))}


def test_every_file_of_a_collection_is_in_the_table():
    section = PAGE.split("\n## What lies where\n", 1)[1].split("\n## ", 1)[0]
    here = Collection(Path("sweep"))
    entry: CollectedRun = here.entry("NAME")
    files = [here.spec_path, here.plan_path, here.memory_path, here.queue_path, here.queue_log, entry.record_path, entry.job_path, entry.log_path]
    assert [str(file) for file in files if f"`{file.relative_to('sweep')}`" not in section] == []
