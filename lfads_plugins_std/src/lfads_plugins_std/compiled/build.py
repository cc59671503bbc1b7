"""Compiles the loops: finds a C compiler, builds aside, tries the result in a process of its own, and only then gives it its name."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lfads_core.errors import LfadsError, RunError
from lfads_core.locks import holding
from lfads_core.processes import own_python
from lfads_plugins_std.compiled import cache

FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
FOR_THIS_PROCESSOR = (("-march=native",), ("-mcpu=native",), ())
"""What compilers of different processors understand, the best first."""
SECONDS = 300.0


class NoLibraryError(LfadsError):
    """There is no compiled library and none could be made; the message is one clause that says why."""


@dataclass(frozen=True, kw_only=True)
class Compiler:
    """A C compiler: the command that calls it, and what it says about itself."""

    command: tuple[str, ...]
    version: str

    @property
    def key(self) -> str:
        """Changes with the compiler and with our flags."""
        return cache.digest(*self.command, self.version, *FLAGS, *(flag for flags in FOR_THIS_PROCESSOR for flag in flags))


def find_compiler() -> Compiler:
    """``$CC``, or the first of cc, gcc and clang that answers.

    Raises:
        NoLibraryError: none does.
    """
    given = shlex.split(os.environ.get("CC", ""))
    candidates = [given] if given else [["cc"], ["gcc"], ["clang"]]
    for command in candidates:
        program = shutil.which(command[0])
        if program is None:
            continue
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run([program, *command[1:], "--version"], capture_output=True, text=True, errors="replace", timeout=60, check=True)  # noqa: S603
            return Compiler(command=(program, *command[1:]), version=said.stdout.strip())
    raise NoLibraryError(f"no C compiler answers (tried {', '.join(shlex.join(command) for command in candidates)})")


def build(*, anew: bool = False, again: bool = True, beginning: Callable[[], None] = lambda: None) -> Path:
    """Return the library for these sources, this processor and this compiler; compile it unless it is there, or in any case if ``anew``.

    One process compiles at a time, and the others take what it makes. Unless ``again``, a failure is noted, and what this compiler failed at is not
    tried another time. ``beginning`` is called before it compiles.

    Raises:
        NoLibraryError: no compiler, it fails, or what it makes does not compute what the reference computes.
        LfadsError: the cache folder must not be used.
        OSError: it cannot be written to.
    """
    place = cache.private_folder()
    compiler = find_compiler()
    with _one_at_a_time(place):
        there = None if anew else cache.find(compiler.key)
        if there is not None:
            return there
        in_vain = cache.in_vain(compiler.key)
        if not again and in_vain.is_file():
            raise NoLibraryError(f"{in_vain.read_text(encoding='utf-8', errors='replace')} ('lfads compile' tries again)")
        beginning()
        try:
            library = _made(compiler, place)
        except NoLibraryError as error:
            if not again:
                in_vain.write_text(str(error), encoding="utf-8")
            raise
        in_vain.unlink(missing_ok=True)
        return library


@contextmanager
def _one_at_a_time(place: Path) -> Iterator[None]:
    """Wait for another process that compiles; where there are no locks, do not."""
    with ExitStack() as held:
        with contextlib.suppress(RunError):
            held.enter_context(holding(place.with_name(f"{place.name}.lock"), "another process is still compiling", SECONDS))
        yield


def _made(compiler: Compiler, place: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="build-", dir=place) as aside:
        made = _compile(compiler, Path(aside) / "loops.so")
        _try(made)
        library = place / cache.file_name(cache.sources_key(), compiler.key, made.read_bytes())
        made.chmod(0o700)
        made.replace(library)
    return library


def _compile(compiler: Compiler, target: Path) -> Path:
    last = ""
    for flags in FOR_THIS_PROCESSOR:
        command = [*compiler.command, *FLAGS, *flags, "loops.c", "-o", str(target), "-lm"]
        try:
            done = subprocess.run(  # noqa: S603 - the user's own compiler
                command, cwd=cache.SOURCES, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise NoLibraryError(f"{compiler.command[0]} did not finish ({type(error).__name__})") from error
        if done.returncode == 0 and target.is_file():
            return target
        said = (done.stderr or done.stdout).strip().splitlines()
        last = next((line for line in said if "error" in line), said[-1] if said else f"exit status {done.returncode}")
    raise NoLibraryError(f"{shlex.join(compiler.command)} does not compile the sources: {last}")


def _try(library: Path) -> None:
    """Compare with the reference in a process of its own: wrong instructions would end it."""
    command = own_python("-m", "lfads_plugins_std.compiled.check", str(library))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False, env=environment)  # noqa: S603
    except subprocess.SubprocessError as error:
        raise NoLibraryError(f"the compiled code did not finish its trial run ({type(error).__name__})") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NoLibraryError(f"the compiled code does not pass its trial run: {said[-1] if said else f'exit status {done.returncode}'}")
