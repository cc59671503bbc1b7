"""What all tests share."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

try:
    import fcntl
except ImportError:  # not a POSIX system: each process makes what it needs
    fcntl = None

PACKAGES = ["lfads_core", *(f"lfads_plugins_{name}" for name in ("std", "calcium", "emg", "tune", "lab"))]

# One thread, here and in the processes that tests start: step-sized products gain nothing from more, and a busy
# second core makes two threads many times slower. Set before anything loads torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests that do ask for two threads share the machine with other tests: threads that spin while they wait take ten times as long then.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Triton's kernels run in its interpreter where there is no GPU; it must be told before anything loads it.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Check every annotated shape and type of our packages while testing; no cost at run time. The hook must stand before the
# first import of a package. `float` takes an int too, as for every type checker (PEP 484), which beartype must be told.
# `nox -s tests_min` goes without: old attrs and jaxtyping cannot evaluate all our annotations, and no user ever does.
CHECKED = os.environ.get("LFADS_SHAPE_CHECKS") != "0"
if CHECKED:
    install_import_hook(
        PACKAGES,
        "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
    )

settings.register_profile("ci", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("ci")

# A process started in the background may be told to ignore Ctrl-C, and would hand that on to the trainings that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tiny_runs"]
WHOLE_TRAININGS = {"resume", "end_state", "parent", "adapt", "search", "searches", "population", "journey", "everything"}
"""Fixtures of tests that compare whole trainings: ``nox -s shapes`` goes without, for those of ``train_tiny`` alone pass the same functions."""

_ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what trains from end to end, again and again; leave out what the checks of shapes would refuse before its subject does."""
    for item in items:
        if CHECKED and item.get_closest_marker("wrong_types"):
            item.add_marker(pytest.mark.skip(reason="hands over wrong types on purpose, which the checks of shapes would refuse first"))
        if WHOLE_TRAININGS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("training")


@pytest.fixture(scope="session", autouse=True)
def _no_sync() -> Iterator[None]:
    """Do not wait for the disk: that is about power cuts, and takes a third of a tiny run's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Give each test one torch thread again, whatever the last one set; tests without torch never load it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Undo what a command run within a test did to the packages' loggers: messages then go to its display."""
    loggers = [logging.getLogger(name) for name in ("lfads", *PACKAGES)]
    before = [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.level, logger.propagate = handlers, level, propagate


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return _ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings and parity fixtures beside the repository, which a clone need not have."""
    path = _ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip("no folder 'shared' beside the repository: it holds the recordings and the published fixtures")
    return path


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """``made_once("name", make)`` is a folder that ``make`` has filled for all processes of these tests, which only read it."""

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        base = tmp_path_factory.getbasetemp()
        path = (base.parent if fcntl is not None and "PYTEST_XDIST_WORKER" in os.environ else base) / name
        with path.with_suffix(".lock").open("w") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not (done := path.with_suffix(".done")).exists():
                shutil.rmtree(path, ignore_errors=True)  # what one that failed has left
                path.mkdir()
                make(path)
                done.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def own_fixtures(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A folder with our own parity files, made by the NumPy oracle when first asked for (about 10 s)."""
    from oracle.make_fixtures import make_all

    return made_once("own_fixtures", make_all)


def has_c_compiler() -> bool:
    """Whether the compiled loops could be made here."""
    from lfads_plugins_std.compiled.build import NoLibraryError, find_compiler

    try:
        find_compiler()
    except NoLibraryError:
        return False
    return True


@pytest.fixture
def usable() -> Callable[[str], object]:
    """A backend of the loops by its name. Where it cannot run the test is skipped, with the reason; what can be compiled must pass its trial."""
    from lfads_core.recurrence.choose import BACKENDS, obstacle

    def backend(name: str) -> object:
        if (clause := obstacle(name, "cpu", asked=True)) is not None:
            (pytest.fail if name == "compiled" and has_c_compiler() else pytest.skip)(f"{name}: {clause}")
        return BACKENDS[name]

    return backend
