"""What is asked of torch to capture a step, without a device: its calls are replaced, their arguments checked against torch's own."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from functools import partial

import attrs
import pytest
import torch

from lfads_core.config.schema import RunConfig
from lfads_core.train.captured import StepGraphs, graphs_for
from lfads_core.train.cuda_graph import CUDAGraphs
from lfads_core.train.graphs import Graph


@pytest.fixture
def cuda_calls(monkeypatch):
    """What is asked of torch.cuda, in order, without a device; arguments must be those that torch takes."""
    calls = []

    class Stream:
        device = torch.device("cuda")

        def __init__(self, device=None):
            calls.append(f"stream on {device}")

        def wait_stream(self, other):
            calls.append("wait")

    class Kept:
        def replay(self):
            calls.append("replay")

    real = inspect.signature(torch.cuda.graph.__init__)

    class Capturing:
        def __init__(self, *args, **kwargs):
            given = real.bind(self, *args, **kwargs).arguments
            calls.append(f"capture {given['capture_error_mode']} {given['pool']}")

        def __enter__(self):
            calls.append("begin")

        def __exit__(self, kind, *_):
            calls.append("end")
            if kind is not None:
                raise RuntimeError("the capture is broken")

    for name, value in {"Stream": Stream, "CUDAGraph": Kept, "graph": Capturing}.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    return calls


def test_a_cuda_graph_is_rehearsed_captured_and_replayed_on_a_stream_of_its_own(cuda_calls):
    graph = CUDAGraphs(torch.device("cuda"))()
    assert isinstance(graph, Graph)
    graph.rehearse(partial(cuda_calls.append, "step"))
    graph.capture(partial(cuda_calls.append, "step"))
    graph.replay()
    rehearsed = ["stream on cuda", "stream on cuda", "wait", "step", "wait"]
    assert cuda_calls == [*rehearsed, "capture thread_local pool", "begin", "step", "end", "replay"]


@pytest.mark.usefixtures("cuda_calls")
def test_a_capture_that_breaks_says_what_broke_it():
    def step():
        raise ValueError("it asked the host")

    with pytest.raises(ValueError, match=r"^it asked the host$"):
        CUDAGraphs(torch.device("cuda"))().capture(step)


@pytest.mark.usefixtures("cuda_calls")
@pytest.mark.parametrize(("asked", "captured"), [("auto", True), (True, True), (False, False)])
def test_on_a_cuda_device_steps_are_captured_unless_the_settings_say_no(asked, captured):
    config = RunConfig()
    config = attrs.evolve(config, train=attrs.evolve(config.train, cuda_graph=asked))
    assert isinstance(graphs_for(config, torch.device("cuda")), StepGraphs) == captured
