"""GPUs that a queue may use, and how much memory is free on each, as ``nvidia-smi`` says."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from lfads_core.errors import RunError

_QUERY = ("nvidia-smi", "--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits")
_MIB = 1 << 20


def free_gpu_memory(gpus: Sequence[str]) -> dict[str, int]:
    """Free bytes of each GPU by the name it was given, its number or UUID.

    Raises:
        RunError: ``nvidia-smi`` does not tell, or does not know one of them.
    """
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - a fixed command
    except (OSError, subprocess.SubprocessError) as err:
        raise RunError(f"--gpu-memory: needs nvidia-smi to tell what is free, got: {err}. Leave the option out.") from err
    free: dict[str, int] = {}
    for line in done.stdout.splitlines():
        index, uuid, megabytes = (part.strip() for part in line.split(","))
        free[index] = free[uuid] = int(megabytes) * _MIB
    if missing := [gpu for gpu in gpus if gpu not in free]:
        known = ", ".join(name for name in free if name.isdecimal())
        raise RunError(f"--gpus: must be numbers or UUIDs that nvidia-smi knows ({known or 'none'}), got {', '.join(missing)}.")
    return {gpu: free[gpu] for gpu in gpus}
