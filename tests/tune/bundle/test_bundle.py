"""``lfads bundle``: what goes in, what comes out, and what is left when it does not come to its end."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import lfads_core
from lfads_core.cli.main import cli
from lfads_plugins_tune.bundle import make as make_module
from lfads_plugins_tune.bundle import pack as pack_module
from lfads_plugins_tune.bundle.readme import FILES, meaning

SEARCH = ("search.members=2", "search.interval=2", "search.burn_in=2", "train.epochs=6", "search.min_improvement=null")


@pytest.fixture
def invoke_whole(tmp_path, monkeypatch):
    """``invoke_whole("a.h5", "--search", "none")`` in ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, ["bundle", *map(str, arguments)])


@pytest.fixture
def invoke(invoke_whole, monkeypatch):
    """The same without the page on the model, which takes ten times as long as the rest."""
    monkeypatch.setattr(make_module, "_report", lambda *_: None)
    return invoke_whole


@pytest.fixture
def config(tmp_path, tiny_settings):
    """A settings file that makes everything tiny."""
    from lfads_core.config.differences import differences
    from lfads_core.config.load import resolve
    from lfads_core.config.yaml_io import dump_plain
    from lfads_core.plugins import load_registry

    path = tmp_path / "config.yaml"
    found = differences(resolve([], [], tiny_settings, load_registry()))
    path.write_text(dump_plain({**found, "infer": {**found["infer"], "figures": False}}))
    return path


@pytest.fixture
def sessions(tmp_path, write_tiny):
    """A zip of two recordings, in a folder, beside junk."""
    path = tmp_path / "sessions.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for seed, name in enumerate(("one", "two")):
            archive.write(write_tiny(f"plain/{name}.h5", seed=seed, channels=5 + seed), f"days/{name}.h5")
        archive.writestr("days/read me.txt", "x")
        archive.writestr("__MACOSX/days/._one.h5", "junk")
    return path


def opened(output, folder):
    """Unpack what came out; its names."""
    with zipfile.ZipFile(output) as archive:
        archive.extractall(folder)
        return archive.namelist()


@pytest.mark.long
def test_one_recording_and_one_file_of_settings_become_one_zip(invoke_whole, write_tiny, config, tmp_path):
    data = write_tiny("mine.h5")
    done = invoke_whole("mine.h5", "config.yaml", "--search", "none")
    assert done.exit_code == 0, done.output
    names = opened(tmp_path / "autolfads.zip", tmp_path / "out")
    assert done.output.splitlines()[-1] == f"wrote autolfads.zip: {len(names)} files, README.txt says what they are"
    tensors = [name for name in names if name.endswith(".pt")]
    plain = ["README.txt", "checkpoints/best.json", "checkpoints/last.json", "config.yaml", "evaluation.json", "fitlog.csv"]
    plain += ["lfads_output_mine.h5", "report.html", "run.json"]
    assert sorted(names) == sorted([*plain, *tensors])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".autolfads")] == []
    run = lfads_core.load(tmp_path / "out")  # the folder is a run
    assert run.config.model.generator.hidden == 8
    assert len(run.columns()["epoch"]) == 5
    with h5py.File(data) as file:
        np.testing.assert_array_equal(run.outputs()["valid_encod_data"], file["valid_encod_data"][()])
    assert run.outputs()["valid_output_params"].shape == (6, 8, 5)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["data"] == ["mine.h5"]  # no folder of this machine
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "mine: 12 training, 6 validation trials, 8 bins of 10 ms, 5 channels" in page
    assert str(tmp_path) not in page
    assert [name for name in names if name not in (tmp_path / "out" / "README.txt").read_text()] == []
    again = CliRunner().invoke(cli, ["infer", str(tmp_path / "out"), str(data), "-o", str(tmp_path / "again.h5")])
    assert again.exit_code == 0, again.output


def test_the_page_in_the_zip_says_what_each_file_is(invoke, write_tiny, config, tmp_path):
    write_tiny("mine.h5")
    assert invoke("mine.h5", "config.yaml", "--search", "none").exit_code == 0
    names = opened(tmp_path / "autolfads.zip", tmp_path / "out")
    text = (tmp_path / "out" / "README.txt").read_text()
    assert text.startswith("LFADS, made from mine.h5\n\nOne model was trained with the settings given; this is it.\n\nFiles\n-----\n")
    for name in names:
        assert f"{name:<36}  {meaning(name)}\n" in text or f"{name}\n{'':<36}  {meaning(name)}\n" in text
    scores = json.loads((tmp_path / "out" / "run.json").read_text())["scores"]
    assert f"{'valid/bps':<36}  {scores['valid/bps']:.4f}\n" in text
    assert re.search(rf"^lfads-core +{re.escape(lfads_core.__version__)}$", text, flags=re.MULTILINE)
    assert str(tmp_path) not in text


def test_a_name_without_a_meaning_would_be_noticed():
    with pytest.raises(ValueError, match=r"^a file of a bundle must have a meaning, 'thing\.bin' has none$"):
        meaning("thing.bin")
    assert meaning("lfads_output_day1.h5").endswith("every trial of day1, beside its own arrays")
    assert len(FILES) == len(set(FILES.values()))


def test_a_zip_of_sessions_becomes_one_model_of_all(invoke, sessions, config, tmp_path):
    done = invoke("sessions.zip", "config.yaml", "--search", "none", "-o", "both.zip", "--work", "work")
    assert done.exit_code == 0, done.output
    assert "sessions.zip: one.h5, two.h5" in done.output
    assert "warning: sessions.zip: no recordings, and passed over: days/read me.txt" in done.output
    names = opened(tmp_path / "both.zip", tmp_path / "out")
    assert {"lfads_output_one.h5", "lfads_output_two.h5"} <= set(names)
    assert lfads_core.load(tmp_path / "out").outputs("two")["valid_output_params"].shape == (6, 8, 6)
    assert (tmp_path / "work" / "data" / "one.h5").is_file()  # --work is kept


def test_a_search_has_the_log_of_all_its_members_and_its_best_as_a_run(invoke, write_tiny, config, tmp_path):
    write_tiny("mine.h5")
    sets = [part for text in SEARCH for part in ("--set", text)]
    done = invoke("mine.h5", "config.yaml", "--search", "random", "--executor", "serial", *sets)
    assert done.exit_code == 0, done.output
    names = opened(tmp_path / "autolfads.zip", tmp_path / "out")
    assert {"search.json", "fitlog.csv", "fitlog_best.csv"} <= set(names)
    with (tmp_path / "out" / "fitlog.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["member"] for row in rows} >= {"0", "1"}
    state = json.loads((tmp_path / "out" / "run.json").read_text())
    assert state["search"].keys() == {"member", "score"}
    text = (tmp_path / "out" / "README.txt").read_text()
    assert "A search (random, generation 3/3, 2 members, best " in text
    assert f"The best model, member {state['search']['member']}, is this one." in re.sub(r"\s+", " ", text)
    assert "optim.lr = " in text
    assert lfads_core.load(tmp_path / "out").outputs()["valid_output_params"].shape == (6, 8, 5)


WRONG = [
    ([], "DATA: at least one recording must be given, got none. Try `lfads bundle data.h5 config.yaml`."),
    (["a.h5", "b.h5"], "DATA: must be one recording or one zip of several, got 2: a.h5, b.h5. Zip the recordings."),
    (["nothere.h5"], "nothere.h5: must be a recording or a zip of recordings, found nothing there."),
    (["folder"], "folder: must be a recording or a zip of recordings, found a folder."),
    (["mine.h5", "-o", "out.tar"], "-o: must be the name of a zip, such as autolfads.zip, got 'out.tar'"),
    (["bad.zip", "-o", "bad.zip"], "-o: must not be the recordings themselves, got 'bad.zip'"),
    (["mine.h5", "-o", "none/out.zip"], "none/out.zip: must be in a folder that is there, got 'none'. Make the folder."),
    (["mine.h5", "-o", "taken.zip"], "taken.zip: must be a new file, but is there already. Move it away, or replace it with --force."),
    (["mine.h5", "--resume"], "--resume: needs --work to say where, got none."),
    (["mine.h5", "--resume", "--work", "none"], "none: --resume needs a folder that a bundle has worked in, got none. Leave --resume out to begin."),
    (
        ["mine.h5", "--work", "folder"],
        "folder: a new bundle needs an empty folder to work in, but there is something in it. Use --resume, or another --work.",
    ),
    (["mine.h5", "--max-size", "big"], "--max-size: must be an amount of memory such as 4GB or 500MB, got 'big'"),
    (
        ["mine.h5", "--search", "none", "--executor", "ray"],
        "--executor: and what goes with it are for a search, got --search none. Leave one of them out.",
    ),
    (["mine.h5", "--set", "optim.lrr=1"], "--set: optim.lrr: no such setting. Did you mean optim.lr?"),
    (["bad.zip"], "bad.zip: must be a whole zip of recordings, got: File is not a zip file. Make it anew."),
    (["text.h5", "--search", "none"], "text.h5: must be an HDF5 file, got something else. Convert it, or install a plugin that reads it."),
    (
        ["mine.h5", "--search", "none", "--set", "data.hold_out.fraction=0.1"],
        (
            "mine.h5: data.hold_out.fraction must hold out at least one of 5 channels and leave one, got 0.1, which holds out 0. "
            "Choose a fraction of at least 0.2 and below 1."
        ),
    ),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG, ids=[" ".join(arguments) or "nothing" for arguments, _ in WRONG])
def test_wrong_input_is_one_line_and_leaves_nothing_behind(arguments, text, invoke, write_tiny, tmp_path):
    write_tiny("mine.h5")
    for name, content in {"bad.zip": "no zip", "taken.zip": "x", "text.h5": "no HDF5", "folder/x": "y"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    before = {str(path) for path in tmp_path.rglob("*")}
    done = invoke(*arguments)
    assert (done.exit_code, done.stderr) == (2, f"error: {text}\n")
    assert {str(path) for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("force", [False, True])
def test_an_output_that_cannot_be_written_leaves_the_old_one_and_the_work(force, invoke, write_tiny, config, tmp_path, monkeypatch):
    write_tiny("mine.h5")
    if force:
        (tmp_path / "autolfads.zip").write_text("the old one")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pack_module.zipfile.ZipFile, "write", full)
        done = invoke("mine.h5", "config.yaml", "--search", "none", *(["--force"] if force else []))
    assert done.exit_code == 2
    (kept,) = [path for path in tmp_path.iterdir() if path.name.startswith(".autolfads-")]
    assert done.stderr == (
        f"what was done is in {kept.name}; go on with the same command and: --work {kept.name} --resume\n"
        "error: autolfads.zip: must be written in full, got: No space left on device. "
        "Make room or mend the folder; what was there before is untouched.\n"
    )
    assert (tmp_path / "autolfads.zip").exists() == force
    if force:
        assert (tmp_path / "autolfads.zip").read_text() == "the old one"
    again = invoke("mine.h5", "config.yaml", "--search", "none", "--work", kept.name, "--resume", "--force")
    assert again.exit_code == 0, again.output
    assert "lfads_output_mine.h5" in opened(tmp_path / "autolfads.zip", tmp_path / "out")


def test_going_on_with_something_else_is_refused(invoke, write_tiny, config, tmp_path):
    write_tiny("mine.h5")
    assert invoke("mine.h5", "config.yaml", "--search", "none", "--work", "work").exit_code == 0
    common = ["--search", "none", "--work", "work", "--resume", "-o", "other.zip"]
    changed = invoke("mine.h5", "config.yaml", *common, "--set", "train.seed=4")
    assert changed.stderr == "error: work: --resume must be given what the bundle began with, but settings changed. Use another --work.\n"
    write_tiny("mine.h5", seed=3)
    assert "but data changed." in invoke("mine.h5", "config.yaml", *common).stderr
    assert "but data, settings, kind changed." in invoke("mine.h5", "config.yaml", "--work", "work", "--resume", "-o", "other.zip").stderr


def test_a_finished_bundle_without_outputs_is_refused(tmp_path, train_tiny):
    from lfads_core.errors import RunError
    from lfads_plugins_tune.bundle.pack import pack

    run = train_tiny().run
    next(iter(run.path.glob("lfads_output_*.h5"))).unlink()
    with pytest.raises(RunError) as err:
        pack(tmp_path / "out.zip", run, None, "x")
    assert str(err.value) == f"{run.path}: a finished run must have lfads_output_*.h5, got none. Go on with it, or begin anew."
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kind", ["none", "pbt"])
def test_a_bundle_that_is_cut_off_goes_on_where_it_was(kind, number, lfads, sessions, config, tmp_path):
    sets = ["--set", "train.epochs=150", "--set", "train.early_stopping=null", "--set", "search.members=2", "--set", "search.interval=10"]
    words = ["bundle", "sessions.zip", "config.yaml", "--search", kind, "--work", "work", *sets, "--set", "search.min_improvement=null"]
    process = lfads(*words)
    log = tmp_path / "work" / "model" / "fitlog.csv"
    end = time.monotonic() + 240
    while not log.exists() or len(log.read_text().splitlines()) < 15:
        assert time.monotonic() < end, "waited in vain"
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    process.send_signal(number)
    output = process.stdout.read()
    assert process.wait() == (130 if number == signal.SIGTERM else -signal.SIGKILL)
    if number == signal.SIGTERM:
        assert output.splitlines()[-1] == "interrupted; everything is saved in work"
    assert not (tmp_path / "autolfads.zip").exists()
    again = lfads(*words, "--resume")
    output = again.stdout.read()
    assert again.wait() == 0, output
    names = opened(tmp_path / "autolfads.zip", tmp_path / "out")
    assert {"lfads_output_one.h5", "lfads_output_two.h5"} <= set(names)
    with (tmp_path / "out" / ("fitlog.csv" if kind == "none" else "fitlog_best.csv")).open() as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file)]
    assert epochs == list(range(150))  # every epoch once


@pytest.mark.slow
def test_ctrl_c_without_a_work_folder_keeps_what_was_done(lfads, write_tiny, config, tmp_path):
    write_tiny("mine.h5")
    process = lfads("bundle", "mine.h5", "config.yaml", "--search", "none", "--set", "train.epochs=100000", "--set", "train.early_stopping=null")
    for line in process.stdout:
        if line.startswith("epoch 3/"):
            break
    process.send_signal(signal.SIGINT)
    *_, last = process.stdout.read().splitlines()
    assert process.wait() == 130
    (kept,) = [path for path in tmp_path.iterdir() if path.name.startswith(".autolfads-")]
    assert last == f"what was done is in {kept.name}; go on with the same command and: --work {kept.name} --resume"


@pytest.mark.parametrize("name", ["bundle", "collection"])
def test_the_help_of_the_command_loads_no_torch(name):
    code = f"""
import contextlib, sys
from lfads_core.cli.main import cli
with contextlib.suppress(SystemExit):
    cli([{name!r}, "--help"])
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
