"""``lfads bench stream``: the time from one bin's data to its rates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from lfads_core.model.description import describe
from lfads_core.plugins.registry import Registry
from lfads_plugins_lab.bench.problem import load_problem
from lfads_plugins_lab.bench.result import Options, Result
from lfads_plugins_lab.stream.model import StreamingModel
from lfads_plugins_lab.stream.run import Latency, stream_trial

CAUSAL = ("model.controller.causal=true", "model.encoder.read_bins=20", "train.device=cpu")
"""What makes a model of any settings one that streams."""


def bench_stream(config: str, data: Sequence[Path], options: Options, registry: Registry) -> Result:
    """Push the validation trials bin by bin, ``rounds`` times over; the reference loops are those of a single bin anyway."""
    torch.set_num_threads(options.threads)
    problem = load_problem(config, data, registry, [*CAUSAL, *options.overrides])
    session = problem.sessions[0]
    streaming = StreamingModel(problem.config, problem.model().eval(), describe(problem.sessions), session=session.name)
    trials = session.splits["valid"]
    stream_trial(streaming, trials.encod[0], trials.external[0])
    times = [
        seconds
        for _ in range(options.rounds)
        for encod, external in zip(trials.encod, trials.external, strict=True)
        for seconds in stream_trial(streaming, encod, external)[1]
    ]
    latency = Latency.of(times)
    row = {name: round(value, 4) for name, value in vars(latency).items()}
    return Result(config=problem.name, device="cpu", paths={"stream": row}, more={"channels": trials.recon.shape[2], "waits_bins": streaming.waits})
