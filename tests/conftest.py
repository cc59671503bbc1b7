"""What all tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# One thread, here and in the processes that tests start: step-sized products gain nothing from more, and a busy
# second core makes two threads many times slower. Set before anything loads torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("ci", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("ci")

_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Give each test one torch thread again, whatever the last one set; tests without torch never load it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


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
