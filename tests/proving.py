"""``pytest -p proving``: each test again, with each option and setting that it is said to guard ignored, one at a time; it must fail then.

What guards what stands in ``end_to_end/acting.toml``, or in the JSON file that LFADS_GUARDS names. The run ends with what nothing noticed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from ignoring import ignoring

TABLE = Path(__file__).parent / "end_to_end" / "acting.toml"
SECONDS = 180
"""Most for one test with something ignored: without its limit on epochs, say, a training goes on."""

unnoticed: dict[str, set[str]] = {}


def guards() -> dict[str, list[str]]:
    """Options and settings by the test that guards them, ``tests/core/test_x.py::test_y``."""
    if found := os.environ.get("LFADS_GUARDS"):
        return json.loads(Path(found).read_text(encoding="utf-8"))
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


@pytest.hookimpl(trylast=True)  # what is deselected by a mark proves nothing
def pytest_collection_modifyitems(config, items):
    table = guards()
    unnoticed.update({key: set(names) for key, names in table.items() if any(item.nodeid.split("[")[0] == key for item in items)})
    others = [item for item in items if item.nodeid.split("[")[0] not in unnoticed]
    items[:] = [item for item in items if item not in others]
    config.hook.pytest_deselected(items=others)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # a command whose --out is ignored writes where it is
        reports = runtestprotocol(item, nextitem=nextitem)
        names = unnoticed[item.nodeid.split("[")[0]]
        for name in sorted(names) if all(report.passed for report in reports) else ():
            with ignoring(name), _limited():
                again = runtestprotocol(item, log=False, nextitem=nextitem)
            late = any("TooLate" in str(report.longrepr) for report in again)
            if any(report.failed for report in again if report.when != "teardown") and not late:
                names.discard(name)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


class TooLate(BaseException):
    """A test with something ignored does not end."""


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def late(*_):
        raise TooLate

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    if any(unnoticed.values()) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    for key, names in unnoticed.items():
        for name in sorted(names):
            terminalreporter.write_line(f"UNNOTICED {key} | {name}")
