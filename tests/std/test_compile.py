"""`lfads compile`: where the code lies, who may write there, what is refused, and what happens where it cannot be had."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shutil
import subprocess
import sys
import threading

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.errors import LfadsError
from lfads_core.locks import holding
from lfads_core.recurrence import choose
from lfads_core.recurrence.choose import BACKENDS, choose_recurrence
from lfads_plugins_std.compiled import build, cache, library


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """An empty cache, and nothing remembered of another one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for function in (library.load, choose._say_once, choose._warn_once):
        function.cache_clear()
    yield
    library.load.cache_clear()


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """A stand-in for a compiler, which takes a file ready made, so that only one test waits for a real one; it counts its calls."""
    calls = tmp_path / "calls"
    script = tmp_path / "cc"
    product = tmp_path / "product"
    product.write_bytes(b"machine code")
    script.write_text(
        f"#!{sys.executable}\nimport pathlib, shutil, sys\n"
        "if '--version' in sys.argv: sys.exit(print('quick 1.0'))\n"
        f"with open({str(calls)!r}, 'a') as file: file.write('x')\n"
        f"shutil.copy({str(product)!r}, sys.argv[sys.argv.index('-o') + 1])\n"
    )
    script.chmod(0o700)
    monkeypatch.setenv("CC", str(script))
    monkeypatch.setattr(build, "_try", lambda _: None)
    return calls


def lfads(*arguments):
    result = CliRunner().invoke(cli, ["compile", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_what_is_compiled_is_found_again_and_removed(quick):
    place = cache.folder()
    assert lfads("--check") == (1, f"not compiled: nothing in {place} fits this version and this processor\n", "")
    assert lfads("--remove") == (0, f"nothing to remove in {place}\n", "")
    code, said, _ = lfads()
    (made,) = place.iterdir()
    assert (code, said) == (0, f"{made}: compiled, and equal to the reference\n")
    assert lfads() == lfads("--check") == (0, f"{made}: there, and as it was made\n", "")
    assert quick.read_text() == "x"
    lfads("--anew")
    assert quick.read_text() == "xx"
    assert lfads("--remove") == (0, f"removed {made}\n", "")
    assert list(place.iterdir()) == []


def test_the_folder_and_the_library_are_for_the_user_alone(quick):
    lfads()
    (made,) = cache.folder().iterdir()
    assert [path.stat().st_mode & 0o777 for path in (made.parent, made)] == [0o700, 0o700]


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_may_write_to_is_neither_read_nor_written(quick, mode):
    lfads()
    place = cache.folder()
    place.chmod(mode)
    assert cache.find() is None
    code, _, said = lfads()
    assert code == 2
    assert said == (
        f"error: {place}: must be writable for its owner alone, got permissions {mode:o}. "
        "Compiled code runs as you: set XDG_CACHE_HOME to a place of your own.\n"
    )


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system has no owners of this kind")
def test_a_folder_of_another_user_is_not_trusted(quick, monkeypatch):
    lfads()
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert cache.find() is None
    assert lfads()[2].startswith(f"error: {cache.folder()}: must belong to the user who runs this, got an owner of id {owner}. ")


def test_a_folder_below_one_that_others_may_write_in_is_not_trusted(quick):
    lfads()
    above = cache.folder().parent
    for mode, trusted in ((0o777, False), (0o1777, True), (0o775, os.getgid() == 0), (0o755, True)):  # sticky: nobody may move what is another's
        above.chmod(mode)
        assert (cache.find() is not None) == trusted
    above.chmod(0o777)
    code, _, said = lfads()
    assert code == 2
    assert said.startswith(f"error: {cache.folder()}: must lie in folders that nobody else may write in, got {above} with permissions 777. ")


def test_without_a_home_nothing_is_found_and_the_command_says_what_to_set(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(cache.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("Could not determine home directory.")))
    assert cache.find() is None
    text = "error: compiled code: must be kept in a folder of the user's, got neither HOME nor XDG_CACHE_HOME. Set one of them.\n"
    assert lfads()[::2] == (2, text)


def test_a_file_where_the_folder_should_be_is_told(quick):
    cache.folder().parent.mkdir()
    cache.folder().write_text("")
    assert (
        lfads()[2] == f"error: {cache.folder()}: must be a folder to keep compiled code in, got File exists. Set XDG_CACHE_HOME to another place.\n"
    )


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:5]), lambda path: path.write_bytes(b"")])
def test_a_library_cut_short_is_not_loaded_and_made_again(quick, damage):
    lfads()
    (made,) = cache.folder().iterdir()
    damage(made)
    assert lfads("--check")[0] == 1
    assert lfads()[1] == f"{made}: compiled, and equal to the reference\n"
    assert cache.is_whole(made)


def test_a_relative_cache_home_is_ignored_as_its_standard_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "lfads"


def test_other_sources_another_processor_or_compiler_need_another_library(quick, monkeypatch):
    lfads()
    (made,) = cache.folder().iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(cache, "processor", lambda: "another")
        assert cache.find() is None
    with monkeypatch.context() as patch:
        patch.setattr(cache, "sources", list)
        assert cache.find() is None
    with monkeypatch.context() as patch:
        patch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
        assert build.build() != made
    assert cache.find() is not None
    assert len(list(cache.folder().iterdir())) == 2


def test_two_may_compile_at_once(quick):
    made = []
    workers = [threading.Thread(target=lambda: made.append(build.build(anew=True))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert made[0] == made[1]
    assert list(cache.folder().iterdir()) == [made[0]]


def test_without_a_compiler_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler --fast")
    assert lfads() == (
        2,
        "",
        (
            "error: lfads compile: needs a C compiler that works, but no C compiler answers (tried no-such-compiler --fast). "
            "Install gcc or clang, or name one in CC.\n"
        ),
    )
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    assert "no C compiler answers (tried cc, gcc, clang)" in lfads()[2]


def failing(tmp_path, line):
    script = tmp_path / "failing"
    script.write_text(f"#!{sys.executable}\nimport sys\nif '--version' in sys.argv: sys.exit()\n{line}\n")
    script.chmod(0o700)
    return str(script)


def test_a_compiler_that_fails_is_quoted(monkeypatch, tmp_path):
    command = failing(tmp_path, "sys.exit('loops.c:1: error: no such thing\\nmore')")
    monkeypatch.setenv("CC", command)
    with pytest.raises(build.NoLibraryError, match=f"^{command} does not compile the sources: loops.c:1: error: no such thing$"):
        build.build()
    assert list(cache.folder().iterdir()) == []


@pytest.mark.long
def test_what_does_not_pass_its_trial_is_not_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", failing(tmp_path, "open(sys.argv[sys.argv.index('-o') + 1], 'w').write('no code')"))
    with pytest.raises(build.NoLibraryError, match=r"^the compiled code does not pass its trial run: "):
        build.build()
    assert list(cache.folder().iterdir()) == []


def test_a_whole_file_that_is_no_library_is_told_when_it_is_opened(quick):
    made = build.build()
    with pytest.raises(LfadsError, match=rf"^{made}: must be a library made by 'lfads compile', got .*Make it again with 'lfads compile --anew'\.$"):
        library.load()


@pytest.mark.slow
def test_two_processes_with_a_real_compiler_make_one_library_that_auto_takes(caplog):
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler")
    command = [sys.executable, "-m", "lfads_core.cli.main", "compile"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate() for process in both]
    made = list(cache.folder().iterdir())
    assert {line for line, _ in said} <= {f"{path}: compiled, and equal to the reference\n" for path in made}
    assert [process.returncode for process in both] == [0, 0]
    caplog.set_level(logging.INFO)
    assert choose_recurrence("auto", "cpu") == BACKENDS["compiled"]
    assert caplog.messages == ["recurrence: compiled (compiled for this processor, the fastest here on cpu)"]


COMPILING = "recurrence: compiling the loops for this processor, once, which takes some seconds; train.compile: false does without"


def test_outside_of_trainings_auto_compiles_nothing_but_says_how(quick, caplog):
    caplog.set_level(logging.INFO)
    assert choose_recurrence("auto", "cpu") == BACKENDS["fused"]
    assert caplog.messages == ["recurrence: fused (hand-written backward, the default on cpu; compiled: 'lfads compile' would make a faster one)"]
    assert not quick.exists()


def test_asking_for_the_compiled_loops_compiles_them(quick, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(library, "opened", lambda path: library.Library(path=path, handle=ctypes.CDLL(None), vector_bytes=32))
    assert choose_recurrence("compiled", "cpu") == BACKENDS["compiled"]
    assert quick.read_text() == "x"
    assert caplog.messages == [COMPILING, "recurrence: compiled (asked for)"]


def test_the_first_training_compiles_them_once_unless_the_settings_say_no(quick, monkeypatch, caplog, train_tiny):
    monkeypatch.setattr(library, "opened", lambda path: library.Library(path=path, handle=ctypes.CDLL(None), vector_bytes=32))
    caplog.set_level(logging.INFO)
    train_tiny("train.epochs=1", "train.compile=false", name="without")
    assert not quick.exists()
    with contextlib.suppress(LfadsError, AttributeError):  # what the stand-in has made has no loops
        train_tiny("train.epochs=1", name="with")
    assert quick.read_text() == "x"
    assert [text for text in caplog.messages if text.startswith("recurrence:")] == [
        "recurrence: fused (hand-written backward, the default on cpu; compiled: 'lfads compile' would make a faster one)",
        COMPILING,
        "recurrence: compiled (compiled for this processor, the fastest here on cpu)",
    ]
    assert choose_recurrence("auto", "cpu", make=True) == BACKENDS["compiled"]
    assert quick.read_text() == "x"


def test_what_a_compiler_failed_at_is_not_tried_at_every_training_but_when_it_is_asked_for(monkeypatch, tmp_path, caplog):
    calls = tmp_path / "calls"
    monkeypatch.setenv("CC", failing(tmp_path, f"open({str(calls)!r}, 'a').write('x')\nsys.exit('loops.c:1: error: no such thing')"))
    caplog.set_level(logging.INFO)
    for tried in (3, 3):  # with three kinds of flags
        assert choose_recurrence("auto", "cpu", make=True) == BACKENDS["fused"]
        assert calls.read_text() == "x" * tried
    first, second = [text for text in caplog.messages if text.startswith("recurrence: fused")]
    assert "does not compile the sources: loops.c:1: error: no such thing)" in first
    assert "does not compile the sources: loops.c:1: error: no such thing ('lfads compile' tries again))" in second
    assert caplog.messages.count(COMPILING) == 1
    assert lfads()[0] == 2
    assert calls.read_text() == "x" * 6
    assert lfads("--remove") == (0, f"nothing to remove in {cache.folder()}\n", "")
    assert list(cache.folder().iterdir()) == []


def test_a_full_disk_leaves_a_training_its_fused_loops(quick, monkeypatch, caplog):
    monkeypatch.setattr(build, "_made", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    caplog.set_level(logging.INFO)
    assert choose_recurrence("auto", "cpu", make=True) == BACKENDS["fused"]
    assert f"compiled: what is compiled cannot be kept in {cache.folder()} (No space left on device))" in caplog.messages[-1]


def test_who_waits_for_another_process_that_compiles_takes_what_it_makes(quick, tmp_path):
    place = cache.private_folder()
    done = []
    with holding(place.with_name("lfads.lock"), "held"):
        waiting = threading.Thread(target=lambda: done.append(build.build(again=False)))
        waiting.start()
        made = build._made(build.find_compiler(), place)
        assert done == []
    waiting.join(30)
    assert done == [made]
    assert quick.read_text() == "x"


@pytest.mark.slow
def test_a_first_run_in_an_empty_cache_trains_with_compiled_loops(write_tiny, tiny_settings, tmp_path):
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler")
    settings = [part for setting in (*tiny_settings, "train.epochs=1") for part in ("--set", setting)]
    said = []
    for name in ("one", "two"):
        command = [sys.executable, "-m", "lfads_core.cli.main", "run", str(write_tiny()), "--runs", str(tmp_path), "--name", name, *settings]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        said.append(done.stdout + done.stderr)
    assert ["compiling the loops for this processor, once" in text for text in said] == [True, False]
    assert all("recurrence: compiled (compiled for this processor, the fastest here on cpu)" in text for text in said)


def test_asking_in_vain_gives_the_fused_loops_and_one_warning(monkeypatch, caplog):
    monkeypatch.setenv("CC", "no-such-compiler")
    for _ in range(2):
        assert choose_recurrence("compiled", "cpu") == BACKENDS["fused"]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning == (
        "train.recurrence: compiled cannot be used: no C compiler answers (tried no-such-compiler). "
        "fused takes its place; its numbers are the same to rounding."
    )


def test_on_another_device_the_fused_loops_take_the_place_of_the_compiled_ones(caplog):
    assert choose_recurrence("compiled", "cuda:1") == BACKENDS["fused"]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning == (
        "train.recurrence: compiled cannot be used: it computes on a cpu alone, not on cuda:1. "
        "fused takes its place; its numbers are the same to rounding."
    )


def test_a_library_that_does_not_load_is_no_obstacle_for_a_run(quick, caplog):
    build.build()
    caplog.set_level(logging.INFO)
    assert choose_recurrence("auto", "cpu") == BACKENDS["fused"]
    assert "must be a library made by 'lfads compile'" in caplog.messages[-1]
