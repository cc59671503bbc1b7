"""One input in a forked process: what came of it, within bounds of time and memory.

The command runs in the process (no second interpreter is started); the fork is there so that a crash, a hang or memory of
one input is told from those of another, and nothing is remembered between inputs.
"""

from __future__ import annotations

import io
import os
import re
import resource
import select
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20
"""Most CPU time that one input may take, in s: a busy machine makes no hang."""

PATIENCE = 180.0
"""Longest that one input may take on the clock, in s: what waits for ever takes no CPU time."""

BYTES = 2 * 10**9
"""Most memory that one input may take beside what the idle process has."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\ud800-\udfff]")
_ALLOWED = {0, 1, 2, 130}


@dataclass(frozen=True)
class Outcome:
    """What one input came to; ``fault`` is empty where all is well, else names the kind of fault, the same for the same place in the code."""

    fault: str
    text: str
    seconds: float  # of CPU time


def play(arguments: list[str], folder: Path, *, seconds: int = SECONDS, memory: int = BYTES, patience: float = PATIENCE) -> Outcome:
    """Run ``lfads ARGUMENTS`` in ``folder``, or for ``python SEED`` what :mod:`fuzzing.odd_objects` makes."""
    read, write = os.pipe()
    begun = time.monotonic()
    process = os.fork()
    if not process:
        _child(arguments, folder, (read, write), memory, seconds)
    os.close(write)
    text = _all_of(read, begun + patience)
    os.close(read)
    if text is None:
        os.kill(process, signal.SIGABRT)  # faulthandler says where it hangs
        time.sleep(0.2)
        os.kill(process, signal.SIGKILL)
    _, status, used = os.wait4(process, 0)
    took = used.ru_utime + used.ru_stime
    stacks = (folder / ".stacks").read_text(errors="replace") if (folder / ".stacks").is_file() else ""
    if text is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return Outcome(f"hang: {_deepest(stacks)}", stacks, took)
    if os.WIFSIGNALED(status):
        return Outcome(f"crash: signal {os.WTERMSIG(status)} at {_deepest(stacks)}", stacks, took)
    fault, _, output = text.partition("\n")
    return Outcome(fault, output, took)


def _all_of(pipe: int, until: float) -> str | None:
    """Everything that is written until the other end closes; None if it does not in time."""
    parts = []
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return None
        if not (block := os.read(pipe, 1 << 16)):
            return b"".join(parts).decode(errors="replace")
        parts.append(block)


def _child(arguments: list[str], folder: Path, pipe: tuple[int, int], memory: int, seconds: int) -> None:
    import faulthandler

    read, write = pipe
    os.close(read)
    status = 0
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        with Path(".stacks").open("w") as stacks:
            faulthandler.enable(stacks)
            faulthandler.register(signal.SIGXCPU, stacks, chain=True)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
            before = _peak(reset=True)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            sys.stdin = io.StringIO()
            fault, output = _invoke(arguments)
            taken = _peak() - before
            if taken > memory and not fault:
                fault = f"memory: {taken / 1e9:.1f} GB in lfads {' '.join(arguments[:2])}"
        os.write(write, f"{fault}\n{output[-20000:]}".encode(errors="replace"))
    except BaseException:  # noqa: BLE001 - the child ends here whatever it was
        os.write(write, f"harness: {traceback.format_exc()[-300:]!r}\n".encode(errors="replace"))
        status = 70
    finally:
        os._exit(status)


def _invoke(arguments: list[str]) -> tuple[str, str]:
    from click.testing import CliRunner

    from fuzzing.odd_objects import make
    from lfads_core.cli.main import cli

    result = CliRunner().invoke(make, arguments[1:]) if arguments[0] == "python" else CliRunner().invoke(cli, arguments)
    output = result.output
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        told = io.StringIO()
        traceback.print_exception(error, file=told)
        where = _innermost(error)
        return f"{type(error).__name__} at {where}", f"{told.getvalue()}\n{output}"
    if "Traceback (most recent call last)" in output:
        return f"traceback in the output: {output.rstrip().rsplit(chr(10), 1)[-1][:80]}", output
    if result.exit_code not in _ALLOWED:
        return f"exit code {result.exit_code} of lfads {' '.join(arguments[:2])}", output
    if result.exit_code == 2 and not output.strip():
        return f"exit code 2 without a word of lfads {' '.join(arguments[:2])}", output
    if found := _CONTROL.search(output):
        at = output[max(0, found.start() - 60) : found.end()]
        return f"control character {found[0]!r} in the output of lfads {' '.join(arguments[:2])}", f"{at!r}\n{output}"
    return "", output


def _innermost(error: BaseException) -> str:
    """The innermost line of ours, and of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/lfads_" in f.filename] or frames
    at = ours[-1] if ours else None
    return "nowhere" if at is None else f"{Path(at.filename).parent.name}/{Path(at.filename).name}:{at.lineno} ({at.name})"


def _deepest(stacks: str) -> str:
    lines = [line.strip() for line in stacks.splitlines() if "/lfads_" in line]
    return re.sub(r'^File ".*/(lfads_[^"]*)"', r"\1", lines[0]) if lines else "nowhere of ours"


def _peak(*, reset: bool = False) -> int:
    """Most memory since the last reset, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
