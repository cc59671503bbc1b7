"""Where a compiled library lies: a folder of the user's own, a name that says what it was made from and what it must contain.

``loops-<sources and processor>-<compiler and flags>-<its own SHA-256>.so``: whatever changes, the name changes, and a file
that was cut short does not have the content that its name promises.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
from pathlib import Path

from lfads_core.errors import LfadsError

SOURCES = Path(__file__).with_name("source")


def folder() -> Path:
    """``lfads`` within the user's cache: ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".cache") / "lfads"


def private_folder() -> Path:
    """The folder, made if need be, for this user alone.

    Raises:
        LfadsError: it cannot be made, belongs to somebody else, or others may write into it.
    """
    place = folder()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LfadsError(f"{place}: must be a folder to keep compiled code in, got {error.strerror}. Set XDG_CACHE_HOME to another place.") from error
    if fault := distrust(place):
        raise LfadsError(f"{place}: {fault}. Compiled code runs as you: set XDG_CACHE_HOME to a place of your own.")
    return place


def distrust(place: Path) -> str | None:
    """Why what lies in a folder must not be run: it is another user's, or others may write there."""
    if not place.is_dir():
        return "must be a folder, got a file"
    state = place.stat()
    if hasattr(os, "getuid") and state.st_uid != os.getuid():
        return f"must belong to the user who runs this, got an owner of id {state.st_uid}"
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"must be writable for its owner alone, got permissions {stat.S_IMODE(state.st_mode):o}"
    return None


def digest(*parts: str | bytes) -> str:
    """Sixteen letters that change when any of the parts does."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()[:16]


def sources() -> list[Path]:
    """The C files, in the order of their names."""
    return sorted(SOURCES.iterdir())


def sources_key() -> str:
    """Stands for the C sources and for the processor, whose instructions the library uses."""
    return digest(*(file.read_bytes() for file in sources()), processor())


def processor() -> str:
    """What this machine's processor calls itself and what it can do."""
    lines: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "flags", "Features", "CPU part"}:
            lines.setdefault(name.strip(), value.strip())
    return "\n".join([platform.system(), platform.machine(), platform.processor(), *(f"{name}: {value}" for name, value in lines.items())])


def file_name(sources_key: str, compiler_key: str, content: bytes) -> str:
    """The name a library of this content must bear."""
    return f"loops-{sources_key}-{compiler_key}-{hashlib.sha256(content).hexdigest()}.so"


def is_whole(library: Path) -> bool:
    """Whether a library's content is that which its name promises."""
    try:
        content = library.read_bytes()
    except OSError:
        return False
    return library.stem.rpartition("-")[2] == hashlib.sha256(content).hexdigest()


def find(compiler_key: str = "*") -> Path | None:
    """The newest whole library for these sources and this processor; None if there is none to be trusted."""
    place = folder()
    if not place.is_dir() or distrust(place):
        return None
    fitting = sorted(place.glob(f"loops-{sources_key()}-{compiler_key}-*.so"), key=lambda path: path.stat().st_mtime, reverse=True)
    return next((path for path in fitting if is_whole(path)), None)


def remove() -> list[Path]:
    """Delete every library in the folder, of whatever sources; return what was deleted."""
    place = folder()
    gone = [path for path in sorted(place.glob("loops-*.so")) if path.is_file()] if place.is_dir() else []
    for path in gone:
        path.unlink(missing_ok=True)
    return gone
