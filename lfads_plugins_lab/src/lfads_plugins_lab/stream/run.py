"""Recordings streamed through a trained model as if they came in bin by bin, with the time each bin took: ``lfads stream``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lfads_core.data.session import Session
from lfads_core.errors import DataError
from lfads_core.files import replacing, spoken_failure
from lfads_core.infer.loading import LoadedRun
from lfads_core.infer.run import sessions_for
from lfads_core.output_file import OutputFile
from lfads_plugins_lab.stream.model import Streamed, StreamingModel, typical_start

Start = Literal["segment", "typical"]
FIELDS = ("output_params", "factors", "gen_states", "co_means")


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long single bins took, from their data to their answer, in milliseconds."""

    bins: int
    median_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Summarise measured times."""
        ms = np.asarray(seconds) * 1000
        return cls(bins=len(ms), median_ms=float(np.median(ms)), p99_ms=float(np.percentile(ms, 99)), max_ms=float(ms.max()))


def stream_trial(streaming: StreamingModel, encod: np.ndarray, external: np.ndarray) -> tuple[dict[str, np.ndarray], list[float]]:
    """Push one trial (T, Ne) bin by bin: what was known at its end, by field, and the seconds of each push."""
    streaming.reset()
    parts: list[Streamed] = []
    times: list[float] = []
    for t, counts in enumerate(encod):
        given = external[t] if t < len(external) else None
        began = time.perf_counter()
        parts.append(streaming.push(counts, given))
        times.append(time.perf_counter() - began)
    return {field: np.concatenate([getattr(part, field) for part in parts]) for field in FIELDS}, times


def stream_files(
    loaded: LoadedRun, patterns: Sequence[str | Path] | None, *, split: str, start: Start, output: Path | None
) -> dict[str, tuple[Path, Latency]]:
    """Stream one split of every recording into a file each; by session, where it is and how long bins took.

    A file holds ``<split>_<field>`` for rates, factors, generator states and inferred inputs, and ``<split>_latency_ms`` (trials, bins).

    Raises:
        ConfigError: the model cannot stream.
        DataError: recordings that do not fit it, or lack the split.
        RunError: a file cannot be written; or ``start`` is ``typical`` and the run has no outputs yet.
    """
    sessions = sessions_for(loaded, patterns, required=(split,))
    if stored := [str(s.path) for s in sessions if s.stored]:
        raise DataError(f"{stored[0]}: recordings must fit into memory to be streamed. Raise data.memory_gb, or cut the file.")
    several = len(sessions) > 1
    found = {}
    for session in sessions:
        path = loaded.run.path / f"lfads_stream_{session.name}.h5" if output is None else output
        if output is not None and (several or output.is_dir()):
            path = output / f"lfads_stream_{session.name}.h5"
        found[session.name] = (path, _stream_session(loaded, session, split, start, path))
    return found


def _stream_session(loaded: LoadedRun, session: Session, split: str, start: Start, path: Path) -> Latency:
    first = typical_start(loaded, session.name) if start == "typical" else None
    streaming = StreamingModel.of(loaded, session=session.name, start=first)
    data = session.splits[split]
    stream_trial(streaming, data.encod[0], data.external[0])  # the first pushes of a process load code
    trials = [stream_trial(streaming, encod, external) for encod, external in zip(data.encod, data.external, strict=True)]
    arrays: dict[str, Any] = {f"{split}_{field}": np.stack([found[field] for found, _ in trials]) for field in FIELDS}
    arrays[f"{split}_latency_ms"] = np.asarray([times for _, times in trials]) * 1000
    latency = Latency.of([seconds for _, times in trials for seconds in times])
    _write(path, arrays, {"lfads_session": session.name, "start": start, "waits_bins": streaming.waits, **vars(latency)})
    return latency


def _write(path: Path, arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with spoken_failure(path), replacing(path) as temporary, OutputFile(temporary) as file:
        for key, value in arrays.items():
            file.create_dataset(key, data=value)
        file.attrs.update(attributes)


def use_one_thread() -> None:
    """Small products gain nothing from threads, and wait for them."""
    torch.set_num_threads(1)
