"""Whether the Triton kernels can run here; where they cannot, or fail to start, the hand-written backend takes over."""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Callable, Hashable

import torch

log = logging.getLogger(__name__)


@functools.cache
def available(device: str) -> str | None:
    """Return why the kernels cannot run on ``device``, or None if nothing speaks against it."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    kind = torch.device(device).type
    if kind != "cuda":
        from lfads_core.recurrence.triton_language import INTERPRETED

        return None if kind == "cpu" and INTERPRETED.value else f"Triton's kernels need a CUDA device, got {device}"
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    major, minor = torch.cuda.get_device_capability(device)
    return None if major >= 8 else f"Triton's kernels need compute capability 8.0 or more, got {major}.{minor}"


def obstacle(device: str, *, asked: bool) -> str | None:
    """Why the kernels cannot be chosen for ``device``, in one clause; an interpreter is for tests and nobody's choice."""
    if torch.device(device).type != "cuda":
        return f"it computes on CUDA devices alone, not on {device}"
    return available(device) or _disagreement(device)


@functools.cache
def _disagreement(device: str) -> str | None:
    """What speaks against the kernels' numbers on this device, found once per process: no GPU is taken on trust."""
    from lfads_core.recurrence.choose import BACKENDS
    from lfads_core.recurrence.selfcheck import TOLERANCE, difference

    worst, most = difference(BACKENDS["triton"], torch.float32, device), TOLERANCE[torch.float32]
    return None if worst <= most else f"its numbers differ from the reference's by {worst:.1e} on this GPU, where {most:.0e} would be rounding"


def processors(device: torch.device) -> int:
    """Number of multiprocessors; that of an H100 where kernels are interpreted."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 132


class Launches:
    """What is known of launches: each kind of call is tried once, on no data, before it is trusted.

    A kind that needs more than the device has (shared memory, registers) is left to the other backend; any other failure, such as
    no compiler for Triton's launcher, ends the use of Triton for the rest of the run. Either is one warning.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, bool] = {}
        self._given_up = False

    def ready(self, call: Hashable, device: torch.device, dtype: torch.dtype, attempt: Callable[[], None]) -> bool:
        """Whether this kind of call may be launched."""
        if self._given_up:
            return False
        key = (call, device, dtype)
        if key not in self._known:
            self._known[key] = self._tried(device, dtype, attempt)
        return self._known[key]

    def _tried(self, device: torch.device, dtype: torch.dtype, attempt: Callable[[], None]) -> bool:
        reason = available(str(device))
        if reason is None and dtype not in {torch.float32, torch.float64}:
            reason = f"Triton's kernels compute in float32 or float64, got {dtype}"
        if reason is None:
            try:
                attempt()
            except Exception as error:  # noqa: BLE001 - whatever hinders a launch, training need not end for it
                self._given_up = type(error).__name__ != "OutOfResources"
                reason = f"a Triton kernel failed to start ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        if reason is not None:
            log.warning("recurrence: %s; fused runs instead", reason)
        return reason is None


LAUNCHES = Launches()
