"""Whether the Triton kernels can run here; where they cannot, or fail to start, the hand-written backend takes over."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import logging
import os
import shutil
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext

import torch

from lfads_core.recurrence.triton_tiles import H100, SMALLEST, Card, Products

log = logging.getLogger(__name__)


LEAST_TRITON = (3, 4)
"""Version from which ``triton.knobs`` is there; torch 2.8 is the first to bring it."""


@functools.cache
def available(device: str) -> str | None:
    """Return why the kernels cannot run on ``device``, or None if nothing speaks against it."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if (found := version_of("triton")) < LEAST_TRITON:
        needed, got = (".".join(map(str, number)) for number in (LEAST_TRITON, found))
        return f"Triton must be {needed} or later, which comes with torch 2.8, got {got}"
    kind = torch.device(device).type
    if kind != "cuda":
        from lfads_core.recurrence.triton_language import INTERPRETED

        return None if kind == "cpu" and INTERPRETED.value else f"Triton's kernels need a CUDA device, got {device}"
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    major, minor = torch.cuda.get_device_capability(device)
    if major < 8:
        return f"Triton's kernels need compute capability 8.0 or more, got {major}.{minor}"
    return None if compiler() else "Triton needs a C compiler to start kernels, and there is none (CC, gcc, clang): install gcc"


def version_of(distribution: str) -> tuple[int, int]:
    """First two numbers of an installed version."""
    major, minor, *_ = importlib.metadata.version(distribution).split(".")
    return int(major), int(minor)


def compiler() -> str | None:
    """Where the C compiler lies with which Triton makes what starts a kernel: ``CC``, or the first that is found."""
    return next((found for name in (os.environ.get("CC"), "gcc", "clang") if name and (found := shutil.which(name))), None)


def obstacle(device: str, *, asked: bool, products: Products = "ieee") -> str | None:
    """Why the kernels cannot be chosen for ``device``, in one clause; an interpreter is for tests and nobody's choice."""
    if torch.device(device).type != "cuda":
        return f"it computes on CUDA devices alone, not on {device}"
    return available(device) or _disagreement(device, products)


obstacle_tf32 = functools.partial(obstacle, products="tf32")
obstacle_bf16 = functools.partial(obstacle, products="bf16")


@functools.cache
def _disagreement(device: str, products: Products) -> str | None:
    """What speaks against the kernels' numbers on this device, found once per process and arithmetic: no GPU is taken on trust."""
    from lfads_core.recurrence import selfcheck
    from lfads_core.recurrence.choose import BACKENDS

    reduced = products != "ieee"
    most = selfcheck.REDUCED[products] if reduced else selfcheck.TOLERANCE[torch.float32]
    LAUNCHES.refusal = None
    log.info("recurrence: checking Triton's kernels on %s; the first time they are compiled, which takes up to a minute", device)
    worst = selfcheck.difference(BACKENDS[f"triton-{products}" if reduced else "triton"], torch.float32, device, reduced=reduced)
    if LAUNCHES.refusal is not None:
        return f"in the check of its numbers {LAUNCHES.refusal}"
    return None if worst <= most else f"its numbers differ from the reference's by {worst:.1e} on this GPU, where {most:.0e} would be rounding"


def on_device_of(tensor: torch.Tensor) -> AbstractContextManager[object]:
    """Launch here: Triton takes the current device, whatever memory it is handed."""
    return torch.cuda.device(tensor.device) if tensor.device.type == "cuda" else nullcontext()


@functools.cache
def card_of(device: torch.device) -> Card:
    """What a device has; an H100 where kernels are interpreted."""
    if device.type != "cuda":
        return H100
    found = torch.cuda.get_device_properties(device)
    return Card(processors=found.multi_processor_count, shared=getattr(found, "shared_memory_per_block_optin", SMALLEST.shared))


class Launches:
    """What is known of launches: each kind of call is tried once, on no data, before it is trusted.

    A kind that needs more than the device has (shared memory, registers) is left to the other backend; any other failure, such as
    no compiler for Triton's launcher, ends the use of Triton for the rest of the run. Either is one warning.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, str | None] = {}
        self._given_up: str | None = None
        self.refusal: str | None = None  # why the last call that was not launched was not

    def ready(self, call: Hashable, device: torch.device, dtype: torch.dtype, attempt: Callable[[], None]) -> bool:
        """Whether this kind of call may be launched."""
        key = (call, device, dtype)
        if self._given_up is None and key not in self._known:
            self._known[key] = self._tried(device, dtype, attempt)
        reason = self._given_up or self._known.get(key)
        self.refusal = reason or self.refusal
        return reason is None

    def _tried(self, device: torch.device, dtype: torch.dtype, attempt: Callable[[], None]) -> str | None:
        reason = available(str(device))
        if reason is None and dtype not in {torch.float32, torch.float64}:
            reason = f"Triton's kernels compute in float32 or float64, got {dtype}"
        if reason is None:
            try:
                attempt()
            except Exception as error:  # noqa: BLE001 - whatever hinders a launch, training need not end for it
                reason = f"a Triton kernel failed to start ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
                self._given_up = None if type(error).__name__ == "OutOfResources" else reason
        if reason is not None:
            log.warning("recurrence: %s; fused runs instead", reason)
        return reason


LAUNCHES = Launches()
