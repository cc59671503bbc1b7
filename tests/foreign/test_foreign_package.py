"""A stranger's package that comes through every door at once: each thing it brings works like the project's own, and is listed with its name."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from itertools import pairwise

import h5py
import numpy as np
import pytest
import yaml

import lfads_core
from foreign_site import DISTRIBUTION, NAMES, lfads
from ray_searches import needs_ray

pytestmark = pytest.mark.usefixtures("foreign_site")


def lines(path):
    """Epochs and their numbers, as the tracker wrote them."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def logged(path):
    """Rows of a ``fitlog.csv``, without what an epoch did not measure."""
    with path.open() as file:
        return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]


def heard(path, what=None):
    words = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [entry for entry in words if what is None or entry[0] == what]


def history(folder):
    return json.loads((folder / "search.json").read_text())["history"]


# What is listed


def test_everything_is_listed_with_its_distribution():
    listed = json.loads(lfads("plugins", "list", "--json").stdout)
    mine = {(entry["kind"], entry["name"]): entry for entry in listed["components"] if entry["distribution"] == "lab-jpca"}
    assert mine.keys() == NAMES
    assert {entry["version"] for entry in mine.values()} == {"1.0"}
    assert {entry["entry_point"] for entry in mine.values()} == {"jpca"}
    assert [e["distribution"] for e in listed["components"] if e["kind"] == "rotation"] == ["lab-planes", "lab-jpca"]
    (plugin,) = [plugin for plugin in listed["plugins"] if plugin["distribution"] == "lab-jpca"]
    assert plugin["notifications"] == [
        "lfads_epoch_ended",
        "lfads_generation_ended",
        "lfads_run_evaluated",
        "lfads_run_finished",
        "lfads_run_started",
        "lfads_search_finished",
        "lfads_search_started",
    ]
    assert listed["faults"] == []


@pytest.mark.parametrize(("kind", "name"), sorted(NAMES))
def test_each_is_shown_by_its_name(kind, name):
    shown = lfads("plugins", "show", name).stdout
    assert f"{kind} {name}\n" in shown
    assert f"  from {DISTRIBUTION}\n" in shown


def test_the_plain_list_names_what_it_offers_and_what_it_listens_to():
    listed = lfads("plugins", "list").stdout
    assert "tracker lines A line of JSON per epoch lab-jpca 1.0" in [" ".join(line.split()) for line in listed.splitlines()]
    assert f"lfads_search_started: {DISTRIBUTION}" in listed


# Commands


def test_its_commands_stand_in_the_help_under_its_name_and_are_run(tmp_path):
    assert "Commands of lab-jpca:\n  jpca  Find rotations in the factors.\n" in lfads("--help").stdout
    assert "Commands of lab-jpca:\n  jpca  Find rotations in a recording.\n" in lfads("data", "--help").stdout
    assert lfads("jpca", "runs/a").stdout == "2 planes in runs/a\n"
    assert lfads("data", "jpca", "a.h5").stdout == "rotations of a.h5\n"


def test_a_hook_of_its_own_is_used_by_another_package_and_asked_by_record_and_name():
    from lab_jpca.specs import RotationSpec

    registry = lfads_core.plugins.load_registry()
    assert registry.get(RotationSpec, "fourier").planes == 3
    assert str(registry.owner(RotationSpec, "fourier")) == "lab-planes 2.0 (entry point 'planes')"
    assert lfads("jpca", "runs/a", "--way", "fourier").stdout == "3 planes in runs/a\n"
    assert "rotation fourier\n" in lfads("plugins", "show", "fourier").stdout
    missed = lfads("jpca", "runs/a", "--way", "furier", code=2)
    assert missed.stderr == "error: no rotation named 'furier'. Did you mean 'fourier'? Installed: fourier, skew.\n"


# A run


@pytest.mark.long
def test_a_run_is_tracked_told_drawn_and_resumed_with_settings_of_its_group(tiny, tmp_path):
    run, folder = tmp_path / "runs/one", tmp_path / "lines"
    lfads("run", tiny.data, tiny.yaml, "--name", "one", "--set", f"mine.folder={folder}", "--set", "mine.level=3")
    assert lines(folder / "one.jsonl") == logged(run / "fitlog.csv")
    assert (folder / "one.status").read_text() == "finished"
    assert {"config.yaml", "fitlog.csv", "plots", "lfads_output_tiny.h5"} <= set(json.loads((folder / "one.files").read_text()))
    assert heard(tiny.diary) == [
        ["run started", "one"],
        *(["epoch ended", "one", epoch] for epoch in range(3)),
        ["run finished", "one", "finished"],
    ]
    assert (run / "plots/rotations.png").read_bytes().startswith(b"\x89PNG")
    assert yaml.safe_load((run / "config.yaml").read_text())["mine"] == {"level": 3, "folder": str(folder)}
    lfads("run", "--resume", run, "--set", "train.epochs=4", "--set", "mine.level=0")
    assert lines(folder / "one.jsonl") == logged(run / "fitlog.csv")
    assert len(logged(run / "fitlog.csv")) == 4
    assert lfads_core.load(run).config.mine.level == 0
    refused = lfads("run", "--resume", run, "--set", "rotations.planes=5", code=2)
    assert refused.stderr == (
        f"error: {run}: a resumed run may change train, infer, mine, track and optim, got changes in rotations. Start a new run for those.\n"
    )


def test_its_settings_are_shown_explained_and_checked():
    shown = yaml.safe_load(lfads("config", "show", "--set", "mine.level=3").stdout)
    assert shown["mine"] == {"level": 3, "folder": None}
    assert shown["rotations"] == {"planes": 2}
    assert "how much is written" in lfads("config", "explain", "mine.level").stdout
    assert lfads("config", "show", "--set", "mine.level=-1", code=2).stderr == "error: --set: mine.level: must be >= 0, got -1\n"


@pytest.mark.long
def test_its_loops_train_to_the_numbers_of_the_reference(tiny, tmp_path):
    from lab_jpca import loops

    loops.calls.update(gru=0, controlled=0)
    for name in ("mine", "reference"):
        lfads("run", tiny.data, tiny.yaml, "--name", name, "--set", f"train.recurrence={name}")
    assert loops.calls["gru"] > 0
    assert loops.calls["controlled"] > 0
    mine, reference = (
        [{k: v for k, v in row.items() if k != "seconds"} for row in logged(tmp_path / f"runs/{name}/fitlog.csv")] for name in ("mine", "reference")
    )
    assert mine == reference


@pytest.mark.long
def test_a_run_is_evaluated_exported_and_reported_with_what_it_brings(trained, tmp_path):
    assert lfads("export", trained, "--to", "npz", tmp_path / "all.npz").stdout == f"wrote {tmp_path / 'all.npz'}\n"
    with np.load(tmp_path / "all.npz") as file, h5py.File(trained / "lfads_output_tiny.h5") as outputs:
        assert set(file.files) == set(outputs)
        np.testing.assert_array_equal(file["valid_factors"], outputs["valid_factors"])
    lfads("report", trained)
    page = (trained / "report.html").read_text()
    assert '<a href="#jpca">Rotations of this lab</a>' in page
    section = page[page.index('<section id="jpca">') :].partition("</section>")[0]
    assert "2 factors turn &amp; turn." in section
    assert "Shares of planes" in section
    assert "<svg" in section
    assert '<img src="data:image/png;base64,iVBOR' in section


def test_an_evaluation_is_told(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_JPCA_DIARY", str(tmp_path / "evaluated"))
    lfads("eval", trained)
    ((_, name, numbers, files),) = heard(tmp_path / "evaluated", "run evaluated")
    assert (name, files) == ("trained", ["evaluation.json"])
    assert any(number.endswith("bps") for number in numbers)


def test_recordings_of_its_format_are_made_into_files(foo, tmp_path):
    said = lfads("data", "make", foo, "--bin", "50", "-o", tmp_path / "y.h5").stdout
    assert f"wrote {tmp_path / 'y.h5'}: 16 train, 4 valid trials, 20 bins of 50 ms, 3 channels\n" in said


def test_settings_of_its_old_scripts_are_taken_over_also_into_its_own_group(tmp_path):
    (tmp_path / "old.yaml").write_text("jpca_factors: 5\njpca_planes: 3\njpca_mood: 1\n")
    taken = lfads("config", "import", tmp_path / "old.yaml")
    settings = yaml.safe_load(taken.stdout)
    assert settings == {"model": {"generator": {"factors": 5}}, "rotations": {"planes": 3}}
    assert taken.stderr == "not taken over: jpca_mood: nobody remembers what it meant\n"


def test_its_check_is_one_of_the_doctors(tmp_path):
    line = next(line for line in lfads("doctor", "--runs", tmp_path, code=None).stdout.splitlines() if "licence server" in line)
    assert " ".join(line.split()) == f"warn licence server no answer for {tmp_path} -> call the lab"


# Searches


def check_told_and_tracked(folder, diary, lines_folder):
    """Every epoch of every member, in its tracker's file as in its log, between the start and the end of the search."""
    for member in ("000", "001", "002"):
        rows = logged(folder / f"members/{member}/fitlog.csv")
        assert [row["epoch"] for row in rows] == [0, 1, 2]
        assert lines(lines_folder / f"{member}.jsonl") == rows
        assert (lines_folder / f"{member}.status").read_text() == "finished"
    words = heard(diary)
    assert words[0] == ["search started", folder.name, "pbt", {"0": "000", "1": "001", "2": "002"}]
    assert words[-1] == ["search finished", folder.name, "finished", "best"]
    assert sorted(words[-4:-1]) == [["run finished", member, "finished"] for member in ("000", "001", "002")]
    at = {json.dumps(word): i for i, word in enumerate(words)}
    assert len(at) == len(words) == 1 + 3 + 9 + 3 + 3 + 1
    for generation in range(3):
        ended = at[json.dumps(["generation ended", folder.name, generation, [0, 1, 2]])]
        for member in ("000", "001", "002"):
            assert at[json.dumps(["run started", member])] < at[json.dumps(["epoch ended", member, generation])] < ended
            assert generation == 2 or ended < at[json.dumps(["epoch ended", member, generation + 1])]


PBT = ("--set", "search.members=3", "--set", "search.interval=1", "--set", "search.burn_in=1", "--set", "search.generations=2")


@pytest.mark.long
@pytest.mark.parametrize("executor", ["serial", "batched", "mine"])
def test_a_population_is_tracked_and_told_epoch_by_epoch(tiny, tmp_path, executor):
    folder = tmp_path / "lines"
    lfads("search", "pbt", tiny.data, tiny.yaml, "--name", "pbt", *PBT, "--set", f"mine.folder={folder}", "--executor", executor)
    assert json.loads((tmp_path / "runs/pbt/search.json").read_text())["executor"] == executor
    check_told_and_tracked(tmp_path / "runs/pbt", tiny.diary, folder)


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_population_on_ray_is_tracked_and_told_in_the_process_that_drives_it(tiny, tmp_path, foreign_site):
    folder = tmp_path / "lines"
    hide = "import sys; sys.modules.update(dict.fromkeys(('matplotlib', 'mlflow'))); from lfads_core.cli.main import main; main()"
    command = [
        "search",
        "pbt",
        tiny.data,
        tiny.yaml,
        "--name",
        "pbt",
        *PBT,
        "--set",
        f"mine.folder={folder}",
        "--executor",
        "ray",
        "--per-worker",
        "1",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(foreign_site), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", hide, *map(str, command)], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    check_told_and_tracked(tmp_path / "runs/pbt", tiny.diary, folder)


@pytest.mark.long
def test_a_search_by_its_executor_decides_as_with_one_of_ours(tiny, tmp_path):
    for name in ("mine", "serial"):
        lfads("search", "random", tiny.data, tiny.yaml, "--name", name, "--members", 3, "--set", "search.interval=1", "--executor", name)
    assert history(tmp_path / "runs/mine") == history(tmp_path / "runs/serial")


HALVING = ("--members", "4", "--set", "search.interval=1", "--executor", "serial")


@pytest.mark.long
def test_its_algorithm_is_a_verb_of_search_that_halves_for_real(tiny, tmp_path):
    assert "halving  Stop the worse half after each generation." in lfads("search", "--help").stdout
    lfads("search", "halving", tiny.data, tiny.yaml, "--name", "h", *HALVING)
    done = history(tmp_path / "runs/h")
    assert [len(generation["members"]) for generation in done] == [4, 2, 1]
    for generation, following in pairwise(done):
        ranked = sorted(generation["members"], key=lambda record: record["score"])
        assert {record["member"] for record in following["members"]} == {record["member"] for record in ranked[: len(ranked) // 2]}
    assert json.loads((tmp_path / "runs/h/search.json").read_text())["kind"] == "halving"
    assert (tmp_path / "runs/h/best/lfads_output_tiny.h5").is_file()


@pytest.mark.long
def test_its_algorithm_goes_on_after_an_interruption_to_the_same_journal(tiny, tmp_path, monkeypatch):
    from lfads_plugins_tune.search.progress import SearchDisplay

    lfads("search", "halving", tiny.data, tiny.yaml, "--name", "whole", *HALVING)
    epoch = SearchDisplay.epoch

    def press(display, member, number, row):
        epoch(display, member, number, row)
        if number == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(SearchDisplay, "epoch", press)
        lfads("search", "halving", tiny.data, tiny.yaml, "--name", "stopped", *HALVING, code=130)
    assert len(history(tmp_path / "runs/stopped")) == 1
    assert heard(tiny.diary)[-1] == ["search finished", "stopped", "interrupted", None]
    lfads("search", "resume", tmp_path / "runs/stopped")
    whole, stopped = (json.loads((tmp_path / "runs" / name / "search.json").read_text()) for name in ("whole", "stopped"))
    for state in (whole, stopped):
        state.pop("seconds")
    assert stopped == whole


def test_a_run_loads_without_the_package_but_goes_on_only_without_its_settings(trained, tmp_path, monkeypatch):
    run = shutil.copytree(trained, tmp_path / "runs/kept")
    monkeypatch.setenv("LFADS_PLUGINS", "std,tune,lab")
    lfads_core.plugins.load_registry.cache_clear()
    lfads("infer", run)
    refused = lfads("run", "--resume", run, "--set", "train.epochs=4", code=2)
    first, second = refused.stderr.splitlines()[:2]
    assert re.fullmatch(rf"error: {run}/config.yaml:\d+: rotations: no such setting\. .*", first)
    assert second.startswith("The run was trained with what is not here: lab-jpca 1.0 (the settings 'mine', the settings 'rotations'): ")
    path = run / "config.yaml"
    settings = {name: value for name, value in yaml.safe_load(path.read_text()).items() if name not in {"mine", "rotations"}}
    path.write_text(yaml.safe_dump(settings))
    lfads("run", "--resume", run, "--set", "train.epochs=4")
