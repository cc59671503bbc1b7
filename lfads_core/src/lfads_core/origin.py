"""Which plugin a component comes from, remembered on the component itself, and errors that name it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfads_core.errors import LfadsError, PluginError
from lfads_core.wording import one_line

_KEY = "_lfads_origin"
_ENGINE = "_engine_run_backward"  # torch's function below which autograd calls Python again
_OTHERS = {"lfads_core", "torch", "numpy", "scipy", "h5py", "attr", "attrs", "pluggy", "jaxtyping", "beartype", "importlib"}
_by_module: dict[str, set[Provenance]] = {}
_by_code: dict[types.CodeType, Provenance] = {}
_by_package: dict[str, str] = {}


@dataclass(frozen=True)
class Provenance:
    """A component's kind and name, and who provides it."""

    kind: str
    name: str
    provider: str  # my-plugin 1.0 (entry point 'mine')
    contract: str = ""  # "module:Class" that it fulfils, if its kind has one

    def __str__(self) -> str:
        """Read ``my-plugin 1.0 (entry point 'mine'): the prior 'laplace'``."""
        return f"{self.provider}: the {self.kind} {self.name!r}"


def mark(part: Any, origin: Provenance) -> None:
    """Remember where a component comes from; copies remember it too."""
    object.__setattr__(part, _KEY, origin)  # past nn.Module, which would keep it no differently, and past frozen classes
    _by_module.setdefault(type(part).__module__, set()).add(origin)


def mark_function(function: Any, origin: Provenance) -> None:
    """Remember the same of a function that a record names; of what is none, such as an object that is called, nothing is."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is not None:
        _by_code[code] = origin


def know_package(package: str, provider: str) -> None:
    """Remember whose a Python package is that is none of this project's: what is raised in it is not ours to mend."""
    _by_package[package] = provider


def origin_of(part: object) -> Provenance | None:
    """Where a component comes from; None for whatever no plugin gave."""
    found: Provenance | None = getattr(part, "__dict__", {}).get(_KEY)
    return found


def failure(origin: Provenance, doing: str, err: BaseException) -> PluginError:
    """The sentence for what a component raised, with the author's own file and line."""
    return PluginError(f"{origin} failed{doing} ({one_line(err)}{where(err)}). --debug shows how; tell its authors.")


@contextmanager
def blaming(part: object, doing: str) -> Iterator[None]:
    """Whatever is raised here is a component's fault, for it was called, or what it gave is looked into.

    Raises:
        PluginError: something was raised that is not told to users by itself.
    """
    try:
        yield
    except (Exception, SystemExit) as err:
        origin = origin_of(part)
        if origin is None or not is_fault(err):
            raise
        raise failure(origin, doing, err) from err


def blamed(err: BaseException) -> PluginError | None:
    """The same error as one that names the component in whose code it was raised, or the stranger's package; None if it is nobody's of them."""
    if not is_fault(err):
        return None
    frames, behind = [], False
    for frame, _ in _walk(err):
        behind = behind or frame.f_code.co_name == _ENGINE
        frames.append((frame, behind))
    for frame, from_engine in reversed(frames):
        code = frame.f_code
        origin = _by_code.get(code) or (origin_of(frame.f_locals.get(code.co_varnames[0])) if code.co_argcount else None)
        if origin is not None:
            return failure(origin, f" in {code.co_name}", err)
        if from_engine and (known := _by_module.get(frame.f_globals.get("__name__", ""))):
            return failure(_one_of(known), f" in {code.co_qualname} on the way back", err)
    for frame, _ in reversed(frames):
        provider = _by_package.get(str(frame.f_globals.get("__name__", "")).partition(".")[0])
        if provider is not None:
            return PluginError(f"{provider} failed in {frame.f_code.co_qualname} ({one_line(err)}{where(err)}). --debug shows how; tell its authors.")
    return None


def _one_of(known: set[Provenance]) -> Provenance:
    """One that stands for all: who is told that something failed on the way back need not know which of a module's components it was."""
    first, *others = sorted(known, key=str)
    return Provenance(first.kind, " or ".join([first.name, *(other.name for other in others)]), first.provider) if others else first


def where(err: BaseException) -> str:
    """Say in which file and line of somebody else's an exception was raised: the innermost that is none of ours, torch's or their like."""
    places = [(Path(frame.f_code.co_filename), line) for frame, line in _walk(err)]
    own = [(path, line) for path, line in places if not str(path).startswith("<") and not _OTHERS & set(path.parts)]
    return f", at {own[-1][0].name}:{own[-1][1]}" if own else ""


def _walk(err: BaseException) -> Iterator[tuple[types.FrameType, int]]:
    trace = err.__traceback__
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def is_fault(err: BaseException) -> bool:
    """Whether an exception is a slip in code, rather than a sentence for users, a lack of memory or a wish to stop."""
    return isinstance(err, Exception | SystemExit) and not isinstance(err, LfadsError | MemoryError) and type(err).__name__ != "OutOfMemoryError"
