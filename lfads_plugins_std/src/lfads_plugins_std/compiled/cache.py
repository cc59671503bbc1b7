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
    """``lfads`` within the user's cache: ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        LfadsError: nobody says where that is.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    if given.startswith("/"):
        return Path(given) / "lfads"
    try:
        return Path.home() / ".cache" / "lfads"
    except RuntimeError as error:  # no HOME, and a user whom the system does not know
        raise LfadsError("compiled code: must be kept in a folder of the user's, got neither HOME nor XDG_CACHE_HOME. Set one of them.") from error


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
    """Why what lies in a folder must not be run: it is another user's, or others may write there, or put another folder in its place."""
    if not place.is_dir():
        return "must be a folder, got a file"
    state = place.stat()
    if hasattr(os, "getuid") and state.st_uid != os.getuid():
        return f"must belong to the user who runs this, got an owner of id {state.st_uid}"
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"must be writable for its owner alone, got permissions {stat.S_IMODE(state.st_mode):o}"
    return next((fault for parent in place.resolve().parents if (fault := _distrust_parent(parent))), None)


def _distrust_parent(parent: Path) -> str | None:
    """Whoever may write in a folder above may exchange what is below it, unless it is sticky, as /tmp is."""
    if not hasattr(os, "getuid"):
        return None
    state = parent.stat()
    if state.st_uid not in {0, os.getuid()}:
        return f"must lie in folders of the user who runs this or of root, got {parent} of a user of id {state.st_uid}"
    shared = state.st_mode & stat.S_IWOTH or (state.st_mode & stat.S_IWGRP and not _is_private_group(state.st_gid))
    if shared and not state.st_mode & stat.S_ISVTX:
        return f"must lie in folders that nobody else may write in, got {parent} with permissions {stat.S_IMODE(state.st_mode):o}"
    return None


def _is_private_group(number: int) -> bool:
    """Whether a group is that of one user alone, which many systems make for each and let write in the user's folders; or root's."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(number)
    except KeyError:
        return False
    return number == 0 or (number == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name})


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


def in_vain(compiler_key: str) -> Path:
    """Where it is written why a compiler did not make a library for these sources and this processor."""
    return folder() / f"loops-{sources_key()}-{compiler_key}.failed"


def is_whole(library: Path) -> bool:
    """Whether a library's content is that which its name promises."""
    try:
        content = library.read_bytes()
    except OSError:
        return False
    return library.stem.rpartition("-")[2] == hashlib.sha256(content).hexdigest()


def find(compiler_key: str = "*") -> Path | None:
    """The newest whole library for these sources and this processor; None if there is none to be trusted."""
    try:
        place = folder()
        if not place.is_dir() or distrust(place):
            return None
    except (LfadsError, OSError):
        return None
    fitting = sorted(place.glob(f"loops-{sources_key()}-{compiler_key}-*.so"), key=lambda path: path.stat().st_mtime, reverse=True)
    return next((path for path in fitting if is_whole(path)), None)


def remove() -> list[Path]:
    """Delete every library in the folder, of whatever sources; return what was deleted."""
    place = folder()
    files = [path for path in sorted(place.glob("loops-*")) if path.is_file() and path.suffix in {".so", ".failed"}] if place.is_dir() else []
    for path in files:
        path.unlink(missing_ok=True)
    return [path for path in files if path.suffix == ".so"]
