"""Full outputs, locales without our letters, folders that are gone, signals, links, processes in strange folders."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.errors import RunError
from lfads_core.files import append_to, expanded, replacing
from lfads_core.locks import is_locked, only_one, taking
from lfads_core.processes import own_python
from lfads_core.runs import Run, running
from lfads_core.train.interrupt import stop_wish
from lfads_core.wording import printable


def lfads(*words, **more):
    code = "from lfads_core.cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False, **more)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["config", "explain"]])
def test_an_output_that_takes_no_more_is_one_line(words):
    command = shlex.join([sys.executable, "-c", "from lfads_core.cli.main import main; main()", *words])
    done = subprocess.run(f"{command} > /dev/full", shell=True, capture_output=True, text=True, check=False)
    text = "error: the output: must do what is asked of it, got: No space left on device. Make room, or mend the place; --debug shows where.\n"
    assert (done.returncode, done.stderr) == (2, text)


def test_a_locale_without_our_letters_gets_escapes():
    ascii_only = {**os.environ, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    done = lfads("data", "check", "größe.h5", env=ascii_only)
    assert done.returncode == 2
    assert "gr\\udcc3\\udcb6\\udcc3\\udc9fe.h5: must be a file, a folder or a pattern, found nothing there." in done.stdout + done.stderr


def test_a_current_folder_that_is_gone_is_told(tmp_path):
    code = f"import os; os.mkdir({str(tmp_path / 'x')!r}); os.chdir({str(tmp_path / 'x')!r}); os.rmdir({str(tmp_path / 'x')!r}); "
    code += "from lfads_core.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "config", "show"], capture_output=True, text=True, check=False)
    text = "error: the current folder: must be there, got: No such file or directory. Change to another one (cd).\n"
    assert (done.returncode, done.stderr) == (2, text)


def test_control_characters_in_names_are_shown_as_escapes():
    assert printable("a\x1b[2Jb\tc\n\x07\udce9\u202e") == "a\\x1b[2Jb\tc\n\\x07\\udce9\\u202e"
    result = CliRunner().invoke(cli, ["data", "check", "\x1b[2J.h5"])
    assert result.exit_code == 2
    assert "\\x1b[2J.h5: must match at least one file" in result.output
    assert "\x1b" not in result.output
    assert str(RunError("a\x1bb")) == "a\\x1bb"


def test_the_end_of_the_terminal_saves_as_sigterm_does_and_nohup_is_heeded():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever these tests were started under
    try:
        with stop_wish() as wish:
            os.kill(os.getpid(), signal.SIGHUP)
            assert wish.asked
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with stop_wish() as wish:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not wish.asked
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_ctrl_c_says_how_to_go_on(write_tiny, tiny_settings, tmp_path, monkeypatch):
    from lfads_core.train import loop

    def interrupted(*_arguments):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop, "take_step_or_fail", interrupted)
    words = ["run", str(write_tiny()), "--runs", str(tmp_path / "my runs"), *(word for line in tiny_settings for word in ("--set", line))]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 130
    assert result.output.endswith(f"interrupted; go on with: lfads run --resume '{tmp_path}/my runs/tiny'\n")


def test_a_run_that_cannot_write_how_it_ended_is_an_error_and_is_told_from_one_that_runs(train_tiny, tmp_path, monkeypatch):
    update = Run.update_state

    def full(run, **changes):
        if changes.get("status") == "finished":
            raise RunError(f"{run.state_path}: must be written in full, got: No space left on device.")
        update(run, **changes)

    monkeypatch.setattr(Run, "update_state", full)
    with pytest.raises(RunError, match=r"run\.json: must be written in full"):
        train_tiny("train.epochs=1")
    monkeypatch.undo()
    folder = tmp_path / "runs"
    assert running(folder) == [folder / "run"]
    assert not is_locked(folder / "run")
    said = CliRunner().invoke(cli, ["doctor", "--runs", str(folder)]).output
    line = next(line for line in said.splitlines() if str(folder / "run") in line)
    assert line.startswith("warn  runs ")
    assert line.endswith(f"says that it is running, but no process of this machine holds it  -> lfads run --resume {folder / 'run'}")
    with only_one(folder / "run"):
        said = CliRunner().invoke(cli, ["doctor", "--runs", str(folder)]).output
    assert f"every run in {folder} that says it is running does" in said


def test_a_lock_that_is_a_link_is_neither_followed_nor_emptied(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("words", encoding="utf-8")
    (tmp_path / ".lock").symlink_to(precious)
    with pytest.raises(RunError, match=r"\.lock: a lock must be a file of its own, got a link\. Remove it\.$"):
        taking(tmp_path / ".lock", "taken")
    assert precious.read_text(encoding="utf-8") == "words"
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").write_text("words", encoding="utf-8")
    taking(tmp_path / ".lock", "taken").close()
    assert (tmp_path / ".lock").read_text(encoding="utf-8") == "words"


def test_what_is_appended_and_replaced_follows_no_link(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("words", encoding="utf-8")
    (tmp_path / "fitlog.csv").symlink_to(precious)
    with pytest.raises(OSError, match=r".*"):
        append_to(tmp_path / "fitlog.csv")
    (tmp_path / f".a.{os.getpid()}.tmp").symlink_to(precious)
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("mine", encoding="utf-8")
    assert precious.read_text(encoding="utf-8") == "words"
    assert (tmp_path / "a").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["checkpoints", "plots"])
def test_a_run_whose_folders_are_links_is_refused(tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text(json.dumps({}), encoding="utf-8")
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    text = rf"^{tmp_path}/run/{name}: must be a folder of the run itself, got a link to elsewhere\. Put the folder there in its place\.$"
    with pytest.raises(RunError, match=text):
        Run.open(tmp_path / "run")
    (tmp_path / "run/run.json").unlink()
    with pytest.raises(RunError, match=text):
        Run.create(tmp_path / "run")


def test_our_processes_import_nothing_from_the_folder_they_are_started_in(tmp_path):
    (tmp_path / "json.py").write_text("print('mine')", encoding="utf-8")
    for words in (("-c", "import json; print(json.dumps(1))"), ("-m", "json.tool", "--help")):
        done = subprocess.run(own_python(*words), cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "mine" not in done.stdout


def test_no_process_of_ours_is_started_without_that(root):
    named = {path for path in root.glob("lfads_*/src/**/*.py") if "sys.executable" in path.read_text(encoding="utf-8")}
    assert {path.name for path in named} == {"processes.py", "checks.py", "cluster.py"}  # doctor shows it; the guard of a cluster has -I


def test_a_name_with_a_tilde_is_a_name_where_there_is_no_such_user(monkeypatch, tmp_path):
    assert expanded("~nobody-of-that-name/x.h5") == Path("~nobody-of-that-name/x.h5")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x.h5") == tmp_path / "x.h5"
