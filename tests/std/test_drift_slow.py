"""What is promised of alignments, by the script whose table stands in the documentation: most of the decoding of a model trained anew."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from lfads_core.plugins import load_registry

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "drift.py"
_spec = importlib.util.spec_from_file_location("drift_bench", SCRIPT)
bench = importlib.util.module_from_spec(_spec)
sys.modules["drift_bench"] = bench
_spec.loader.exec_module(bench)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the model of the first day is trained once."""
    return tmp_path_factory.mktemp("drift")


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(bench.KINDS))
def test_most_of_the_decoding_comes_back_or_it_is_said(folder, kind):
    found = bench.measure(folder, kind, 0, load_registry())
    if kind in bench.NO_DRIFT:
        assert found.aligned < 0.5
        assert "not_aligned" in found.findings or "no_better_than_means" in found.findings
        return
    assert found.retrained > 0.9
    assert found.aligned >= 0.9 * found.retrained
    assert found.aligned > found.before
    assert found.seconds < 0.25 * found.retrained_seconds
    assert found.findings == {}
