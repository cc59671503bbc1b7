"""``lfads collection``: new, prepare, info, status, table, list, retry, delete, and wrong input."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from lfads_core import screen
from lfads_core.cli.main import cli
from lfads_core.locks import holding
from lfads_core.track.fitlog import FitLog
from lfads_plugins_tune.collection.state import JobRecord, read_job, standing, write_job


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **more: CliRunner().invoke(cli, ["collection", *map(str, arguments)], **more)


def job(entry, **changes):
    record = {"pid": 1, "host": "here", "started": 0.0, "attempt": 1, "command": [], "exit": 0}
    write_job(entry, JobRecord(**{**record, **changes}))


def finish(entry, *, bps=0.5, cost=0.25, **scores):
    """What a training leaves behind."""
    entry.run.update_state(status="finished", scores={"valid/bps": bps, "train/bps": 1.0, "valid/bps/a": 0.4, **scores})
    log = FitLog(entry.run.fitlog)
    for epoch, value in enumerate((2 * cost, cost)):
        log.append(epoch, {"valid/recon_smooth": value, "seconds": 30.0 * (epoch + 1)})
    job(entry, peak=440_000_000)


def words(output):
    """Rows of a table as lists of words."""
    return [line.split() for line in output.splitlines()]


def test_new_writes_the_file_and_prepares_it(invoke, write_tiny, tiny_settings, tmp_path):
    write_tiny("sessions/a.h5")
    write_tiny("sessions/b.h5", seed=1)
    sets = [part for text in tiny_settings for part in ("--set", text)]
    data = ["--data", "sessions/*.h5", "--together", "both=sessions", "--min-trials", 3]
    made = invoke("new", "sweeps/one", *data, "--plugin", "poisson", *sets, "--vary", "optim.lr=1e-3,4e-3")
    assert made.exit_code == 0, made.output
    *new, total, following = made.output.splitlines()
    assert new == [f"new: {name}__lr{lr}" for name in ("a", "b", "both") for lr in (0.001, 0.004)]
    assert (total, following) == ("sweeps/one: 6 new, 0 there already", "next: lfads collection start sweeps/one")
    text = (tmp_path / "sweeps/one/collection.yaml").read_text()
    assert text.startswith(
        "# A collection of runs; `lfads collection prepare` after every change.\n\n"
        "data:\n  each: [../../sessions/*.h5]\n  together:\n    both: [../../sessions]\n  min_trials: 3\n\nplugins: [poisson]\n\nsettings:\n"
    )
    assert text.endswith("vary:\n  optim.lr: [1e-3, 4e-3]\n")
    assert invoke("prepare", "sweeps/one").output == "sweeps/one: 0 new, 6 there already\n"
    assert invoke("list", "sweeps/one").output.splitlines() == [line.removeprefix("new: ") for line in new]
    assert invoke("list", "sweeps/one", "--count").output == "6\n"
    assert invoke("list", "sweeps/one", "--paths").output.splitlines()[0] == "sweeps/one/runs/a__lr0.001"


def test_lists_and_names_may_vary_too(invoke, write_tiny, tmp_path):
    write_tiny("sessions/a.h5")
    components = "components.train_augmentations=[],[coordinated-dropout, spike-jitter]"
    made = invoke(
        "new", "sweep", "--data", "sessions/a.h5", "--vary", components, "--vary", "components.ic_prior=normal,{name: student-t, degrees: 4}"
    )
    assert made.exit_code == 0, made.output
    assert made.output.splitlines()[:4] == [
        "new: a__train_augmentations-none__ic_prior-normal",
        "new: a__train_augmentations-none__ic_prior-student-t-degrees4",
        "new: a__train_augmentations-coordinated-dropout+spike-jitter__ic_prior-normal",
        "new: a__train_augmentations-coordinated-dropout+spike-jitter__ic_prior-studen__" + made.output.splitlines()[3][-6:],
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["new", "x"], "x/collection.yaml: data: must name at least one recording under 'each' or 'together', got none. Give files or patterns."),
        (["new", "x", "--data", "a.h5", "--vary", "optim.lr"], "--vary: must be KEY=VALUE,VALUE... such as optim.lr=1e-3,4e-3, got 'optim.lr'"),
        (["new", "x", "--data", "a.h5", "--set", "lr"], "--set: must be KEY=VALUE such as optim.lr=1e-3, or KEY=null for off, got 'lr'"),
        (["new", "x", "--data", "a.h5", "--set", "a=1", "--set", "a.b=2"], "--set: a.b: must not lead into a, which another --set gives a value"),
        (["new", "x", "--together", "both"], "--together: must be NAME=PATTERN such as all='sessions/*.h5', got 'both'"),
        (
            ["new", "sweep", "--data", "a.h5"],
            "sweep: a new collection needs a folder of its own, but one is there already. Change its collection.yaml, then prepare it.",
        ),
        (["status", "nowhere"], "nowhere: must be a collection's folder, holding collection.yaml, got none. Make one with `lfads collection new`."),
        (["status", "sweep", "c*"], "sweep: RUN must be the name of a run or a pattern, got 'c*'. `lfads collection list sweep` names them."),
        (
            ["start", "sweep", "a__lr0.01"],
            "sweep: RUN must be the name of a run or a pattern, got 'a__lr0.01'. Did you mean a__lr0.001 or b__lr0.001?",
        ),
        (["start", "sweep", "--memory", "lots"], "--memory: must be an amount of memory such as 4GB or 500MB, got 'lots'"),
        (["start", "sweep", "--gpus", "0,,1"], "--gpus: must be different numbers with commas between, such as 0,1, got '0,,1'"),
        (["start", "sweep", "--gpu-memory", "4GB"], "--gpu-memory: needs --gpus to say which GPUs, got none."),
        (["job", "sweep"], "RUN, --index: one of them must say which run, got both or none."),
        (["job", "sweep", "--index", "2"], "--index: must be below the number of runs, 2, got 2"),
        (["job", "sweep", "a"], "sweep: RUN must be the name of a run, got 'a'. `lfads collection list sweep` names them."),
        (["delete", "sweep"], "--outputs, --former: one of them must say what to delete, got both or none."),
    ],
)
def test_wrong_input_is_one_line(arguments, text, invoke, prepared, tmp_path):
    prepared(vary={"optim.lr": [1e-3]})
    done = invoke(*arguments)
    assert (done.exit_code, done.stderr) == (2, f"error: {text}\n")
    assert not (tmp_path / "x" / "collection.yaml").exists()


def test_a_new_collection_that_fails_can_be_mended_and_typed_again(invoke, write_tiny):
    assert invoke("new", "x", "--data", "sessions/*.h5").exit_code == 2
    write_tiny("sessions/a.h5")
    assert invoke("new", "x", "--data", "sessions/*.h5").exit_code == 0


@pytest.mark.parametrize(("text", "size"), [("4GB", 4e9), ("500 mb", 5e8), ("1.5GiB", 1.5 * 2**30), ("2G", 2e9), ("1000", 1000)])
def test_amounts_of_memory_are_read_as_people_write_them(text, size):
    from lfads_plugins_tune.collection.sizes import parse_size

    assert parse_size(text, "--memory") == size


@pytest.mark.parametrize(
    ("size", "text"),
    [(4e9, "4 GB"), (5.14e8, "514 MB"), (1200, "1.2 kB"), (12, "12 bytes"), (3e12, "3 TB"), (10**400, "more than 1e+282 EB")],
)
def test_amounts_of_memory_are_shown_as_people_read_them(size, text):
    from lfads_core.wording import spoken_size

    assert spoken_size(size) == text


def test_status_shows_every_run_the_last_lines_of_failed_ones_and_a_tally(invoke, prepared):
    sweep, _ = prepared(vary={"optim.lr": [1e-3, 2e-3]})
    done, failed, interrupted, ready = sweep.entries()
    finish(done)
    failed.run.update_state(status="failed")
    job(failed, exit=2)
    failed.log_path.write_text(
        "\n== attempt 1, then ==\nold\n\n== attempt 2, now ==\n" + "".join(f"line {i}\n" for i in range(40)) + "error: it broke\n"
    )
    interrupted.run.update_state(status="interrupted")
    shown = invoke("status", "sweep").output
    rows = words(shown)
    assert rows[0] == ["run", "status", "epochs", "valid", "cost", "time", "memory"]
    assert rows[1:5] == [
        ["a__lr0.001", "done", "2/5", "0.25", "1:00", "440", "MB"],
        ["a__lr0.002", "failed", "it", "broke"],
        ["b__lr0.001", "interrupted"],
        ["b__lr0.002", "ready"],
    ]
    _, _, below = shown.partition(f"\na__lr0.002 failed; the last lines of {failed.log_path.relative_to(Path.cwd())}:\n")
    lines = below.splitlines()
    assert lines[:20] == [f"  line {i}" for i in range(21, 40)] + ["  error: it broke"]
    assert lines[20:] == [
        "",
        "4 runs: 1 done, 1 failed, 1 interrupted, 1 ready; no queue works",
        "to try failed runs again: lfads collection retry sweep",
    ]
    assert "  line" not in invoke("status", "sweep", "--tail", "0").output
    assert standing(ready).status == "ready"


def test_status_for_scripts(invoke, prepared):
    sweep, _ = prepared()
    finish(sweep.entry("a"))
    job(sweep.entry("b"), exit=2, gpu="1")
    sweep.entry("b").log_path.write_text("\n== attempt 1, now ==\nerror: no\n")
    found = json.loads(invoke("status", "sweep", "--json").output)
    assert (found["queue"], found["current"]) == (None, True)
    a, b = found["runs"]
    assert a == {
        "name": "a",
        "status": "done",
        "epochs": 2,
        "epochs_wanted": 5,
        "best_cost": 0.25,
        "seconds": 60.0,
        "note": "",
        "attempts": 1,
        "exit": 0,
        "gpu": None,
        "peak_bytes": 440_000_000,
        "path": "sweep/runs/a",
        "tail": [],
    }
    assert (b["status"], b["note"], b["tail"], b["gpu"]) == ("failed", "no", ["error: no"], "1")


def test_status_says_when_the_file_has_changed_and_when_there_are_former_runs(invoke, prepared, collection):
    prepared()
    collection(vary={"optim.lr": [1e-3]})
    assert "collection.yaml has changed since: lfads collection prepare sweep" in invoke("status", "sweep").output
    prepared(vary={"optim.lr": [1e-3]})
    shown = invoke("status", "sweep").output
    assert "2 more of former settings or data: --former shows them" in shown
    assert [row[0] for row in words(invoke("status", "sweep", "--former").output)[1:5]] == ["a__lr0.001", "b__lr0.001", "a", "b"]


def test_a_queue_at_work_is_shown(invoke, prepared):
    from lfads_core.files import write_json

    sweep, _ = prepared()
    write_json(sweep.queue_path, {"pid": 77, "host": "box", "started": 0.0, "jobs": 3, "grace": 1.0})
    assert "no queue works" in invoke("status", "sweep").output
    with holding(sweep.queue_lock, "taken"):
        assert "2 runs: 2 ready; a queue works (process 77 on box, 3 at a time)" in invoke("status", "sweep").output
        assert json.loads(invoke("status", "sweep", "--json").output)["queue"] == {"pid": 77, "host": "box", "jobs": 3}
        stopped = invoke("stop", "sweep")
    here = __import__("platform").node()
    assert stopped.stderr == f"error: sweep: the queue must be stopped on the machine it works on, box, but this is {here}.\n"


def test_info_shows_recordings_and_batches_that_cannot_be_filled(invoke, prepared, write_tiny):
    import numpy as np

    write_tiny("sessions/c.h5", channels=7, train_encod_data=np.ones((30, 8, 7), np.float32))
    prepared(data={"each": ["../sessions/*.h5"], "together": {"all": ["../sessions/a.h5", "../sessions/c.h5"]}, "min_trials": 10})
    rows = words(invoke("info", "sweep", "--batch-size", "40").output)
    assert rows[0] == ["dataset", "recording", "train", "valid", "bins", "channels", "bin", "ms", "conditions", "hash", "file"]
    assert [row[:7] for row in rows[1:6]] == [
        ["a", "a", "12", "6", "8", "5", "10"],
        ["b", "b", "12", "6", "8", "5", "10"],
        ["c", "c", "30", "6", "8", "7", "10"],
        ["all", "a", "12", "6", "8", "5", "10"],
        ["all", "c", "30", "6", "8", "7", "10"],
    ]
    assert rows[3][-1] == "sessions/c.h5"
    assert [" ".join(row) for row in rows[6:]] == [
        f"{name}: {trials} training trials do not fill a batch of 40" for name, trials in (("a", 12), ("b", 12), ("c", 30))
    ]
    found = json.loads(invoke("info", "sweep", "--min-trials", "20", "--json").output)
    assert [(row["dataset"], row["trials"]) for row in found] == [("c", {"train": 30, "valid": 6}), ("all", {"train": 30, "valid": 6})]
    assert re.fullmatch("[0-9a-f]{16}", found[0]["hash"])
    assert "every dataset fills a batch of 4" in invoke("info", "sweep", "--batch-size", "4").output


def test_the_table_has_what_varies_beside_the_scores(invoke, prepared, tmp_path):
    sweep, _ = prepared(vary={"optim.lr": [1e-3], "model.controller": [None, {"inputs": 2}]}, data={"each": ["../sessions/a.h5"]})
    for entry, bps in zip(sweep.entries()[:1], (0.25,), strict=True):
        finish(entry, bps=bps)
    rows = list(csv.DictReader(io.StringIO(invoke("table", "sweep", "--csv").output)))
    columns = ["run", "dataset", "optim.lr", "model.controller", "status", "epochs", "best_cost", "valid/bps"]
    assert [list(row) for row in rows] == [columns, columns]
    assert [list(row.values()) for row in rows] == [
        ["a__lr0.001__controller-off", "a", "0.001", "null", "done", "2", "0.25", "0.25"],
        ["a__lr0.001__controller-inputs2", "a", "0.001", "{'inputs': 2}", "ready", "", "", ""],
    ]
    assert invoke("table", "sweep", "-o", "scores.csv", "--all").output == "wrote scores.csv\n"
    assert (tmp_path / "scores.csv").read_text().splitlines()[0].endswith("valid/bps,train/bps,valid/bps/a")
    shown = invoke("table", "sweep").output
    assert words(shown)[1][:4] == ["a__lr0.001__controller-off", "a", "0.001", "null"]


@pytest.mark.parametrize(("width", "fitting"), [(80, 1), (100, 3)])  # 60 signs for the first seven columns, 13 for each more
def test_a_table_wider_than_a_screen_keeps_whole_columns_and_says_which_it_left_out(invoke, prepared, monkeypatch, width, fitting):
    monkeypatch.setattr(screen, "WIDTH_OF_A_PIPE", width)
    sweep, _ = prepared(data={"each": ["../sessions/a.h5"]}, variants={"v": {}})
    finish(sweep.entry("a__v"), **{f"valid/more{i}": 0.0 for i in range(9)})
    shown = invoke("table", "sweep").output
    assert words(shown)[0][:4] == ["run", "dataset", "variant", "status"]
    assert all(len(line) <= width for line in shown.splitlines())
    assert words(shown)[0] == ["run", "dataset", "variant", "status", "epochs", "best_cost", "valid/bps", *(f"valid/more{i}" for i in range(fitting))]
    assert f"no room for valid/more{fitting}, valid/more{fitting + 1}, valid/more{fitting + 2} and {6 - fitting} more:" in " ".join(shown.split())


def test_retry_marks_only_failed_runs_and_anew_forgets_what_they_did(invoke, prepared):
    sweep, _ = prepared(vary={"optim.lr": [1e-3, 2e-3]})
    one, two, *_ = sweep.entries()
    for entry in (one, two):
        entry.run.update_state(status="failed")
        job(entry, exit=2, attempt=3)
    assert invoke("retry", "sweep", one.name).output == "again: a__lr0.001\nnext: lfads collection start sweep\n"
    assert (standing(one).status, standing(two).status, read_job(one).attempt) == ("interrupted", "failed", 3)
    assert invoke("retry", "sweep", "--anew").output == "again: a__lr0.002\nnext: lfads collection start sweep\n"
    assert standing(two).status == "ready"
    assert invoke("retry", "sweep").output == "no failed runs\n"


def test_a_run_that_failed_by_hand_can_be_retried(invoke, prepared):
    sweep, _ = prepared()
    sweep.entry("a").run.update_state(status="failed")
    assert standing(sweep.entry("a")).status == "failed"
    invoke("retry", "sweep")
    assert standing(sweep.entry("a")).status == "interrupted"


def test_deleting_outputs_asks_and_keeps_settings(invoke, prepared):
    sweep, _ = prepared()
    a, b = sweep.entries()
    for entry in (a, b):
        finish(entry)
        (entry.run.path / "plots").mkdir()
        (entry.run.path / "plots" / "x.png").write_bytes(b"0" * 5000)
    asked = invoke("delete", "sweep", "a", "--outputs", input="n\n")
    assert asked.exit_code == 130
    assert re.search(r"^sweep/runs/a\nDelete the outputs of these 1 runs \(5\.\d+ kB\)\? \[y/N\]: n", asked.output)
    assert standing(a).status == "done"
    done = invoke("delete", "sweep", "a", "--outputs", input="y\n")
    assert done.output.endswith("deleted the outputs of 1 runs\n")
    assert {path.name for path in a.run.path.iterdir()} - {".job.lock"} == {"config.yaml", "entry.json"}
    assert (standing(a).status, standing(b).status) == ("ready", "done")


def test_outputs_of_a_run_at_work_are_not_deleted(invoke, prepared):
    sweep, _ = prepared()
    with holding(sweep.entry("a").lock_path, "taken"):
        done = invoke("delete", "sweep", "a", "--outputs", "--yes")
    assert done.stderr == "error: sweep/runs/a: one process may work on a run, but another one does. Wait for it, or stop it.\n"


def test_former_runs_can_be_deleted_with_their_folders(invoke, prepared):
    prepared()
    sweep, _ = prepared(vary={"optim.lr": [1e-3]})
    assert invoke("delete", "sweep", "--former", "--yes").output.endswith("deleted the folders of 2 runs\n")
    assert sorted(path.name for path in sweep.runs_path.iterdir()) == ["a__lr0.001", "b__lr0.001"]
    assert invoke("delete", "sweep", "--former", "--yes").output == "nothing to delete\n"


def test_a_search_is_shown_by_its_journal(invoke, prepared, search_state):
    from lfads_plugins_tune.search.state import write_state

    sweep, _ = prepared(search="pbt", settings={"search": {"members": 2}})
    a, b = sweep.entries()
    write_state(a.run.path, search_state(seconds=90.0))
    write_state(b.run.path, search_state(status="running", best=None, score="-valid/co_bps"))
    shown = words(invoke("status", "sweep").output)
    assert shown[1][:5] == ["a", "done", "30/60", "0.5", "1:30"]
    assert " ".join(shown[1][5:]) == "pbt, generation 1/2, 2 members, best 0.5000 (member 1), median 0.6000"
    assert shown[2][:4] == ["b", "interrupted", "30/60", "-0.5"]  # bits: most wins, and the score is kept with its sign turned
    rows = list(csv.DictReader(io.StringIO(invoke("table", "sweep", "--csv").output)))
    assert [(row["status"], row["best_cost"], row["valid/bps"]) for row in rows] == [("done", "0.5", "0.2"), ("interrupted", "-0.5", "")]
    write_state(b.run.path, search_state(status="failed", error="all failed"))
    job(b, exit=2)
    assert standing(b).status == "failed"
    assert invoke("retry", "sweep").output.splitlines()[0] == "again: b"
    assert (standing(b).status, read_job(b).retry) == ("interrupted", True)
    assert invoke("delete", "sweep", "--outputs", "--yes").exit_code == 0
    assert {path.name for path in a.run.path.iterdir()} - {".job.lock"} == {"config.yaml", "entry.json"}


def test_a_damaged_state_is_a_failure_that_says_where(prepared):
    sweep, _ = prepared()
    sweep.entry("a").run.state_path.write_text("{")
    state = standing(sweep.entry("a"))
    assert state.status == "failed"
    assert state.note.startswith(f"{sweep.path}/runs/a/run.json: must be JSON written by lfads, got: ")
