"""The backends of the loops that tests compute with on a CPU, which every machine has."""

from __future__ import annotations

from lfads_core.recurrence.choose import BACKENDS

ON_CPU = sorted(name for name in BACKENDS if not name.startswith("triton"))
"""Triton's kernels compute on CUDA devices alone; `test_recurrence_triton.py` interprets them here, and runs them there."""
